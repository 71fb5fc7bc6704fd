"""A store written once by version 1 of the format: every later version reads it, value for value."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

from synth import Target, TargetKind, open_store
from synth.repair import compare_rendered
from synth.rng import ALGO_VERSION
from synth.store.manifest import Manifest
from synth.store.verify import check_store
from tests.golden.make_store import make_store
from tests.support.builders import write_mini_corpus

STORE = Path(__file__).parent / "store_v1.zarr"
CONTENT_HASH = "346aae4574d940cb032b973a645426e76cc6fb1d1c1e024d4b290e2a8a547e39"
RECIPE_HASH = "750c579d05e4304692f70e22fcb9aed5ccd294c451fd0d4935f3bfdadec14f80"
NOISE_DIGEST = "2a8dbe1a3c68e7875b505fc4ee1a6b9c0ebfab6d2891fb475c316811a192ecf0"
SHA256 = {
    "image": "16a726b279f60ee61efbd502ee570e1b2f0cbb7352488b854d1989f03b389c7b",
    "mask": "af195c7c914090f6124632d92286d6d65290fa136bf0f28796e7a01477c80b6b",
    "sample/digest": "e980329def1d110a983371d5aa7a6d520a6a2e9455ef8dd133d3ca229a850229",
}
ADVICE = "what a recipe gives has changed: bump ALGO_VERSION and say so in the changelog; never make store_v1.zarr again"


def sha256(values) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def test_it_holds():
    """Every file, every decoded value against its digest, and the content hash."""
    findings = check_store(STORE, threads=1, on_shard=lambda _: None)
    assert findings.faults == () and findings.foreign == ()
    manifest = Manifest.load(STORE)
    assert (manifest.content_hash, manifest.recipe_hash) == (CONTENT_HASH, RECIPE_HASH)
    assert manifest.content["noise_digest"] == NOISE_DIGEST == open_store(STORE).noise_bank().digest()


def test_values():
    store = open_store(STORE)
    assert len(store) == 11 and store.image_hw == (48, 40)
    assert sha256(store.images(range(11))) == SHA256["image"]
    assert sha256(store.masks(range(11))) == SHA256["mask"]
    assert sha256(store.column("sample/digest")) == SHA256["sample/digest"]
    assert store.column("sample/source").tolist() == [0, 1, 2, 3, 0, 1, 2, 2, 3, 3, 3]
    assert store.column("sample/rotation").tolist() == [0, 0, 0, 0, 1, 2, 2, 3, 2, 0, 2]
    assert store.column("sample/noise_window").tolist() == [-1, -1, -1, -1, 0, 3, 4, 3, 2, 3, 0]


def test_samples():
    store = open_store(STORE)
    original, copy = store[1], store[9]
    assert original.provenance.parent_ids == ("small",) and original.provenance.operations == ()
    assert original.valid_hw == (40, 36) and copy.valid_hw == (48, 40) and original.bit_depth == 8
    assert np.rint(original.image[0, :4] * 255).tolist() == [236, 213, 120, 120]
    assert copy.mask is not None and int(copy.mask.sum()) == 12
    assert copy.provenance.operations == ("mix noise window 3 at alpha 0.2", "rotate 4 px at (20, 13) by 0 degrees")
    assert (copy.provenance.seed, copy.provenance.index, copy.provenance.recipe_hash) == (20_240_601, 9, RECIPE_HASH)
    (target,) = copy.targets
    expected = Target(21.5, 15.0, 12, 121.5955810546875, 1263.14697265625, 21.24492645263672, TargetKind.REAL)
    for name in ("row_subpx", "col_subpx", "area_px", "peak_contrast", "flux", "scr_view", "kind", "track_id"):
        assert getattr(target, name) == getattr(expected, name)


def test_stock_zarr_reads_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(STORE, mode="r")
        assert sha256(group["image"][:]) == SHA256["image"] and sha256(group["mask"][:]) == SHA256["mask"]


def test_it_is_small():
    assert sum(path.stat().st_size for path in STORE.rglob("*") if path.is_file()) < 200_000


def test_it_names_no_folder_of_a_machine():
    text = (STORE / "manifest.json").read_text()
    assert Manifest.load(STORE).source_root == Path("corpus") and '"/' not in text


@pytest.mark.skipif(ALGO_VERSION != 1, reason="this version makes other samples of the same recipe, and says so")
def test_its_samples_come_out_the_same_again(tmp_path):
    corpus = write_mini_corpus(tmp_path / "corpus")
    assert compare_rendered(STORE, 11, source_root=corpus, on_sample=lambda _: None) == [], ADVICE


@pytest.mark.skipif(ALGO_VERSION != 1, reason="this version makes other samples of the same recipe, and says so")
def test_it_comes_out_the_same_again(tmp_path):
    """The columns of every sample too, unless a later version has more of them."""
    made = make_store(tmp_path / "again.zarr")
    before = Manifest.load(STORE)
    if made.content["arrays"] == before.content["arrays"]:
        assert made.content_hash == CONTENT_HASH, ADVICE
    assert made.content["noise_digest"] == NOISE_DIGEST, ADVICE
    again = open_store(tmp_path / "again.zarr")
    assert sha256(again.images(range(11))) == SHA256["image"] and sha256(again.masks(range(11))) == SHA256["mask"], ADVICE
