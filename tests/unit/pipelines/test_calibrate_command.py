"""The calibrate command: what it writes loads with the scene recipe; refusals; test lists that stay closed."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from PIL import Image

from pipelines import calibrate
from pipelines.config import load_recipe
from synth.calibrate import fit, measures, shapes
from synth.recipe import CorpusSource, SynthesisRecipe
from synth.scene.config import SceneConfig
from synth.scene.frame import SceneRenderer
from tests.support.builders import frame_of, write_corpus
from tests.support.cli import call

NUM = 10


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Little of everything: the numbers are the business of the library's tests."""
    for module, name, value in (
        (fit, "NUM_RENDERED", 8), (fit, "NUM_OF_CLASS", 3), (fit, "NUM_ROUNDS", 2), (fit, "MIX_ROUNDS", (1,)),
        (shapes, "NUM_DRAWN", 40), (shapes, "NUM_ROUNDS", 3), (measures, "NUM_RESAMPLES", 20),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)


@pytest.fixture(scope="module")
def frames():
    """Ten rendered frames of 128x128 with targets, and two more for a test list."""
    source = SceneConfig(num_frames=NUM + 2, frame_hw=(128, 128), targets={"empty_share": 0}, scr={"low": 5.0, "high": 20.0})
    renderer = SceneRenderer(source, 3)
    views = [renderer.render(number) for number in range(NUM + 2)]
    return [frame_of(view.levels, view.mask, name=f"f{number:02d}") for number, view in enumerate(views)]


@pytest.fixture(scope="module")
def listed(frames, tmp_path_factory):
    """A folder with lists, whose test frames cannot be decoded."""
    lists = {"train": [f.id for f in frames[: NUM - 2]], "val": [f.id for f in frames[NUM - 2 : NUM]], "test": ["f10", "f11"]}
    root = write_corpus(tmp_path_factory.mktemp("calibrate") / "real", frames, lists)
    for name in lists["test"]:
        for folder in ("images", "masks"):
            (root / folder / f"{name}.png").write_bytes(b"a test frame was opened")
    return root


def fragment_of(path):
    return yaml.safe_load(path.read_text())


def test_fragment_loads_with_the_scene_recipe(listed, tmp_path):
    out = tmp_path / "sensor.yaml"
    ended = call("calibrate", "--from", listed, "--out", out)
    assert ended.rc == 0 and ended.stderr == "", ended.stderr
    assert "real: 8 frames" in ended.stdout and "split train)" in ended.stdout and "not identified:" in ended.stdout
    recipe = load_recipe("scenes", SynthesisRecipe, ["source.num_frames=6"], [out])
    assert isinstance(recipe.source, SceneConfig)
    assert recipe.source.resolved_sensor().name == "calibrated" and recipe.source.num_frames == 6
    assert recipe.source.calibrated_on.startswith("real (folder, layout") and "split train" in recipe.source.calibrated_on
    fragment = fragment_of(out)
    assert fragment["source"]["targets"].items() <= recipe.source.targets.model_dump(mode="json").items()
    calibration = fragment["calibration"]
    assert calibration["frames"]["num_frames"] == 8 and calibration["frames"]["split"] == "train"
    for entry in calibration["measured"].values():
        assert all(low <= value <= high for low, value, high in zip(entry["low"], entry["value"], entry["high"], strict=True))
    assert {"targets.sigma_total_px", "sensor.sigma_optics_px", "scr.view_peak_dn"} <= set(calibration["parameter_intervals"])
    assert any("NETD in mK" in line for line in calibration["not_identified"])
    assert out.read_text().startswith("# Recipe fragment: scenes that read like 8 frames of real")


