"""Rendered scenes through the command: bad parameters are named before anything is written; what is asked for is stored."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

from synth.store.reader import open_store
from tests.support.builders import scene, write_corpus
from tests.support.cli import REPOSITORY, Ended, call

ON_PLATES = ("source.plates={path: plates, split: null, share: 1.0}",)
TINY = ("source.num_frames=6", "source.frame_hw=[64,64]", "canvas_hw=[64,64]", "store.shard_images=3")


def scenes(out: Path, *sets: str) -> Ended:
    flags = [flag for key in (*TINY, *sets) for flag in ("--set", key)]
    return call("synthesize", "scenes", "--out", out, "--cluster", "sync", *flags)


@pytest.mark.parametrize(
    ("sets", "needle"),
    [
        (("source.sensor_overrides={netd_mk: -40}",), "netd_mk must be > 0 mK and finite, got -40"),
        (("source.sensor_overrides={netd_mk: .nan}",), "netd_mk must be > 0 mK and finite, got nan"),
        (("source.sensor_overrides={adc_bits: 0}",), "adc_bits must be 1..16, got 0"),
        (("source.sensor_overrides={sigma_optics_px: [12, 14]}",), "frame_hw must be >= the sensor's PSF of 84 px"),
        (("source.scr.high=1000", "source.sensor_overrides={adc_bits: 13}"), "scr.high must be <="),
        (("source.scr.low=5", "source.scr.high=2"), "scr.low must be <= scr.high, got 5 > 2"),
        (("source.scr.low=-1",), "source.scr.low should be greater than 0, got -1"),
        (("source.sensor=cooled_swir",), "sensor must be one of uncooled_lwir_12um"),
        (("source.sensor=cooled_mwir_15um_f4", "source.sensor_overrides={time_constant_ms: 10}"), "time_constant_ms must be 0"),
        (
            ("source.sensor=cooled_mwir_15um_f4", "source.sensor_overrides={netd_mk: 90}"),
            "netd_mk must be 19.98, as the electrons of shot say",
        ),
        (("source.regimes={moon: 1}",), "source.regimes.moon"),
        (("source.impostors.streaks=1",), "source.impostors.streaks: no such key; did you mean streak?"),
        (("source.ranges.path={kind: table, file: nowhere.csv}",), "path table nowhere.csv: No such file"),
        (("source.plates.path=/nowhere",), "/nowhere"),
    ],
)
def test_bad_parameters_are_named_and_nothing_is_written(tmp_path: Path, sets: tuple[str, ...], needle: str) -> None:
    scenes(tmp_path / "x.zarr", *sets).refused(2, needle)
    assert list(tmp_path.iterdir()) == []


def test_several_faults_come_at_once(tmp_path: Path) -> None:
    ended = scenes(tmp_path / "x.zarr", "source.scr.low=-1", "source.targets.aspect=[3,1]")
    assert ended.rc == 2
    assert "source.scr.low" in ended.stderr
    assert "targets.aspect must rise" in ended.stderr


def test_a_sequence_with_raw_frames_is_stored_with_its_tracks(tmp_path: Path) -> None:
    out = tmp_path / "x.zarr"
    ended = scenes(out, "source.raw=true", "source.sequence={length: 3}", "source.targets.empty_share=0")
    assert ended.rc == 0, ended.stderr
    assert "places refused to targets: " in ended.stdout
    store = open_store(out)
    raw = store.raw_images(range(6))
    assert raw.dtype == np.uint16
    assert 2000 < np.median(raw) < 15_000  # 14-bit levels, not the view
    assert store.column("sample/sequence_id").tolist() == [0, 0, 0, 1, 1, 1]
    assert store.column("sample/frame_index").tolist() == [0, 1, 2, 0, 1, 2]
    assert store.column("sample/time_s").tolist() == pytest.approx([0.0, 0.02, 0.04] * 2)
    assert (store.column("target/track_id")[:, 0] == 0).all()


def test_targets_by_range_are_stored_with_their_range(tmp_path: Path) -> None:
    table = tmp_path / "path.csv"
    table.write_text("range_km,transmission,path_radiance\n1,0.9,0\n10,0.3,0\n")
    ranges = (
        "{range_km: [2, 8], area_m2: [0.02, 0.1], ifov_mrad: 0.2, contrast: {kind: kelvin, kelvin: [5, 9]}, "
        f"path: {{kind: table, file: {table}}}}}"
    )
    levels = "source.targets={empty_share: 0, levels: {point: 1, blob: 0, extended: 0, group: 0}}"
    assert scenes(tmp_path / "x.zarr", f"source.ranges={ranges}", levels).rc == 0
    store = open_store(tmp_path / "x.zarr")
    counts = store.column("sample/num_targets")
    found = np.concatenate([store.column("target/range_km")[i, :n] for i, n in enumerate(counts)])
    assert found.size
    assert ((found > 2.0) & (found < 8.0)).all()
    kept = store.manifest["recipe"]["source"]["ranges"]["path"]
    assert kept["transmission"] == [0.9, 0.3]
    assert len(kept["sha256"]) == 64


def test_a_store_on_plates_is_rendered_again_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "plates", [scene(f"p{n}", (80, 80)) for n in range(2)])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    assert scenes(Path("x.zarr"), *ON_PLATES).rc == 0
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("verify", "../x.zarr", "--regenerate", "6").rc == 0
    (tmp_path / "plates").rename(tmp_path / "moved")
    call("verify", "../x.zarr", "--regenerate", "6").refused(2, f"{tmp_path}/plates: does not exist")
    assert call("verify", "../x.zarr", "--regenerate", "6", "--source", "../moved").rc == 0


def test_a_plate_more_is_refused_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(tmp_path / "plates", [scene(f"p{n}", (80, 80)) for n in range(2)])
    monkeypatch.chdir(tmp_path)
    assert scenes(tmp_path / "x.zarr", *ON_PLATES).rc == 0
    write_corpus(tmp_path / "plates", [scene("p9", (80, 80))])
    ended = scenes(tmp_path / "x.zarr", *ON_PLATES)
    assert ended.rc == 2
    assert "differs: plates new: 1 (p9)" in ended.stderr
    call("verify", "x.zarr", "--regenerate", "6").refused(2, "other frames than the store was begun with: 1 new ('p9')")


def test_the_documented_recipe_and_table_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of docs/scenes.md as they stand, on a tiny canvas."""
    page = (REPOSITORY / "docs" / "scenes.md").read_text(encoding="utf-8")
    blocks = {text.split()[0]: textwrap.dedent(text) for text in re.findall(r"(?:^ {4}.*\n)+", page, re.MULTILINE)}
    (tmp_path / "my_path.csv").write_text(blocks["range_km,transmission,path_radiance"])
    (tmp_path / "mine.yaml").write_text("name: mine\nsplit: null\nnum_synthetic: 0\n" + blocks["source:"])
    monkeypatch.chdir(tmp_path)
    flags = [flag for key in TINY for flag in ("--set", key)]
    assert call("synthesize", "mine.yaml", "--out", "x.zarr", "--cluster", "sync", *flags).rc == 0
    ranges = open_store(tmp_path / "x.zarr").column("target/range_km")
    assert ((ranges[ranges > 0.0] >= 2.0) & (ranges[ranges > 0.0] <= 12.0)).all()
