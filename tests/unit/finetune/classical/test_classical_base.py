"""What all classical methods share: input checks, rounding of 8-bit frames, the registry, threshold rules."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import finetune  # noqa: E402
from finetune import classical_names, create_classical  # noqa: E402
from finetune.classical import method_class  # noqa: E402
from finetune.classical.base import ClassicalConfig, ClassicalMethod, to_grey  # noqa: E402
from finetune.classical.threshold import RULES, adaptive_threshold, decide, mean10_threshold  # noqa: E402
from synth.errors import RecipeError, SourceError  # noqa: E402


class Identity(ClassicalMethod[ClassicalConfig]):
    """Returns what it was given, less 100 levels."""

    config_type = ClassicalConfig

    def saliency(self, grey_B1HW):
        return grey_B1HW.sub_(100.0)


def identity(frames):
    return Identity(ClassicalConfig(kind="identity"))(frames)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_eight_bit_levels_are_exact(dtype):
    """Every level, divided by 255 in either precision, comes back as a whole number; negatives are clipped."""
    levels = torch.arange(256, dtype=dtype).view(1, 1, 16, 16)
    frames = levels / 255
    kept = frames.clone()
    assert torch.equal(identity(frames), (levels - 100).clamp(min=0)) and identity(frames).dtype == dtype
    assert torch.equal(frames, kept), "the input was written to"


def test_deeper_frames_keep_their_values():
    """Rounding is decided frame by frame: one value between two levels, and the frame came from more than 8 bits."""
    frames = torch.tensor([[[[10.0, 20.0]]], [[[10.0, 20.4]]]], dtype=torch.float64) / 255
    assert to_grey(frames).flatten().tolist() == [10.0, 20.0, 10.0, pytest.approx(20.4)]
    assert to_grey(frames)[1, 0, 0, 1] == frames[1, 0, 0, 1] * 255
    assert to_grey(torch.full((1, 1, 1, 1), 20.0009 / 255, dtype=torch.float64)).item() == 20.0
    assert to_grey(torch.full((1, 1, 1, 1), 20.0011 / 255, dtype=torch.float64)).item() != 20.0


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (np.zeros((2, 1, 4, 4), np.float32), r"must be a torch tensor, got numpy.ndarray; use torch.from_numpy\(frames\)"),
        ([[0.5]], "must be a torch tensor, got list"),
        (torch.zeros(4, 4), r"must be a batch of shape \(B, 1, H, W\), got \(4, 4\)"),
        (torch.zeros(1, 3, 4, 4), "one channel each"),
        (torch.zeros(0, 1, 4, 4), "got"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), "must be float32 or float64 in 0..1, got torch.uint8"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.float16), "got torch.float16"),
        (torch.full((1, 1, 2, 2), 255.0), "must be finite and in 0..1, got 255..255"),
        (torch.full((1, 1, 2, 2), -0.1), "got -0.1..-0.1"),
        (torch.tensor([[[[0.5, float("nan")]]]]), "must be finite"),
        (torch.tensor([[[[0.5, float("inf")]]]]), "must be finite"),
    ],
)
def test_bad_frames_are_named(frames, told):
    with pytest.raises(SourceError, match=told):
        identity(frames)


def test_names_in_the_order_of_the_tables():
    assert classical_names() == ["tophat", "maxmedian", "tllcm", "wslcm", "ipi", "nram", "ript", "pstnn", "mslstipt"]
    assert finetune.classical_names is classical_names


@pytest.mark.parametrize("name", classical_names())
def test_every_name_gives_its_method(name):
    method = create_classical(name)
    assert isinstance(method, method_class(name)) and method.config.kind == name
    with pytest.raises(RecipeError, match=rf"{name}\.sigma: no such setting; known: "):
        create_classical(name, sigma=3)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("pstn", {}, "did you mean pstnn"),
        ("TopHat", {}, "did you mean tophat"),
        ("dnanet", {}, r"must be one of tophat, maxmedian, .*, got .dnanet."),
        ("tophat", {"side_px": 4}, r"tophat\.side_px: must be odd, got 4"),
        ("tophat", {"side_px": 1}, r"tophat\.side_px: .*greater than or equal to 3, got 1"),
        ("wslcm", {"prefilter": "perhaps"}, r"wslcm\.prefilter: .*valid boolean.*got 'perhaps'"),
    ],
)
def test_bad_requests_are_named(name, settings, told):
    with pytest.raises(RecipeError, match=told):
        create_classical(name, **settings)


def run_python(code):
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_torch_is_not_imported_before_the_first_method():
    """``finetune.score`` and the names work where torch is not installed; a method says what is missing."""
    run_python(
        "import sys, finetune; finetune.classical_names(); finetune.score([[[0.9]]], [[[1.0]]])\n"
        "assert 'torch' not in sys.modules\n"
        "sys.modules['torch'] = None\n"
        "try: finetune.create_classical('tophat')\n"
        "except Exception as error: assert 'needs torch; install sirst-foundry[train]' in str(error), error\n"
        "else: raise SystemExit('it ran')"
    )


def test_adaptive_rule_on_paper():
    """0.7 max wins over one bright pixel; mean + std / 2 wins over a frame that is bright nearly everywhere."""
    peak = torch.zeros(1, 1, 2, 5, dtype=torch.float64)
    peak[0, 0, 1, 2] = 10.0
    assert adaptive_threshold(peak).tolist() == pytest.approx([7.0])
    wide = torch.tensor([9.0, 9.0, 9.0, 10.0, 5.0], dtype=torch.float64).view(1, 1, 1, 5)
    assert adaptive_threshold(wide).tolist() == pytest.approx([8.4 + 0.5 * (15.2 / 5) ** 0.5])


def test_mean10_rule_on_paper():
    """Over one pixel of 10 in n pixels the rule is 10 / n + 100 sqrt(n - 1) / n: passed from 102 pixels on."""
    for n, fires in ((100, False), (103, True)):
        row = torch.zeros(1, 1, 1, n, dtype=torch.float64)
        row[..., 0] = 10.0
        assert mean10_threshold(row).tolist() == pytest.approx([10 / n + 100 * (n - 1) ** 0.5 / n])
        assert decide(row, "mean10").any().item() is fires


@pytest.mark.parametrize("rule", RULES)
def test_rules_are_strict_per_frame_and_scale_free(rule):
    generator = torch.Generator().manual_seed(1)
    saliency = torch.rand(3, 1, 20, 30, generator=generator, dtype=torch.float64) ** 8
    saliency[2] = 5.0
    masks = decide(saliency, rule)
    assert masks.dtype == torch.bool and masks.shape == saliency.shape
    assert not masks[2].any(), "nothing exceeds the threshold of a constant frame"
    for factor in (0.25, 4.0):  # powers of two: exact
        assert torch.equal(decide(saliency * factor, rule), masks)
    for frame, mask in zip(saliency, masks, strict=True):
        assert torch.equal(decide(frame[None], rule)[0], mask)
    assert not decide(torch.zeros(1, 1, 4, 4), rule).any()