def test_generate_from_the_fragment_and_hold_it_against_the_frames(listed, tmp_path):
    assert call("calibrate", "--from", listed, "--split", "trainval", "--out", tmp_path / "sensor.yaml").rc == 0
    store = tmp_path / "X.zarr"
    sets = [
        flag for key in ("canvas_hw=[128,128]", "source.frame_hw=[128,128]", "source.num_frames=12") for flag in ("--set", key)
    ]
    made = call("synthesize", "scenes", "--with", tmp_path / "sensor.yaml", "--out", store, "--cluster", "sync", *sets)
    assert made.rc == 0, made.stderr
    assert call("verify", store).rc == 0
    card = call("census", store, "--against", listed)
    assert card.rc == 0 and "X.zarr: 12 frames" in card.stdout


def test_same_frames_and_seed_give_the_same_bytes(listed, tmp_path):
    outs = [tmp_path / name for name in ("a.yaml", "a2/a.yaml", "b.yaml")]
    outs[1].parent.mkdir()
    for out, seed in zip(outs, (0, 0, 1), strict=True):
        assert call("calibrate", "--from", listed, "--out", out, "--seed", seed).rc == 0
    assert outs[0].read_bytes() == outs[1].read_bytes() != outs[2].read_bytes()


def test_frames_alone_give_all_but_the_targets(frames, tmp_path):
    (tmp_path / "plain").mkdir()
    for frame in frames:
        Image.fromarray(frame.levels).save(tmp_path / f"plain/{frame.id}.png")
    ended = call("calibrate", "--from", tmp_path / "plain", "--out", tmp_path / "s.yaml")
    assert ended.rc == 0 and "no mask holds a target" in ended.stdout
    source = fragment_of(tmp_path / "s.yaml")["source"]
    assert not {"targets", "scr", "impostors"} & set(source) and "regimes" in source
    recipe = load_recipe("scenes", SynthesisRecipe, [], [tmp_path / "s.yaml"])
    assert isinstance(recipe.source, SceneConfig) and recipe.source.scr.law == "log_uniform", "the recipe's own targets stay"


def test_masks_without_a_target_give_target_free_scenes(frames, tmp_path):
    empty = [frame_of(frame.levels, np.zeros_like(frame.mask), name=frame.id) for frame in frames]
    root = write_corpus(tmp_path / "empty", empty)
    assert call("calibrate", "--from", root, "--out", tmp_path / "s.yaml").rc == 0
    recipe = load_recipe("scenes", SynthesisRecipe, [], [tmp_path / "s.yaml"])
    assert isinstance(recipe.source, SceneConfig) and recipe.source.targets.empty_share == 1.0


def test_one_frame_is_enough_and_has_no_intervals(frames, tmp_path):
    root = write_corpus(tmp_path / "one", frames[:1])
    assert call("calibrate", "--from", root, "--out", tmp_path / "s.yaml").rc == 0
    calibration = fragment_of(tmp_path / "s.yaml")["calibration"]
    assert calibration["measured"]["mean_dn"]["low"] == [None] * 11 and calibration["parameter_intervals"] == {}
    load_recipe("scenes", SynthesisRecipe, [], [tmp_path / "s.yaml"])


def test_colour_files_read_like_their_grey_originals(frames, tmp_path):
    grey = write_corpus(tmp_path / "grey/real", frames[:4])
    colour = write_corpus(tmp_path / "colour/real", frames[:4])
    for file in (colour / "images").iterdir():
        Image.open(file).convert("RGB").save(file)
    for root in (grey, colour):
        assert call("calibrate", "--from", root, "--out", root.parent / "s.yaml").rc == 0
    assert (grey.parent / "s.yaml").read_bytes() == (colour.parent / "s.yaml").read_bytes()


def test_tiny_and_flat_frames_say_what_they_do_not_tell(tmp_path):
    (tmp_path / "tiny").mkdir()
    for number in range(3):
        levels = np.full((20, 24), 60 + 20 * number, np.uint8)
        Image.fromarray(levels).save(tmp_path / f"tiny/t{number}.png")
    ended = call("calibrate", "--from", tmp_path / "tiny", "--out", tmp_path / "s.yaml")
    assert ended.rc == 0, ended.stderr
    assert (
        "noise: no frame has four unclipped blocks" in ended.stdout
        and "spectra and background mix: frames are flat" in ended.stdout
    )
    load_recipe("scenes", SynthesisRecipe, [], [tmp_path / "s.yaml"])


