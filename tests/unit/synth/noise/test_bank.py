"""The noise bank: bounded, sorted, the same in any order, and every value in its digest."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from synth.noise import BANK_DTYPES, NoiseBank, Reservoir, Windows
from synth.rng import Stream, keyed_hash

SIDE = 4


def windows(frame: int, num: int) -> Windows:
    """Return windows whose every value tells where they come from."""
    at = np.arange(num)
    patch = np.broadcast_to((frame * 16 + at)[:, None, None] % 256, (num, SIDE, SIDE)).astype(np.uint8)
    return Windows(patch, at // 4 * SIDE, at % 4 * SIDE, frame + at / 3, 1 + at / 7)


def bank_of(offers, *, max_windows: int = 1000, seed: int = 0) -> NoiseBank:
    reservoir = Reservoir(seed, SIDE, max_windows)
    for source, frame, found in offers:
        reservoir.add(source, frame, found)
    return reservoir.bank()


OFFERS = [(source, frame, windows(frame, 5 + frame % 7)) for source in (1, 0) for frame in (3, 0, 9, 4, 7, 1, 2, 8, 5, 6)]
NUM_OFFERED = sum(len(found) for _, _, found in OFFERS)


def identities(bank: NoiseBank) -> list[tuple[int, ...]]:
    return list(zip(*(getattr(bank, name).tolist() for name in ("source", "frame", "row", "col")), strict=True))


def test_an_unbounded_bank_keeps_everything_with_its_origin():
    bank = bank_of(OFFERS)
    assert len(bank) == NUM_OFFERED
    assert {f.name: getattr(bank, f.name).dtype for f in fields(bank)} == {n: np.dtype(d) for n, d in BANK_DTYPES.items()}
    offered = {(s, f): found for s, f, found in OFFERS}
    for i, (source, frame, row, col) in enumerate(identities(bank)):
        found = offered[source, frame]
        (j,) = np.nonzero((found.row == row) & (found.col == col))[0]
        np.testing.assert_array_equal(bank.patch[i], found.patch[j])
        assert (bank.mean[i], bank.variance[i]) == (found.mean[j], found.variance[j])


@pytest.mark.parametrize("max_windows", [1, 7, 40, 1000])
def test_a_bank_is_sorted_and_bounded(max_windows):
    bank = bank_of(OFFERS, max_windows=max_windows)
    assert len(bank) == min(max_windows, NUM_OFFERED)
    assert identities(bank) == sorted(set(identities(bank)))


@pytest.mark.parametrize("max_windows", [7, 40, 1000])
def test_the_order_of_frames_changes_nothing(max_windows):
    expected = bank_of(OFFERS, max_windows=max_windows).digest()
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(OFFERS))
        assert bank_of([OFFERS[i] for i in order], max_windows=max_windows).digest() == expected


def test_what_is_kept_is_what_has_the_smallest_keyed_hash():
    everything = identities(bank_of(OFFERS))
    hashes = keyed_hash(5, Stream.RESERVOIR, *np.array(everything).T)
    smallest = {everything[i] for i in np.argsort(hashes)[:20]}
    assert set(identities(bank_of(OFFERS, max_windows=20, seed=5))) == smallest


def test_the_seed_draws_other_windows():
    kept = {tuple(identities(bank_of(OFFERS, max_windows=20, seed=seed))) for seed in range(5)}
    assert len(kept) == 5


def test_a_bound_keeps_early_and_late_frames_alike():
    """Share of the first half of 400 frames among 400 of 3,200 windows: 0.5 +- 3.3 sigma; a prefix would give 1."""
    bank = bank_of(((0, frame, windows(frame, 8)) for frame in range(400)), max_windows=400)
    assert len(bank) == 400
    assert np.mean(bank.frame < 200) == pytest.approx(0.5, abs=0.08)


def test_memory_stays_bounded_while_filling():
    reservoir = Reservoir(0, SIDE, 10)
    for frame in range(200):
        reservoir.add(0, frame, windows(frame, 12))
        held = sum(len(part) for part in reservoir._patches)
        assert held <= 20 + 12
    assert len(reservoir.bank()) == 10


@pytest.mark.parametrize("offers", [[], [(0, 0, windows(0, 0)), (0, 1, windows(1, 0))]])
def test_a_bank_may_be_empty(offers):
    bank = bank_of(offers)
    assert len(bank) == 0 and bank.patch.shape == (0, SIDE, SIDE)
    assert all(getattr(bank, name).dtype == np.dtype(dtype) for name, dtype in BANK_DTYPES.items())
    assert bank.digest() != bank_of(OFFERS).digest()


def test_the_digest_covers_every_value_of_every_array():
    bank = bank_of(OFFERS)
    digests = {bank.digest()}
    for name in BANK_DTYPES:
        for place in (0, -1):
            changed = getattr(bank, name).copy()
            changed.reshape(-1)[place] += 1
            digests.add(replace(bank, **{name: changed}).digest())
    assert len(digests) == 1 + 2 * len(BANK_DTYPES)


def test_the_digest_covers_tiny_changes_order_and_shape_but_not_the_dtype_in_memory():
    bank = bank_of(OFFERS)
    digest = bank.digest()
    assert replace(bank, mean=np.nextafter(bank.mean, np.inf)).digest() != digest
    flipped = {name: getattr(bank, name)[::-1] for name in BANK_DTYPES}
    assert NoiseBank(**flipped).digest() != digest
    wide = bank.patch.reshape(len(bank), SIDE * 2, SIDE // 2)
    assert replace(bank, patch=wide).digest() != digest
    assert replace(bank, frame=bank.frame.astype(np.int64), row=bank.row.astype(">i4")).digest() == digest
