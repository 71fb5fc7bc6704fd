"""Plates: real frames as backgrounds, unblurred, recorded, and never with a target of their own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synth.errors import LeakageError, SourceError
from synth.rng import Stream, keyed_generator
from synth.scene import SceneConfig, render_scene
from synth.scene.config import PlatesConfig
from synth.scene.frame import SceneRenderer
from synth.scene.plates import PlateLibrary
from synth.scene.truth import Regime

MARGIN = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four textured frames of different sizes and, of one of them, none."""
    rng = np.random.default_rng(0)
    for number, hw in enumerate(((120, 160), (96, 96), (80, 200), (70, 70))):
        levels = np.clip(rng.normal(100.0, 12.0, hw), 0, 255).astype(np.uint8)
        Image.fromarray(levels).save(tmp_path / f"p{number}.png")
    return tmp_path


def labelled(folder: Path, *, full: bool) -> Path:
    """A tree with masks: a target in the left half, or everywhere."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    levels = np.random.default_rng(1).integers(50, 200, (100, 300)).astype(np.uint8)
    mask = np.zeros((100, 300), np.uint8)
    mask[::8, :: 8 if full else 300] = 255
    Image.fromarray(levels).save(folder / "images" / "a.png")
    Image.fromarray(mask).save(folder / "masks" / "a.png")
    return folder


def draw(library: PlateLibrary, index: int, hw: tuple[int, int] = (64, 64)):
    return library.draw(keyed_generator(0, Stream.SCENE, index), hw, MARGIN)


def test_a_window_is_the_plate_mirrored_or_turned(folder: Path) -> None:
    library = PlateLibrary(PlatesConfig(path=str(folder)))
    found = set()
    for index in range(40):
        plate_id, backdrop = draw(library, index)
        found.add(plate_id)
        assert backdrop.regime is Regime.PLATE
        window = backdrop.kelvin[MARGIN:-MARGIN, MARGIN:-MARGIN]
        assert window.shape == (64, 64)
        # levels times one gain plus one offset: no blur, nothing mixed in
        steps = np.diff(np.unique(window))
        assert len(steps) < 256
        np.testing.assert_allclose(steps / steps.min(), np.round(steps / steps.min()), atol=0.02)
    assert found == {"p0", "p1", "p2", "p3"}


def test_every_turn_and_mirror_reproduces_the_plate(tmp_path: Path) -> None:
    levels = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    Image.fromarray((levels % 251).astype(np.uint8)).save(tmp_path / "p.png")
    plate = (levels % 251).astype(np.float64)
    library = PlateLibrary(PlatesConfig(path=str(tmp_path)))
    seen = set()
    for index in range(60):
        window = draw(library, index)[1].kelvin[MARGIN:-MARGIN, MARGIN:-MARGIN]
        for turn, form in enumerate(p[::a, ::b] for p in (plate, plate.T) for a in (1, -1) for b in (1, -1)):
            if np.corrcoef(window.ravel(), form.ravel())[0, 1] > 0.9999:
                seen.add(turn)
    assert seen == set(range(8))


def test_windows_avoid_targets(tmp_path: Path) -> None:
    labelled(tmp_path, full=False)
    columns = np.broadcast_to(50 + np.arange(300) // 2, (100, 300)).astype(np.uint8)  # a level tells its column
    Image.fromarray(columns).save(tmp_path / "images" / "a.png")
    config = PlatesConfig(path=str(tmp_path), split=None, span_kelvin=(10.0, 10.0), offset_kelvin=(0.0, 0.0))
    library = PlateLibrary(config)
    plate = library._plate(0)
    for moves_px in (0, 10):
        firsts = []
        for index in range(60):
            backdrop = library.draw(keyed_generator(0, Stream.SCENE, index), (64, 64), MARGIN, moves_px)[1]
            window = backdrop.kelvin[MARGIN:-MARGIN, MARGIN:-MARGIN]
            levels = window * (plate.span / 10.0) + plate.middle
            firsts.append(round(float(levels.min()) - 50.0) * 2)
        assert min(firsts) >= moves_px  # the mask lies in column 0; two columns share a level
        assert min(firsts) < moves_px + 40


def test_no_window_without_targets_is_refused(tmp_path: Path) -> None:
    library = PlateLibrary(PlatesConfig(path=str(labelled(tmp_path, full=True)), split=None))
    with pytest.raises(SourceError, match="512 frames x 16 windows drawn, none of 64x64 px without a target"):
        draw(library, 0)


def test_a_folder_with_other_frames_than_expected_is_refused(folder: Path) -> None:
    """Plates are drawn by number: with one frame more, nearly every scene would stand on another."""
    library = PlateLibrary(PlatesConfig(path=str(folder)))
    begun = {ref.id: library.corpus.read_hashed(ref)[1].image_sha256 for ref in library.frames}
    library.expect(begun)
    with pytest.raises(SourceError, match=r"than the store was begun with: 1 new \('p3'\), 1 gone \('p9'\); restore"):
        library.expect({name.replace("3", "9"): sha256 for name, sha256 in begun.items()})
    (folder / "p4.png").write_bytes((folder / "p0.png").read_bytes())
    with pytest.raises(SourceError, match=r"begun with: 1 new \('p4'\); restore the folder"):
        PlateLibrary(PlatesConfig(path=str(folder))).expect(begun)


def test_a_folder_with_lists_needs_a_split(tmp_path: Path) -> None:
    labelled(tmp_path, full=False)
    (tmp_path / "img_idx").mkdir()
    for name in ("train", "test"):
        (tmp_path / "img_idx" / f"{name}_x.txt").write_text("a\n" if name == "train" else "")
    with pytest.raises(SourceError):
        PlateLibrary(PlatesConfig(path=str(tmp_path), split=None))


def test_lists_of_which_none_is_official_must_be_named(folder: Path) -> None:
    for family, test in (("one", "p0"), ("two", "p1")):
        (folder / family).mkdir()
        (folder / family / "train.txt").write_text("p2\np3\n")
        (folder / family / "val.txt").write_text("p3\n")
        (folder / family / "test.txt").write_text(f"{test}\n")
    for split in ("train", None):
        with pytest.raises(
            LeakageError, match=r"plates\.path .* has lists one, two .*name one of its lists as plates\.split_list"
        ):
            PlateLibrary(PlatesConfig(path=str(folder), split=split))
    library = PlateLibrary(PlatesConfig(path=str(folder), split="trainval", split_list="two"))
    assert [ref.id for ref in library.frames] == ["p2", "p3"]


def deep(folder: Path, spread: int, top: int) -> Path:
    """A folder with one 16-bit frame of ``spread`` + 1 levels, of which the highest is ``top``."""
    ramp = np.broadcast_to(top - np.arange(80 * 80).reshape(80, 80) % (spread + 1), (80, 80))
    Image.fromarray(ramp.astype(np.uint16)).save(folder / "deep.png")
    return folder


@pytest.mark.parametrize(("spread", "expected"), [(400, 396.0), (40, 40.0), (5, 16.0)])
def test_deep_plates_are_stretched_until_16_levels(tmp_path: Path, spread: int, expected: float) -> None:
    """A floor of 1/16 of 65535 levels would leave the whole contrast of 14-bit frames unstretched."""
    plate = PlateLibrary(PlatesConfig(path=str(deep(tmp_path, spread, 9000))))._plate(0)
    assert plate.span == expected


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        SceneRenderer(SceneConfig(plates={"path": str(tmp_path / "nowhere")}), 0)


def test_share_ids_and_random_access(folder: Path) -> None:
    config = SceneConfig(frame_hw=(64, 64), plates={"path": str(folder), "share": 0.5})
    frames = [render_scene(config, 3, index) for index in range(200)]
    on_plate = np.array([bool(frame.truth.plate_id) for frame in frames])
    assert on_plate.mean() == pytest.approx(0.5, abs=4.0 * 0.5 / np.sqrt(200))  # 4 binomial sigmas: catches a share of 0.35
    for frame, plate in zip(frames, on_plate, strict=True):
        assert (frame.truth.regime is Regime.PLATE) == plate
        assert frame.truth.plate_id in {"", "p0", "p1", "p2", "p3"}
    again = SceneRenderer(config, 3).render(117)
    np.testing.assert_array_equal(again.raw, frames[117].raw)


def test_painted_frames_do_not_change_with_the_share(folder: Path) -> None:
    with_plates = SceneConfig(frame_hw=(64, 64), plates={"path": str(folder), "share": 0.3})
    without = SceneConfig(frame_hw=(64, 64))
    painted = [index for index in range(12) if not render_scene(with_plates, 0, index).truth.plate_id]
    assert painted
    for index in painted:
        np.testing.assert_array_equal(render_scene(with_plates, 0, index).raw, render_scene(without, 0, index).raw)


@pytest.mark.real_data
def test_real_plates(sirst_data: Path) -> None:
    config = SceneConfig(sensor="sirst_like", plates={"path": str(sirst_data / "sirst-backgrounds"), "share": 1.0})
    frames = [render_scene(config, 0, index) for index in range(12)]
    assert len({frame.truth.plate_id for frame in frames}) > 6
    # of 80 frames one has a view of 0.93 grey levels, of an empty sky under the least gain; the median is 39
    assert sum(frame.levels.std() > 1.0 for frame in frames) >= len(frames) - 1


@pytest.mark.real_data
def test_labelled_real_plates_come_from_the_training_split(sirst_data: Path) -> None:
    library = PlateLibrary(PlatesConfig(path=str(sirst_data / "sirst-v1"), split="train"))
    assert len(library.frames) == 256
    with pytest.raises(SourceError, match=r"plates\.split must be train or trainval"):
        PlateLibrary(PlatesConfig(path=str(sirst_data / "sirst-v1"), split=None))
