"""Random streams: one disjoint stream a (seed, stream, index); hashes that no order can change."""

from __future__ import annotations

import numpy as np
import pytest

from synth.rng import KeyedGenerators, Stream, keyed_generator, keyed_hash, keyed_uniforms

KEYED_HASHES = {
    (0, Stream.RESERVOIR, (0, 0, 0, 0)): 6732513527963993253,
    (0, Stream.RESERVOIR, (1, 0, 0, 0)): 17948284315150290033,
    (0, Stream.RESERVOIR, (0, 1, 0, 0)): 15549165102586053410,
    (7, Stream.RESERVOIR, (0, 662, 224, 224)): 4601199212553879182,
    (2**63 - 1, Stream.PLAN, (1, 2, 3, 4)): 10892271692505397230,
}
"""Frozen: which windows a bounded bank keeps follows from them. Checked once against SplitMix64 in Python integers."""


def draws(seed: int, stream: Stream, index: int) -> bytes:
    return keyed_generator(seed, stream, index).bytes(64)


def test_a_generator_depends_on_its_three_arguments_alone():
    assert draws(3, Stream.NOISE, 5) == draws(3, Stream.NOISE, 5)
    others = {(4, Stream.NOISE, 5), (3, Stream.CANVAS, 5), (3, Stream.NOISE, 6), (5, Stream.NOISE, 3)}
    assert len({draws(*key) for key in others | {(3, Stream.NOISE, 5)}}) == 5


def test_generators_are_independent_of_how_much_others_drew():
    first = keyed_generator(0, Stream.NOISE, 0)
    first.standard_normal(10_000)
    assert keyed_generator(0, Stream.NOISE, 1).bytes(64) == draws(0, Stream.NOISE, 1)


def test_neighbouring_indices_own_disjoint_blocks():
    """Blocks that overlapped would repeat each other's words: the counter must advance from its lowest word."""
    words = [keyed_generator(9, Stream.SCENE, index).bit_generator.random_raw(4096) for index in range(8)]
    assert len(np.unique(np.concatenate(words))) == 8 * 4096


@pytest.mark.parametrize("limit", [2**31, 2**32, 2**53, 2**63, 2**64 - 2])
def test_seeds_and_indices_are_exact_to_64_bits(limit):
    """Beyond 2^63 a list of Python integers becomes float64, in which neighbours are equal."""
    keys = [(limit, 0), (limit + 1, 0), (0, limit), (0, limit + 1)]
    assert len({draws(seed, Stream.PLAN, index) for seed, index in keys}) == 4


def test_stream_numbers_are_never_reused_or_moved():
    numbers = {stream.name: int(stream) for stream in Stream}
    frozen = {"SCENE": 0, "TARGETS": 1, "CAMERA": 2, "NOISE": 3, "VIEW": 4, "SPLIT": 5, "CANVAS": 6, "PLAN": 7, "RESERVOIR": 8}
    assert frozen.items() <= numbers.items()
    assert len(set(numbers.values())) == len(numbers)


@pytest.mark.parametrize(("key", "expected"), KEYED_HASHES.items())
def test_keyed_hash_has_its_golden_values(key, expected):
    seed, stream, columns = key
    assert int(keyed_hash(seed, stream, *([c] for c in columns))[0]) == expected


def test_keyed_hash_is_one_value_a_row_whatever_the_batch():
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 1000, 50) for _ in range(4)]
    whole = keyed_hash(1, Stream.RESERVOIR, *columns)
    single = [keyed_hash(1, Stream.RESERVOIR, *(c[i : i + 1] for c in columns))[0] for i in range(50)]
    assert whole.dtype == np.uint64 and whole.tolist() == [int(s) for s in single]
    order = rng.permutation(50)
    assert keyed_hash(1, Stream.RESERVOIR, *(c[order] for c in columns)).tolist() == whole[order].tolist()