def test_dry_run_writes_nothing(listed, tmp_path):
    ended = call("calibrate", "--from", listed, "--out", tmp_path / "s.yaml", "--dry-run")
    assert ended.rc == 0 and not (tmp_path / "s.yaml").exists()
    assert "would read 8 of 8 frames" in ended.stdout and ended.stdout.endswith("nothing written (--dry-run)\n")


def test_an_existing_file_is_kept_unless_told(listed, tmp_path, monkeypatch):
    out = tmp_path / "s.yaml"
    out.write_text("mine\n")
    with monkeypatch.context() as patched:
        patched.setattr(calibrate, "folder_frames", lambda *_, **__: pytest.fail("opened before checking --out"))
        call("calibrate", "--from", listed, "--out", out).refused(2, "exists; name another file, or write over it with --force")
    assert out.read_text() == "mine\n"
    assert call("calibrate", "--from", listed, "--out", out, "--force").rc == 0 and "source:" in out.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"], "no temporary file is left"


@pytest.mark.parametrize(
    ("options", "needle"),
    [
        (["--split", "test"], "--split must be one of train, trainval (test lists are never read), got test"),
        (["--split", "val"], "--split must be one of train, trainval (test lists are never read), got val"),
        (["--max-frames", "0"], "--max-frames must be >= 1, got 0"),
        (["--seed", "-1"], "--seed: must be in 0..2^64-1, got -1"),
        (["--max-level", "0"], "must be in 1..65535, got 0"),
    ],
)
def test_bad_options_are_one_line_before_any_work(listed, tmp_path, options, needle):
    call("calibrate", "--from", listed, "--out", tmp_path / "s.yaml", *options).refused(2, needle)


def test_bad_places(listed, tmp_path):
    call("calibrate", "--from", listed, "--out", tmp_path / "s.txt").refused(2, "--out must end in .yaml")
    call("calibrate", "--from", listed, "--out", tmp_path / "no/s.yaml").refused(2, "its parent folder does not exist")
    call("calibrate", "--from", tmp_path / "nothing", "--out", tmp_path / "s.yaml").refused(2, "does not exist")


def test_fragments_are_laid_over_recipes_key_by_key(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(
        "source: {kind: scenes, sensor: stress_low_scr, targets: {empty_share: 0.5}}\ncalibration: {anything: [goes]}\n"
    )
    two.write_text("source: {targets: {one_share: 0.7}}\n")
    recipe = load_recipe("scenes", SynthesisRecipe, ["source.targets.two_share=0.2"], [one, two])
    assert isinstance(recipe.source, SceneConfig)
    targets = recipe.source.targets
    assert (targets.empty_share, targets.one_share, targets.two_share) == (0.5, 0.7, 0.2)
    assert recipe.source.sensor == "stress_low_scr" and recipe.source.num_frames == 10_000
    on_scenes = load_recipe("sirst5k", SynthesisRecipe, ["split=null"], [one])
    assert (
        isinstance(on_scenes.source, SceneConfig)
        and on_scenes.num_synthetic == load_recipe("sirst5k", SynthesisRecipe).num_synthetic
    )
    two.write_text("source: {kind: corpus}\n")
    assert isinstance(load_recipe("scenes", SynthesisRecipe, ["split=train"], [two]).source, CorpusSource), (
        "another kind replaces all"
    )


def test_faults_of_fragments_are_named(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("source: {kind: scenes, clutter_tilt: 9}\n")
    out = tmp_path / "X.zarr"
    call("synthesize", "scenes", "--with", wrong, "--out", out).refused(2, "source.clutter_tilt")
    call("synthesize", "scenes", "--with", tmp_path / "none.yaml", "--out", out).refused(2, "none.yaml: No such file")
    wrong.write_text("- a list\n")
    call("synthesize", "scenes", "--with", wrong, "--out", out).refused(2, "must be a mapping of names to values")
