"""Records of scenes: written in one go, they are what assignments column by column would give."""

import struct

import numpy as np
import pytest

from synth.render_scenes import write_record
from synth.store.schema import record_dtype

DTYPE = record_dtype(3, 2)


@pytest.mark.parametrize(("num_targets", "num_impostors"), [(0, 0), (1, 2), (3, 1)])
def test_a_record_holds_every_value_in_its_place(num_targets: int, num_impostors: int) -> None:
    """Every second column is given, each value another; the rest, free slots and what was there before are zero."""
    rng = np.random.default_rng(1)
    slots = {"target": num_targets, "impostor": num_impostors}
    values = {}
    for name in (DTYPE.names or ())[::2]:
        num = slots.get(name.partition("/")[0], int(np.prod(DTYPE[name].shape, dtype=int)))
        if num:
            values[name] = tuple(rng.integers(1, 200, num).tolist())
    expected, out = np.zeros(4, DTYPE), np.zeros(4, DTYPE)
    for name, given in values.items():
        expected[name][2].reshape(-1)[: len(given)] = given
        if not DTYPE[name].shape:
            expected[name][2] = given[0]
    out.view(np.uint8).reshape(4, -1)[2] = 0xFF
    write_record(out, 2, values, num_targets, num_impostors)
    assert out.tobytes() == expected.tobytes() and any(expected[2].tobytes())


def test_a_value_that_does_not_fit_its_column_is_an_error() -> None:
    with pytest.raises(struct.error):
        write_record(np.zeros(1, DTYPE), 0, {"sample/kind": (256,)}, 0, 0)
