"""The recipe: what it refuses, what its hash covers, how large a shard is."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

import synth.recipe
from pipelines.config import load_recipe, recipe_names
from synth.noise import MAX_PATCH_BYTES
from synth.recipe import SynthesisRecipe, content_of
from synth.scene import render_scene
from synth.store.metadata import MAX_CHUNK_BYTES

BASE: dict[str, Any] = {"name": "base"}


def recipe(**keys: Any) -> SynthesisRecipe:
    return SynthesisRecipe.model_validate(BASE | keys)


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"colour": 1}, "colour"),
        ({"noise": {"windw_px": 32}}, "noise.windw_px"),
        ({"legacy": {"gird": True}}, "legacy.gird"),
        ({"store": {"shards": 1}}, "store.shards"),
        ({"passes": [{"alpha": 0.1, "beta": 90}]}, "passes.0.beta"),
        ({"source": {"kind": "corpus", "num_frames": 3}}, "source.corpus.num_frames"),
        ({"source": {"kind": "scenes", "path": "x"}}, "source.scenes.path"),
        ({"source": {"kind": "video"}}, "source"),
        ({"source": {"path": "x"}}, "source"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"seed": None}, "seed"),
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "../x"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"split": "test"}, "split"),
        ({"split": "val"}, "split"),
        ({"canvas_hw": [256]}, "canvas_hw"),
        ({"canvas_hw": [256, 256, 3]}, "canvas_hw"),
        ({"canvas_hw": [31, 256]}, "canvas_hw.0"),
        ({"canvas_hw": [256, 4097]}, "canvas_hw.1"),
        ({"fit": "stretch"}, "fit"),
        ({"image_dtype": "float32"}, "image_dtype"),
        ({"passes": []}, "passes"),
        ({"passes": [{}, {"alpha": 2}]}, "passes.1.alpha"),
        ({"passes": [{"side": 5}]}, "passes.0.side"),
        ({"num_synthetic": -1}, "num_synthetic"),
        ({"num_synthetic": 10**9 + 1}, "num_synthetic"),
        ({"num_synthetic": "some"}, "num_synthetic"),
        ({"num_synthetic": 2.5}, "num_synthetic"),
        ({"originals": "perhaps"}, "originals"),
        ({"max_targets": 0}, "max_targets"),
        ({"max_targets": 256}, "max_targets"),
        ({"store": {"shard_images": 0}}, "store.shard_images"),
        ({"noise": {"var_max": "loud"}}, "noise.var_max"),
        ({"noise": {"mean_max": 0}}, "noise.mean_max"),
        ({"source": {"kind": "corpus", "max_level": 70_000}}, "source.corpus.max_level"),
        ({"source": {"kind": "corpus", "mask_scale": "maybe"}}, "source.corpus.mask_scale"),
    ],
)
def test_faults_are_found_where_they_are(keys, where):
    with pytest.raises(ValidationError) as caught:
        recipe(**keys)
    places = [".".join(map(str, fault["loc"])) for fault in caught.value.errors()]
    assert any(place == where or place.startswith(f"{where}.") for place in places), places


def test_all_faults_are_reported_at_once():
    with pytest.raises(ValidationError) as caught:
        recipe(seed=-1, fit="stretch", colour=1, noise={"var_max": -1})
    assert len(caught.value.errors()) == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"canvas_hw": [32, 256], "noise": {"window_px": 33}}, r"noise\.window_px must be <= canvas_hw, got 33"),
        ({"legacy": {"duplicate_lines": True}}, r"legacy\.duplicate_lines must stand with legacy\.centres_file"),
        ({"num_synthetic": 0, "originals": False}, r"num_synthetic must be > 0 when originals is false"),
        ({"noise": {"window_px": 65}}, r"noise\.max_windows must be <= 63535 with noise\.window_px 65, .* got 65536"),
        ({"noise": {"max_windows": 262_145}}, r"noise\.max_windows must be <= 262144 with noise\.window_px 32, .* got 262145"),
        (
            {"noise": {"max_level": 16383}},
            r"noise\.max_level must stand with a folder as noise\.source, got same; set source\.max",
        ),
        (
            {"noise": {"split_list": "v1"}},
            r"noise\.split_list must stand with a folder as noise\.source, got same; set source\.spl",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_named(keys, message):
    with pytest.raises(ValidationError, match=message):
        recipe(**keys)


@pytest.mark.parametrize(("side", "most"), [(4, 1_048_576), (32, 262_144), (64, 65_536), (128, 16_384), (256, 4096)])
def test_a_bank_fits_one_chunk_that_readers_accept(side, most):
    assert MAX_PATCH_BYTES == MAX_CHUNK_BYTES
    largest = recipe(noise={"window_px": side, "max_windows": most}).noise
    assert largest.max_windows * largest.window_px**2 <= MAX_CHUNK_BYTES
    with pytest.raises(ValidationError, match=r"max_windows"):
        recipe(noise={"window_px": side, "max_windows": most + 1})


def test_rendered_scenes_have_no_bank_to_be_too_large():
    scenes = {"source": {"kind": "scenes"}, "noise": {"window_px": 256}}
    assert recipe(num_synthetic=0, **scenes).noise.max_windows == 65_536
    with pytest.raises(ValidationError, match=r"noise\.max_windows must be <= 4096"):
        recipe(num_synthetic=5, **scenes)


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        recipe().seed = 3
    with pytest.raises(ValidationError, match="frozen"):
        recipe().noise.var_max = 3.0


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "another"},
        {"store": {"shard_images": 7}},
        {"source": {"kind": "corpus", "path": "/somewhere"}},
        {"passes": [{}]},
        {"passes": [{"alpha": 0.1, "side": 2}]},
        {"noise": {"gain": 1}},
        {"noise": {"var_max": 50}},
        {"seed": 0},
    ],
)
def test_the_hash_ignores_name_layout_folder_and_spelling(keys):
    assert recipe(**keys).hash() == recipe().hash()


CONTENT_CHANGES = [
    {"seed": 1},
    {"split": "trainval"},
    {"split": None},
    {"canvas_hw": [256, 128]},
    {"canvas_hw": [128, 256]},
    {"fit": "resize"},
    {"image_dtype": "uint16"},
    {"originals": False},
    {"num_synthetic": 100},
    {"num_synthetic": "published"},
    {"max_targets": 17},
    {"max_impostors": 17},
    {"passes": [{"alpha": 0.2}]},
    {"passes": [{"side": 4}]},
    {"passes": [{}, {}]},
    {"passes": [{"alpha": 0.2}, {}]},
    {"passes": [{}, {"alpha": 0.2}]},
    {"source": {"kind": "scenes"}},
    {"source": {"kind": "scenes", "num_frames": 3}},
    *({"source": {"kind": "corpus", key: value}} for key, value in
      (("layout", "pairs"), ("split_list", "v2"), ("max_level", 16383), ("mask_scale", "auto"))),
    *({"noise": {key: value}} for key, value in
      (("source", "other"), ("window_px", 16), ("stride_px", 16), ("var_min", 1.0), ("var_max", 49.0), ("mean_min", 1.0),
       ("mean_max", 200.0), ("seq_var_max", 49.0), ("seq_mean_max", 49.0), ("peak_max_sigma", 5.0), ("exclude_targets", False),
       ("max_windows", 100), ("upsample", "tile"), ("dc", "zero_mean"), ("detrend", "plane"), ("gain", 2.0),
       ("gain", "calibrated"))),
    *({"noise": {"source": "other", key: value}} for key, value in (("split_list", "v2"), ("max_level", 16383))),
    *({"legacy": {key: True}} for key in ("grid", "overwrite", "include_targets", "border", "flip_first")),
    {"legacy": {"centres_file": "c.txt"}},
    {"legacy": {"centres_file": "c.txt", "duplicate_lines": True}},
]  # fmt: skip


def test_the_hash_changes_with_everything_else():
    hashes = [recipe(**keys).hash() for keys in ({}, *CONTENT_CHANGES)]
    assert len(set(hashes)) == len(hashes) == len(CONTENT_CHANGES) + 1


def test_no_field_was_forgotten_above():
    """A new field must be added to one of the two lists: does it change the bytes, or not?"""
    covered = {(key, sub) for keys in CONTENT_CHANGES for key, value in keys.items() for sub in _names(value)}
    ignored = {("source", "path"), ("store", "shard_images"), ("name", None)}
    assert _fields() <= covered | ignored


def _names(value: Any) -> set[str | None]:
    if isinstance(value, list) and isinstance(value[0], dict):
        return {name for entry in value for name in entry} | {None}
    return set(value) if isinstance(value, dict) else {None}


def _fields() -> set[tuple[str, str | None]]:
    """Return (field, inner field or None) of the recipe with a corpus; the built-in source has its own hash-free purity."""
    found: set[tuple[str, str | None]] = set()
    for name, value in recipe():
        inner = value[0] if name == "passes" else value
        found |= {(name, sub) for sub in type(inner).model_fields} if isinstance(inner, BaseModel) else {(name, None)}
    return found - {("source", "kind")}


def test_later_keys_are_recorded_only_where_they_are_used():
    """Stores from before there were such keys go on: at their defaults they enter neither hash nor manifest."""
    plates = {"path": "x"}
    plain = recipe(source={"kind": "scenes", "plates": plates}, noise={"source": "other"})
    dump = plain.model_dump(mode="json")
    assert dump["noise"].keys().isdisjoint(("split_list", "max_level")) and "split_list" not in dump["source"]["plates"]
    named = (
        recipe(source={"kind": "scenes", "plates": plates | {"split_list": "v2"}}, noise={"source": "other"}),
        recipe(source={"kind": "scenes", "plates": plates}, noise={"source": "other", "split_list": "v2"}),
        recipe(source={"kind": "scenes", "plates": plates}, noise={"source": "other", "max_level": 16383}),
    )
    assert len({plain.hash(), *(other.hash() for other in named)}) == 4
    assert plain.hash() == "06a70647bb708ab48a14b322bed550a177acfa77675ab5807a7c6580b34f67e8", "a hash of before these keys"


PATH_TABLE = "range_km,transmission,path_radiance\n0.5,0.9,0.1\n5.0,0.5,0.4\n"


def test_the_hash_ignores_where_a_path_table_lies(tmp_path):
    point = {"levels": {"point": 1.0, "blob": 0.0, "extended": 0.0, "group": 0.0}}
    ranges = {
        "range_km": [3.0, 4.0],
        "area_m2": [0.1, 0.1],
        "ifov_mrad": 0.2,
        "contrast": {"kind": "kelvin", "kelvin": [4.0, 4.0]},
    }
    hashes = []
    for name, text in (("a.csv", PATH_TABLE), ("b.csv", PATH_TABLE), ("c.csv", PATH_TABLE.replace("0.5,0.4", "0.5,0.3"))):
        (tmp_path / name).write_text(text)
        path = {"kind": "table", "file": str(tmp_path / name)}
        made = recipe(source={"kind": "scenes", "targets": point, "ranges": ranges | {"path": path}}, num_synthetic=0)
        hashes.append(made.hash())
        assert content_of(made.model_dump(mode="json")) == made.content()
        assert made.source.ranges.path.file == str(tmp_path / name), "the manifest still says where it was read"
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_hash_ignores_where_a_centres_file_lies():
    """The centres themselves are in the digest of the source frames."""
    here, there = (recipe(legacy={"centres_file": path}) for path in ("c.txt", "/elsewhere/d.txt"))
    assert here.hash() == there.hash() != recipe().hash() and here.legacy.centres_file == "c.txt"


def test_the_hash_covers_every_field_of_rendered_scenes():
    changes = {
        "num_frames": 3, "frame_hw": [64, 64], "sensor": "stress_low_scr", "sensor_overrides": {"jitter_sigma_px": 0.1},
        "regimes": {"sky": 1.0}, "plates": {"path": "x", "share": 0.4}, "targets": {"empty_share": 0.5}, "scr": {"high": 10.0},
        "impostors": {"streak": 0.5}, "sequence": {"length": 3}, "frames_per_camera": 3, "raw": True, "textures": "own",
        "clutter_tilt": 0.1, "calibrated_on": "somewhere",
        "ranges": {
            "range_km": [3.0, 4.0], "area_m2": [0.1, 0.1], "ifov_mrad": 0.2,
            "contrast": {"kind": "kelvin", "kelvin": [4.0, 4.0]}, "path": {"kind": "beer", "extinction_per_km": 0.2},
        },
    }  # fmt: skip
    point = {"targets": {"levels": {"point": 1.0, "blob": 0.0, "extended": 0.0, "group": 0.0}}}
    beside = {"ranges": point}
    plain = recipe(source={"kind": "scenes"}, num_synthetic=0)
    assert set(type(plain.source).model_fields) == {"kind", *changes}
    sizes = {"frame_hw": {"canvas_hw": [64, 64]}}
    hashes = {
        recipe(source={"kind": "scenes", key: value} | beside.get(key, {}), num_synthetic=0, **sizes.get(key, {})).hash()
        for key, value in changes.items()
    }
    assert len(hashes | {plain.hash()}) == len(changes) + 1


def test_scenes_do_not_depend_on_the_order_of_their_regimes():
    ways = [recipe(source={"kind": "scenes", "regimes": r}) for r in ({"sky": 1, "sea": 2}, {"sea": 2, "sky": 1})]
    first, second = (render_scene(way.source, 0, 5).levels for way in ways)
    assert ways[0].hash() == ways[1].hash() and (first == second).all()


def test_a_new_algorithm_has_new_hashes(monkeypatch):
    before = recipe().hash()
    monkeypatch.setattr(synth.recipe, "ALGO_VERSION", synth.recipe.ALGO_VERSION + 1)
    assert recipe().hash() != before


def test_a_recipe_survives_its_own_dump():
    for name in recipe_names():
        original = load_recipe(name, SynthesisRecipe)
        again = SynthesisRecipe.model_validate(original.model_dump(mode="json"))
        assert again == original and again.hash() == original.hash()


@pytest.mark.parametrize(
    ("canvas_hw", "num"),
    [((256, 256), 1024), ((512, 512), 256), ((128, 128), 1024), ((256, 512), 512), ((640, 512), 204), ((4096, 4096), 4)],
)
def test_shards_hold_about_64_megapixels_and_at_most_1024_images(canvas_hw, num):
    assert recipe(canvas_hw=canvas_hw).shard_images() == num
    assert recipe(canvas_hw=canvas_hw, store={"shard_images": 10}).shard_images() == 10


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sirst5k", {"split": "trainval", "fit": "native_crop", "num_synthetic": "published", "canvas_hw": (256, 256)}),
        ("sirst5k_plus", {"split": "trainval", "fit": "native_crop", "num_synthetic": "published"}),
        ("sirst5k_released_driver", {"split": "trainval", "fit": "resize", "num_synthetic": "all"}),
        ("demo", {"split": None, "num_synthetic": 1600}),
        ("scenes", {"split": None, "num_synthetic": 0}),
    ],
)
def test_shipped_recipes_say_what_they_promise(name, expected):
    shipped = load_recipe(name, SynthesisRecipe)
    assert shipped.name == name and expected.items() <= dict(shipped).items()
    assert set(recipe_names()) == {"demo", "scenes", "sirst5k", "sirst5k_plus", "sirst5k_released_driver"}


def test_the_faithful_preset_has_the_published_constants():
    shipped = load_recipe("sirst5k", SynthesisRecipe)
    noise = shipped.noise
    assert (noise.window_px, noise.stride_px, noise.var_max, noise.mean_min, noise.mean_max) == (32, 32, 50, 0, None)
    assert (noise.seq_var_max, noise.seq_mean_max, noise.max_windows) == (50, 50, 65_536)
    assert (noise.upsample, noise.dc, noise.detrend, noise.gain, noise.source) == ("bilinear", "keep", "none", 1.0, "same")
    assert [(p.alpha, p.side) for p in shipped.passes] == [(0.1, 2), (0.2, 4)]
    assert not any(dict(shipped.legacy).values())


def test_the_released_driver_preset_has_its_bugs():
    shipped = load_recipe("sirst5k_released_driver", SynthesisRecipe)
    legacy = shipped.legacy
    assert legacy.grid and legacy.overwrite and legacy.include_targets and legacy.border and legacy.flip_first
    assert [(p.alpha, p.side) for p in shipped.passes] == [(0.1, 32)]
