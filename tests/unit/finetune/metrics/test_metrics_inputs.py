"""Arrays and tensors in, maps and masks out, or one named line."""

from __future__ import annotations

import numpy as np
import pytest

from finetune.metrics import score
from finetune.metrics.inputs import as_decided, as_label_values, as_mask, as_probability, check_sizes, decide
from synth.errors import SourceError
from tests.unit.finetune.metrics.frames import FakeTensor


@pytest.mark.parametrize(
    ("given", "kept"),
    [(np.bool_, np.bool_), (np.float16, np.float32), (np.float32, np.float32), (np.float64, np.float64)],
)
def test_dtypes_of_probabilities(given, kept):
    values = as_probability(np.ones((3, 4), given), "f")
    assert values.dtype == kept and values.shape == (3, 4) and values.flags.c_contiguous


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_byte_order_of_probabilities(order, kind):
    """The bits of a map are read: those of a foreign order would be other numbers."""
    values = np.array([[0.0, 0.25, 0.5], [0.75, 1.0, 0.125]])
    given = values.astype(f"{order}{kind}")
    read = as_probability(given, "f")
    assert read.dtype.isnative and read.tolist() == values.tolist()
    assert as_decided(given, "f", 0.5).tolist() == (values > 0.5).tolist()
    for bad in (-3.0, 7.5, np.nan):
        with pytest.raises(SourceError, match="f: "):
            as_probability(np.full((2, 2), bad).astype(given.dtype), "f")
        with pytest.raises(SourceError, match="f: "):
            as_decided(np.full((2, 2), bad).astype(given.dtype), "f", 0.5)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_perfect_maps_score_100_in_any_byte_order(order, kind):
    truth = np.zeros((16, 16), bool)
    truth[4:7, 5:8] = True
    assert score([truth.astype(f"{order}{kind}")], [truth]).iou == 100.0


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i2", "u2", "i4", "f4", "f8"])
def test_byte_order_of_masks(order, kind):
    levels = np.array([[0, 127, 128, 255]])
    given = (levels / 255 if kind[0] == "f" else levels).astype(f"{order}{kind}")
    assert as_mask(given, "f").tolist() == (levels > 127).tolist()
    np.testing.assert_array_equal(as_label_values(given, "f"), levels.astype(np.float32) / np.float32(255))
    assert as_label_values(given, "f").dtype.isnative


def test_tensors_on_a_device_and_leading_axes_of_one():
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 1, 3, 4)
    np.testing.assert_array_equal(as_probability(FakeTensor(values), "f"), values[0, 0])
    half = as_probability(FakeTensor(values.astype(np.float64), dtype="torch.bfloat16"), "f")
    assert half.dtype == np.float32
    assert as_mask(FakeTensor(values), "f").sum() == np.count_nonzero(values > 0.5)


def test_real_torch_tensors():
    torch = pytest.importorskip("torch")
    values = torch.linspace(0, 1, 12, requires_grad=True).reshape(1, 3, 4)
    np.testing.assert_array_equal(as_probability(values, "f"), values[0].detach().numpy())
    assert as_probability(values.to(torch.bfloat16), "f").dtype == np.float32


@pytest.mark.parametrize(
    ("values", "needles"),
    [
        (np.array([[0.0, np.nan]]), ("holds NaN",)),
        (np.array([[0.0, np.inf]]), ("holds NaN or infinite",)),
        (np.array([[-3.2, 7.5]]), ("-3.2..7.5", "logits", "sigmoid")),
        (np.array([[0.0, 1.1]]), ("must be in 0..1",)),
        (np.array([[0, 255]], np.uint8), ("bool or float", "uint8")),
        (np.zeros((2, 3, 4)), ("rows x columns", "(2, 3, 4)")),
        (np.zeros((0, 4)), ("rows x columns",)),
    ],
)
def test_bad_probabilities_name_frame_and_reason(values, needles):
    with pytest.raises(SourceError) as raised:
        as_probability(values, "Misc_7")
    message = str(raised.value)
    assert "Misc_7" in message and "\n" not in message
    for needle in needles:
        assert needle in message


def test_rounding_above_one_passes():
    assert as_probability(np.array([[1.0 + 5e-7, 0.0]]), "f").max() > 1.0


def test_mask_levels():
    levels = np.array([[0, 127, 128, 254, 255]], np.uint8)
    assert as_mask(levels, "f").tolist() == [[False, False, True, True, True]]
    assert as_mask(levels > 127, "f").tolist() == [[False, False, True, True, True]]
    assert as_mask(np.array([[0.5, 0.51]]), "f").tolist() == [[False, True]]
    assert as_mask(np.zeros((2, 2), np.uint8), "f").sum() == 0


def test_zero_one_masks_need_the_flag():
    values = np.array([[0, 1, 1]], np.uint8)
    with pytest.raises(SourceError, match="mask_max"):
        as_mask(values, "f")
    assert as_mask(values, "f", mask_max=1).tolist() == [[False, True, True]]
    assert as_label_values(values, "f", mask_max=1).tolist() == [[0.0, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("values", "needle"),
    [
        (np.array([[0, 100]], np.uint8), "no level reaches half of 255, the highest is 100"),
        (np.array([[0, 300]], np.int32), "0..255"),
        (np.array([[-1, 255]], np.int32), "0..255"),
        (np.array([[0.0, 255.0]]), "divide by 255"),
        (np.array([[0.0, np.nan]]), "float masks"),
        (np.array([["a"]]), "must be bool, integer or float"),
    ],
)
def test_bad_masks(values, needle):
    for read in (as_mask, as_label_values):
        with pytest.raises(SourceError, match=needle):
            read(values, "f")


def test_label_values_keep_grey_levels():
    levels = np.array([[0, 127, 128, 254, 255]], np.uint8)
    values = as_label_values(levels, "f")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, levels.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(as_label_values(levels > 127, "f"), levels > 127)


def test_sizes():
    check_sizes(np.zeros((3, 4)), np.zeros((3, 4)), "f")
    with pytest.raises(SourceError, match=r"Misc_7: must have the size of its mask, 3x5 px .*, got 3x4"):
        check_sizes(np.zeros((3, 4)), np.zeros((3, 5)), "Misc_7")


@pytest.mark.parametrize("threshold", [0.5, 0.15, 0.1, 1 / 3, 0.9999999, 0.0])
def test_thresholds_are_compared_as_doubles(threshold):
    """float32 maps around the threshold decide as their values do, one ulp on either side."""
    nearest = np.float32(threshold)
    values = np.array([[np.nextafter(nearest, np.float32(-1)), nearest, np.nextafter(nearest, np.float32(2))]])
    assert decide(values, threshold).tolist() == (values.astype(np.float64) > threshold).tolist()


def test_exactly_half_is_background():
    for dtype in (np.float16, np.float32, np.float64):
        assert not decide(as_probability(np.full((2, 2), 0.5, dtype), "f"), 0.5).any()
