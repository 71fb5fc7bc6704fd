"""The folder of a study: whose runs it takes, what it counts, and plans that are refused before anything is trained."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("torch")

from finetune.recipe import FinetuneRecipe
from pipelines import scale_known, scale_work
from pipelines.config import load_recipe
from pipelines.scale_cells import Cell, Frames, cells_of, known_path
from pipelines.scale_findings import refuse_other_stores, stores_of
from pipelines.scale_folder import begin, held
from pipelines.scale_known import Known, sources_of, take_over
from pipelines.scale_plan import longest_confirmation, print_refusals
from pipelines.scale_recipe import StudyRecipe
from pipelines.scale_work import Workplace
from synth.errors import RefusalError, SourceError
from synth.store.files import read_json, write_json
from tests.support.builders import scene, write_corpus
from tests.support.cli import call

SMALL_COPIES = ["canvas_hw=[64, 64]", "noise.window_px=16", "noise.stride_px=16"]
LISTS = {"demo": {"folder": "demo", "train": 4, "test_ids_sha256": "a"}}
TINY = {
    "name": "tiny", "finetune": "acm_nano_smoke", "sets": [{"name": "demo", "folder": "demo"}],
    "shared": [
        "detector.backbone.widths=[4, 8]", "detector.backbone.blocks=[1, 1]", "views.crop_px=32", "train.batch=4",
        "train.validate_every=null",
    ],
    "arms": [{"name": "scratch", "about": "as is"}, {"name": "other", "about": "slower", "train": ["train.optimizer.lr=1e-4"]}],
    "budgets": [{"name": "steps", "kind": "steps"}], "steps": 3, "seeds": [0],
    "endpoint": {"reference": "scratch", "candidates": ["other"], "selection": [0], "seeds": [7], "headroom": 0},
}  # fmt: skip


def place_of(out, **changes):
    study = StudyRecipe.model_validate(TINY | changes)
    recipe = load_recipe(study.finetune, FinetuneRecipe, list(study.shared), stage="finetune")
    return Workplace(study, {arm.name: recipe for arm in study.arms}, {}, out.parent, out)


def corpus_in(folder):
    names = {"train": tuple("abcd"), "val": ("v",), "test": ("t", "u")}
    places = enumerate(name for ids in names.values() for name in ids)
    frames = [scene(name, (40, 48), [(5 + 3 * i, 8, 8 + 3 * i, 12)]) for i, name in places]
    return write_corpus(folder / "demo", frames, names)


def test_a_folder_takes_no_runs_on_other_frames(tmp_path):
    place = place_of(tmp_path / "study")
    begin(place, LISTS)
    begin(place, LISTS)
    other = {"demo": LISTS["demo"] | {"test_ids_sha256": "b"}}
    with pytest.raises(RefusalError, match="holds a study with other frames of demo; give another folder"):
        begin(place, other)
    path = tmp_path / "study/recipe.json"
    assert read_json(path)["data"] == LISTS, "a refusal changes nothing"
    write_json(path, {key: value for key, value in read_json(path).items() if key != "data"})
    begin(place, other)
    assert read_json(path)["data"] == other, "a folder that does not say takes the present frames"


def test_runs_write_enough_of_their_loss_and_stay_the_same_runs(tmp_path):
    place = place_of(tmp_path / "study")
    tasks = [place.finetune_task(Cell("demo", "scratch", None, steps, 0, 4), {"demo": None}) for steps in (3, 92, 600, 5000)]
    assert [task.recipe.train.log_every for task in tasks] == [1, 1, 10, 10]
    assert all("log_every" not in task.recipe.train.content() for task in tasks)


def test_runs_taken_over_twice_count_once(tmp_path):
    runs = {f"runs/demo/scratch/3/seed-{seed}": {"seed": seed} for seed in range(5)}

    def file(name, num_runs):
        return Known(dict(list(runs.items())[:num_runs]), {}, {"name": name, "sha256": name, "environments": [], "stores": {}})

    (tmp_path / "runs/demo/scratch/3/seed-4").mkdir(parents=True)
    (tmp_path / "runs/demo/scratch/3/seed-4/test.json").write_text("{}")
    for known in (file("early", 2), file("late", 5), file("early", 2), file("late", 5)):
        take_over(tmp_path, known)
    assert {source["name"]: source["runs"] for source in sources_of(tmp_path)} == {"early": 2, "late": 2}, "one was done here"


def known_of(name, store):
    return Known({"runs/x": {"seed": 0}}, {}, {"name": name, "sha256": name, "environments": [], "stores": {"a.zarr": store}})


def test_runs_on_other_data_are_refused_before_any_is_taken_over(tmp_path):
    first, second = known_of("first.json", "1"), known_of("second.json", "2")
    with pytest.raises(RefusalError, match=r"--known second\.json: its runs trained on another a\.zarr; go on without them"):
        refuse_other_stores(tmp_path, [first, second])
    take_over(tmp_path, first)
    with pytest.raises(RefusalError, match=r"--known second\.json"):
        refuse_other_stores(tmp_path, [second])
    refuse_other_stores(tmp_path, [first])
    take_over(tmp_path, second)
    with pytest.raises(RefusalError, match=r"runs of second\.json trained on another a\.zarr; remove .*known to go on without"):
        stores_of(tmp_path)


def test_a_take_over_that_was_killed_is_finished_by_the_next(tmp_path, monkeypatch):
    known = known_of("first.json", "1")
    write = scale_known.write_json

    def killed(path, content):
        if path.name != "sources.json":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(scale_known, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        take_over(tmp_path, known)
    monkeypatch.undo()
    take_over(tmp_path, known)
    assert [source["runs"] for source in sources_of(tmp_path)] == [1] and known_path(tmp_path, "runs/x").is_file()


def test_one_command_at_a_time_works_on_a_study(tmp_path):
    with held(tmp_path), pytest.raises(RefusalError, match="another command works on this study"), held(tmp_path):
        pass
    with held(tmp_path):
        pass


def test_half_made_stores_block_nothing(small_store, tmp_path):
    for name in ("done", "half"):
        shutil.copytree(small_store, tmp_path / f"stores/{name}.zarr")
    manifest = tmp_path / "stores/half.zarr/manifest.json"
    write_json(manifest, read_json(manifest) | {"state": "generating", "content_hash": None})
    assert stores_of(tmp_path) == {"done.zarr": read_json(small_store / "manifest.json")["content_hash"]}


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ((("scenes", 40), ("scenes", 5), ("scenes", 10)), "frames rise, got n40 with 40, n5 with 5, n10 with 10"),
        ((("scenes", 5), ("scenes", 10), ("scenes", 5)), "frames rise, got n5 with 5, n10 with 10, n5-2 with 5"),
        ((("scenes", 5), ("sirst5k", 10)), "must name arms whose frames are rendered (synthesize: scenes), got n10"),
    ],
)
def test_arms_of_the_transfer_law_are_checked_first(tmp_path, kinds, message):
    corpus_in(tmp_path / "data")
    arms = [
        {"name": f"n{count}" + (f"-{i}" if i and count == kinds[0][1] else ""), "about": "x", "real_share": 0.5,
         "synthesize": kind, "synthesis": [f"source.num_frames={count}"] if kind == "scenes" else SMALL_COPIES}
        for i, (kind, count) in enumerate(kinds)
    ]  # fmt: skip
    content = TINY | {"arms": [*TINY["arms"], *arms], "transfer": [arm["name"] for arm in arms]}
    (tmp_path / "tiny.yaml").write_text(json.dumps(content))
    ended = call("scale", tmp_path / "tiny.yaml", "--data", tmp_path / "data", "--out", tmp_path / "study", "--cluster", "sync")
    ended.refused(2, message)
    assert not (tmp_path / "study").exists()


def test_plans_say_what_they_forbid(capsys):
    few = StudyRecipe.model_validate(TINY | {"sets": [{"name": "demo", "folder": "demo", "labels": [2, None]}]})
    print_refusals(few, {"demo": Frames(4, {})})
    assert capsys.readouterr().out.splitlines() == [
        "  as planned, demo: not enough sizes to state an exponent: 2 over 0.3 decades, needed: 5 over 1.5",
        "  as planned, demo: not enough seeds to state an exponent: 1 of 5",
        "  as planned, 1 seeds: smoke, not evidence; no intervals",
    ]
    labels = [8, 17, 34, 85, None]
    whole = {"sets": [{"name": "demo", "folder": "demo", "labels": labels}], "seeds": [0, 1, 2, 3, 4]}
    print_refusals(StudyRecipe.model_validate(TINY | whole), {"demo": Frames(256, {})})
    assert capsys.readouterr().out == "  as planned, no rule speaks against laws over labels; what training shows may\n"
    arms = [{"name": f"n{n}", "about": "x", "synthesize": "scenes", "real_share": 0.5} for n in (5, 10)]
    grid = StudyRecipe.model_validate(TINY | whole | {"arms": [*TINY["arms"], *arms], "transfer": ["n5", "n10"]})
    print_refusals(grid, {"demo": Frames(256, {})})
    assert "not enough counts for the transfer law: 2 counts of synthetic frames x 5 of labels" in capsys.readouterr().out


def test_an_unknown_confirmation_is_planned_as_the_longest(tmp_path):
    arms = [*TINY["arms"], {"name": "long", "about": "x", "extra_steps": 9}]
    place = place_of(
        tmp_path / "study", arms=arms, endpoint=TINY["endpoint"] | {"candidates": ["other", "long"], "seeds": [7, 8]}
    )
    found = longest_confirmation(place, {"demo": Frames(4, {})})
    assert [(cell.arm, cell.seed, cell.steps) for cell in found] == [
        ("scratch", 7, 3),
        ("long", 7, 12),
        ("scratch", 8, 3),
        ("long", 8, 12),
    ]
    assert longest_confirmation(place_of(tmp_path / "study", endpoint=None), {"demo": Frames(4, {})}) == []


def test_what_failed_and_was_done_after_all_is_no_failure(tmp_path, monkeypatch):
    """The candidate fails while the choice is prepared; the grid tries it again in the same command."""
    corpus_in(tmp_path / "data")
    (tmp_path / "tiny.yaml").write_text(json.dumps(TINY))
    arguments = ["scale", tmp_path / "tiny.yaml", "--data", tmp_path / "data", "--out", tmp_path / "study", "--cluster", "sync"]
    whole, faults = scale_work.perform, []

    def flaky(task):
        if "/other/" in task.name and len(faults) < 2:
            faults.append(task.name)
            raise SourceError(f"{task.name}: the disk is away")
        return whole(task)

    monkeypatch.setattr(scale_work, "perform", flaky)
    left = call(*arguments, "--arms", "scratch")
    assert left.rc == 1 and "the disk is away" in left.stderr, "nothing tried it again"
    ended = call(*arguments)
    assert len(faults) == 2 and ended.rc == 0 and "2 of 2 runs are finished" in ended.stdout and ended.stderr.count("error") == 0
    assert {cell.path for cell in cells_of(StudyRecipe.model_validate(TINY), {"demo": Frames(4, {})})} >= set(faults)
