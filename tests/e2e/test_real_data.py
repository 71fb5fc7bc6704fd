"""The main job on real frames: the published composition, aligned masks, nothing lost."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

from synth import open_corpus, open_store
from tests.support.cli import run
from tests.support.stores import made_once

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def nudt(sirst_data, tmp_path_factory) -> Path:
    """The preset as published, on two processes."""

    def make(folder: Path) -> None:
        ended = run("synthesize", "sirst5k", "--source", sirst_data / "nudt-sirst", "--out", folder / "nudt.zarr", "--workers", 2)
        assert (ended.rc, ended.stderr) == (0, ""), ended
        assert "663 originals + 4199 synthetic = 4862 frames" in ended.stdout

    return made_once(tmp_path_factory, "real-nudt", make) / "nudt.zarr"


def test_composition(nudt):
    store = open_store(nudt)
    assert len(store) == 4862 and store.image_hw == (256, 256)
    passes = store.column("sample/pass_index")
    assert [int((passes == p).sum()) for p in (-1, 0, 1)] == [663, 3672, 527]
    alpha, side = store.column("sample/alpha").astype(np.float64).round(3), store.column("sample/box_side")
    settings = set(zip(alpha.tolist(), side.tolist(), passes.tolist(), strict=True))
    assert settings == {(0.0, 0, -1), (0.1, 2, 0), (0.2, 4, 1)}
    assert np.bincount(store.column("sample/rotation")[passes == 0]).tolist() == [918] * 4
    assert np.bincount(store.column("sample/source"), minlength=663).min() >= 1, "every frame is there"


def test_every_mask_has_its_target(nudt):
    """Every mask is non-empty, and the square that was turned lies on the target of its sample."""
    store = open_store(nudt)
    boxes, sides = store.column("sample/box_rc"), store.column("sample/box_side")
    for first in range(0, len(store), 512):
        indices = range(first, min(first + 512, len(store)))
        masks = store.masks(indices)
        assert masks.max() == 1 and masks.any(axis=(1, 2)).all()
        for index, mask in zip(indices, masks, strict=True):
            if sides[index]:
                (row, col), side = boxes[index], sides[index]
                assert mask[max(row - 1, 0) : row + side + 1, max(col - 1, 0) : col + side + 1].any(), index


def test_originals_are_the_frames_of_the_list(nudt, sirst_data):
    store, corpus = open_store(nudt), open_corpus(sirst_data / "nudt-sirst", "trainval")
    images, masks = store.images(range(663)), store.masks(range(663))
    assert len(corpus) == 663
    for index, sample in enumerate(corpus):
        assert np.array_equal(images[index], np.rint(sample.image * 255).astype(np.uint8))
        assert sample.mask is not None and np.array_equal(masks[index], sample.mask)
        assert store.manifest["sources"]["frames"][index]["id"] == sample.provenance.parent_ids[0]


def test_it_verifies_and_comes_out_the_same_again(nudt):
    ended = run("verify", nudt, "--regenerate", 50)
    assert ended.rc == 0 and "50 random samples come out the same when rendered again" in ended.stdout


def test_stock_zarr_reads_it(nudt):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(nudt, mode="r")
        store = open_store(nudt)
        for index in (0, 662, 663, 4861):
            assert np.array_equal(group["image"][index], store.images([index])[0])
            assert np.array_equal(group["mask"][index], store.masks([index])[0])


def test_sirst_v1(sirst_data, tmp_path):
    """256 training frames with 327 targets: 256 + 4 x 327; frames of many sizes are cropped or padded."""
    out = tmp_path / "v1.zarr"
    ended = run(
        "synthesize", "sirst5k", "--source", sirst_data / "sirst-v1", "--out", out, "--set", "split=train", "--cluster", "sync"
    )
    assert (ended.rc, ended.stderr) == (0, ""), ended
    store = open_store(out)
    assert len(store) == 256 + 4 * 327 == 1564
    masks = store.masks(range(len(store)))
    negatives = store.column("sample/pass_index") == 0
    assert masks[negatives].any(axis=(1, 2)).all(), "the crop keeps the target"
    valid = store.column("sample/valid_hw")
    assert (valid < 256).any() and (valid.max(axis=0) == 256).all()
    for index in np.flatnonzero((valid < 256).any(axis=1))[:40]:
        rows, cols = valid[index]
        assert not masks[index][rows:].any() and not masks[index][:, cols:].any(), "padding holds no target"