def test_keyed_hash_tells_columns_apart():
    """(row, col) and (col, row), and every single column, must matter."""
    base = ([2], [3], [5], [7])
    variants = [base, ([3], [2], [5], [7]), ([2], [3], [7], [5]), *((*base[:j], [11], *base[j + 1 :]) for j in range(4))]
    hashes = {int(keyed_hash(1, Stream.RESERVOIR, *v)[0]) for v in variants}
    hashes |= {int(keyed_hash(2, Stream.RESERVOIR, *base)[0]), int(keyed_hash(1, Stream.PLAN, *base)[0])}
    assert len(hashes) == len(variants) + 2


def test_keyed_hash_is_uniform_over_a_grid():
    """Ids of a real bank are small regular integers; a weak mixer would order them by place.

    Worst of 16 bins of 50,000 hashes: 2.6 sigma; a hash of one multiplication misses by hundreds.
    """
    frame, row, col = (axis.ravel() for axis in np.meshgrid(np.arange(782), np.arange(8) * 32, np.arange(8) * 32))
    hashes = keyed_hash(0, Stream.RESERVOIR, np.zeros_like(frame), frame, row, col)
    assert len(np.unique(hashes)) == len(hashes)
    for shift in (0, 30, 60):
        counts = np.bincount((hashes >> np.uint64(shift)).astype(np.int64) & 15, minlength=16)
        sigma = np.sqrt(len(hashes) * 15 / 256)
        assert np.abs(counts - len(hashes) / 16).max() < 4.5 * sigma


@pytest.mark.parametrize("index", [0, 7, 2**63])
def test_a_generator_is_the_plain_philox_of_its_key_and_counter(index):
    plain = np.random.Philox(key=np.array((5, 3), np.uint64), counter=np.array((0, 0, 0, index), np.uint64))
    expected, ours = np.random.Generator(plain), keyed_generator(5, Stream.NOISE, index)
    assert ours.integers(0, 1000, 9).tolist() == expected.integers(0, 1000, 9).tolist()
    assert ours.standard_normal(5).tolist() == expected.standard_normal(5).tolist()
    assert ours.bytes(7) == expected.bytes(7)


def test_keyed_uniforms_are_one_value_an_element_of_broadcast_columns():
    positions, draws = np.arange(1000)[:, None], np.arange(30)
    values = keyed_uniforms(3, Stream.VIEW, positions, draws)
    assert values.shape == (1000, 30) and values.dtype == np.float64
    assert values[17, 4] == keyed_uniforms(3, Stream.VIEW, 17, 4) == (int(keyed_hash(3, Stream.VIEW, 17, 4)) >> 11) / 2**53
    assert values.min() >= 0 and values.max() < 1
    # worst of 30 columns in standard deviations of a mean of 1000, and of all correlations between columns: 2.5 and 3.6
    assert np.abs(values.mean(axis=0) - 0.5).max() < 4 / np.sqrt(12_000)
    assert np.abs(np.corrcoef(values.T) - np.eye(30)).max() < 5 / np.sqrt(1000)


def test_kept_generators_give_the_values_of_new_ones() -> None:
    """Also after draws that leave a buffer and half a word behind."""
    kept = KeyedGenerators(7)
    for index in (3, 0, 2**40):
        for stream in (Stream.NOISE, Stream.VIEW):
            ours, new = kept.of(stream, index), keyed_generator(7, stream, index)
            for draw in (lambda rng: rng.random(3), lambda rng: rng.integers(0, 5, 3, np.uint32), lambda rng: rng.normal(size=2)):
                np.testing.assert_array_equal(draw(ours), draw(new))


def test_scalars_drawn_ahead_are_the_uniforms_of_a_new_generator() -> None:
    """Whatever was left over of the last index; a scalar integer is the uniform times its range, rounded down."""
    kept = KeyedGenerators(7)
    kept.of(Stream.VIEW, 1).random()
    uniforms = keyed_generator(7, Stream.VIEW, 5).random(40).tolist()
    assert [kept.of(Stream.VIEW, 5).random()] == uniforms[:1]
    ours = kept.of(Stream.VIEW, 5)
    assert [ours.random() for _ in uniforms] == uniforms
    ours = kept.of(Stream.VIEW, 5)
    assert [ours.integers(3, 10) for _ in uniforms] == [3 + int(7 * uniform) for uniform in uniforms]
    assert ours.integers(4) in range(4) and ours.integers(0, 5, size=3).shape == (3,)
