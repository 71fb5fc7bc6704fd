"""What a store says of itself: complete, comparable, and noticed when damaged."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import RefusalError
from synth.sources import digest_of_sources
from synth.store.commit import all_digests
from synth.store.manifest import Manifest, hash_content
from tests.support.builders import recipe_of, scene, write_corpus, write_mini_corpus
from tests.support.stores import begun_store, file_hashes, small_recipe


def edited(store: Path, change) -> Path:
    """Change the parsed manifest of a store in place."""
    file = store / "manifest.json"
    content = json.loads(file.read_bytes())
    change(content)
    file.write_text(json.dumps(content))
    return store


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_mini_corpus(tmp_path_factory.mktemp("manifest") / "corpus")


@pytest.fixture
def begun(corpus, tmp_path):
    """Return a function that begins a store with recipe keys and returns its manifest."""
    stores = iter(range(100))

    def begin(root: Path = corpus, **keys: object) -> Manifest:
        return begun_store(tmp_path / f"{next(stores)}.zarr", small_recipe(root, **keys), root)

    return begin


def test_survives_the_disk(begun, tmp_path):
    manifest = begun()
    loaded = Manifest.load(tmp_path / "0.zarr")
    assert loaded.encode() == manifest.encode()
    assert loaded.shape == manifest.shape and loaded.recipe == manifest.recipe and loaded.sources == manifest.sources
    assert not loaded.is_complete and loaded.content_hash is None


def test_holds_what_repair_needs(finished):
    content = Manifest.load(finished).content
    assert content["state"] == "complete" and len(content["shards"]) == 9 and len(content["content_hash"]) == 64
    assert content["versions"].keys() >= {"sirst-foundry", "python", "numpy", "scipy", "numba", "zarr", "numcodecs", "pillow"}
    assert content["cpu_level"] is None, "every step is exactly rounded, so no level is promised"
    assert Path(content["sources"]["path"]).is_dir()
    for row in content["sources"]["frames"]:
        assert len(row["image_sha256"]) == len(row["mask_sha256"]) == len(row["pixels_sha256"]) == 64
    assert content["codes"]["sample/kind"]["negative"] == 1
    assert not any(host in json.dumps(content) for host in ("since", "hostname", "pid"))


def test_same_recipe_and_sources_may_share_a_store(begun, tmp_path):
    other = write_mini_corpus(tmp_path / "moved")
    assert begun().differences(begun(other, name="renamed")) == [], "name and place of the folder decide no byte"


@pytest.mark.parametrize(
    ("keys", "lines"),
    [
        ({"seed": 9}, ["seed: 0 in the store, 9 now"]),
        ({"passes": [{"alpha": 0.2}]}, None),
        ({"noise": {"var_max": 40, "window_px": 16, "stride_px": 16}}, ["noise.var_max: 50.0 in the store, 40.0 now"]),
        ({"max_targets": 5}, ["max_targets: 16 in the store, 5 now", "shape.max_targets: 16 in the store, 5 now"]),
        ({"store": {"shard_images": 8}}, ["shape.shard_images: 7 in the store, 8 now"]),
    ],
)
def test_other_recipes_are_told_apart_key_by_key(begun, keys, lines):
    found = begun().differences(begun(**keys))
    assert found == lines if lines else any(line.startswith("passes: [{") for line in found)


def test_other_sources_are_told_apart_frame_by_frame(begun, tmp_path):
    other = write_mini_corpus(tmp_path / "other")
    (other / "images/square.png").write_bytes((other / "images/held_out.png").read_bytes())
    (other / "masks/square.png").write_bytes((other / "masks/large.png").read_bytes())
    (other / "test.txt").write_text("small\n")
    (other / "train.txt").write_text("wide\nheld_out\n")
    assert begun().differences(begun(other)) == [
        "shape.num_samples: 60 in the store, 43 now",
        "source frames gone: 2 (small, square)",
        "source frames new: 1 (held_out)",
    ]


def test_changed_source_is_named(begun, tmp_path):
    other = write_mini_corpus(tmp_path / "other")
    wide = other / "images/wide.png"
    wide.write_bytes(wide.read_bytes() + b"\0")
    assert begun().differences(begun(other)) == ["source frames changed: 1 (wide)"]


@pytest.mark.parametrize("num_synthetic", [0, 4])
def test_other_plates_are_told_apart(tmp_path, num_synthetic):
    """Of copies of scenes as well, whose stores did not record their plates at first: those go on."""
    folder = write_corpus(tmp_path / "plates", [scene("p0", (80, 80))])
    plates = {"path": str(folder), "split": None, "share": 1.0}
    source = {"kind": "scenes", "num_frames": 2, "frame_hw": (64, 64), "targets": {"empty_share": 0}, "plates": plates}
    recipe = recipe_of(source=source, noise={"var_max": 1e4}, num_synthetic=num_synthetic)
    stores = iter(range(9))

    def described() -> Manifest:
        return begun_store(tmp_path / f"{next(stores)}.zarr", recipe, None)

    first = described()
    assert first.differences(described()) == []
    if num_synthetic:
        old = Manifest(copy.deepcopy(first.content))
        old.content["sources"].update(plates=[], digest=digest_of_sources(old.content["sources"] | {"plates": []}))
        assert old.differences(described()) == []
    (folder / "images/p1.png").write_bytes((folder / "images/p0.png").read_bytes())
    (folder / "masks/p1.png").write_bytes((folder / "masks/p0.png").read_bytes())
    assert "plates new: 1 (p1)" in first.differences(described())


def test_a_store_from_before_noise_folders_had_tests_goes_on_with_its_bank(begun):
    def described(digest: str, **leakage: object) -> Manifest:
        manifest = Manifest(copy.deepcopy(begun().content) | {"noise_digest": digest})
        manifest.content["sources"]["leakage"] |= {"noise_frames": ["a.png", "b.png"], "noise_frames_excluded": []} | leakage
        return manifest

    now = described("now", noise_frames_excluded=["b"], noise_kept_from=["hash"])
    assert described("then").differences(now) == []
    for other in (described("then", noise_frames=["a.png"]), described("then", noise_kept_from=["hash"])):
        assert other.differences(now) == ["noise bank: other windows were sampled (the frames of noise.source have changed)"]


def test_content_hash_covers_content_and_not_layout(finished, begun):
    manifest = Manifest.load(finished)
    digests = list(all_digests(finished, manifest.shape))
    same = Manifest(copy.deepcopy(manifest.content))
    same.content["shape"]["shard_images"] = 60
    same.content["versions"] = {}
    assert hash_content(same, [b"".join(digests)]) == manifest.content_hash == hash_content(manifest, digests)
    assert hash_content(manifest, [digests[1], digests[0], *digests[2:]]) != manifest.content_hash
    for key, value in {"num_samples": 61, "image_dtype": "uint16", "max_targets": 15, "canvas_hw": [64, 65]}.items():
        other = Manifest(copy.deepcopy(manifest.content))
        other.content["shape"][key] = value
        assert hash_content(other, digests) != manifest.content_hash, key
    other = Manifest(manifest.content | {"noise_digest": "0" * 64})
    assert hash_content(other, digests) != manifest.content_hash


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": "other"}', b"\xff\xfe"])
def test_no_manifest_of_ours(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(RefusalError, match=r"manifest\.json: "):
        Manifest.load(tmp_path)


def test_no_manifest_at_all(tmp_path):
    with pytest.raises(RefusalError, match="is no foundry store"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("version", [2, "1", None])
def test_newer_format_says_update(damaged, version):
    edited(damaged, lambda m: m.update(format_version=version))
    with pytest.raises(RefusalError, match=r"format_version must be 1, got .*update sirst-foundry"):
        Manifest.load(damaged)


@pytest.mark.parametrize("key", ["recipe", "recipe_hash", "shape", "sources", "noise_digest", "state", "shards", "arrays"])
def test_missing_entry_is_named(damaged, key):
    edited(damaged, lambda m: m.pop(key))
    with pytest.raises(RefusalError, match=f"lacks {key}"):
        Manifest.load(damaged)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(shape={}),
        lambda m: m["shape"].update(num_samples="60"),
        lambda m: m["shape"].update(num_samples=-1),
        lambda m: m["shape"].update(shard_images=0),
        lambda m: m["shape"].update(canvas_hw=[64]),
        lambda m: m["shape"].update(image_dtype="object"),
        lambda m: m["shape"].update(extra=1),
        lambda m: m.update(arrays=["../../elsewhere"]),
        lambda m: m.update(arrays=["/etc"]),
        lambda m: m.update(arrays=[7]),
        lambda m: m.update(arrays=3),
        lambda m: m.update(state="done"),
        lambda m: m.update(shards=[]),
        lambda m: m["shards"].__setitem__(0, 7),
        lambda m: m["shards"][0].pop("record"),
        lambda m: m.update(content_hash=None),
        lambda m: m.update(sources=[]),
        lambda m: m["sources"].update(path=3),
        lambda m: m["sources"].update(frames=[3]),
        lambda m: m.update(recipe=[]),
        lambda m: m.pop("algo_version"),
    ],
)
def test_entry_of_another_type_is_damage(damaged, change):
    edited(damaged, change)
    with pytest.raises(RefusalError, match=r"manifest\.json: is damaged \(.*restore it from a copy") as raised:
        Manifest.load(damaged)
    assert "\n" not in str(raised.value)


def test_damaged_recipe_or_source_row(damaged):
    edited(damaged, lambda m: (m["recipe"].update(seed=-1), m["sources"]["frames"][0].pop("hw")))
    manifest = Manifest.load(damaged)
    with pytest.raises(RefusalError, match="recipe is damaged") as raised:
        _ = manifest.recipe
    assert "\n" not in str(raised.value)
    with pytest.raises(RefusalError, match="sources are damaged"):
        _ = manifest.sources


def test_edits_contradict_the_hashes(damaged):
    assert Manifest.load(damaged).faults() == []
    edited(damaged, lambda m: (m["recipe"]["source"].update(path="/elsewhere"), m["recipe"].update(name="other")))
    assert Manifest.load(damaged).faults() == [], "name and folder are in no hash"
    edited(damaged, lambda m: m["recipe"].update(seed=1))
    (fault,) = Manifest.load(damaged).faults()
    assert "recipe_hash" in fault
    edited(damaged, lambda m: m["sources"]["frames"][1]["centres"][0].__setitem__(0, 1.0))
    assert len(Manifest.load(damaged).faults()) == 2


def test_manifest_of_an_earlier_recipe_model_does_not_contradict_itself(finished):
    """A later version's recipe has more keys: the stored entry, not the model, is what the hash was taken over."""
    manifest = Manifest.load(finished)
    content = copy.deepcopy(manifest.content)
    content["recipe"]["a_key_of_the_past"] = 1
    assert len(Manifest(content).faults()) == 1, "but it cannot be added afterwards"


JSON = st.sampled_from([None, True, [], {}, -1, 0, 1, 2.5, "", "x"]) | st.integers() | st.text(max_size=3)


@given(data=st.data(), value=JSON)
def test_any_damage_is_read_or_refused(finished, tmp_path_factory, data, value):
    content = json.loads((finished / "manifest.json").read_bytes())
    at = content
    while True:
        keys = sorted(at) if isinstance(at, dict) else range(len(at))
        key = data.draw(st.sampled_from(list(keys)))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            at[key] = value
            break
        at = at[key]
    folder = tmp_path_factory.mktemp("any")
    (folder / "manifest.json").write_text(json.dumps(content))
    try:
        manifest = Manifest.load(folder)
        manifest.faults()
        _ = (manifest.shape.num_shards, manifest.recipe, manifest.sources, manifest.source_root, manifest.specs())
    except RefusalError as error:
        assert "\n" not in str(error)


def test_a_new_store_is_a_function_of_recipe_and_sources(begun, tmp_path):
    begun()
    begun()
    assert file_hashes(tmp_path / "0.zarr") == file_hashes(tmp_path / "1.zarr")
