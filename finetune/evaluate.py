"""Score a trained detector on frames in memory; ``pipelines.evaluate`` does it frame by frame with files and pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from finetune.metrics import CurveTally, NativeTally, Scores
from finetune.metrics.native import TargetOutcome
from finetune.metrics.operating import operating_points
from finetune.metrics.scores import native_scores
from finetune.predict import on_wide_scale, predict_logits, probability_of
from finetune.train import load_run
from pretrain.runtime.learner import use_fast_layout
from synth.errors import SourceError
from synth.sample import Frame
from synth.targets import measure_targets


@dataclass(frozen=True, slots=True)
class RunScores:
    """Scores of one run on one list of frames.

    Attributes:
        whole: On all frames.
        clean: On those that have no near duplicate among known frames, or None when they were not named.
        operating: Pd at false-alarm areas and by target size and SCR on all frames, as JSON values: see
            :func:`finetune.metrics.operating.operating_points`.
    """

    whole: Scores
    clean: Scores | None
    operating: dict[str, Any]


def score_run(
    run: Path, frames: Iterable[Frame], *, device: torch.device, amp: bool, clean_ids: Collection[str] | None = None
) -> RunScores:
    """Score the weights a finished run chose, at the threshold it chose on validation; canonical mode, native size.

    Args:
        run: Folder of the run.
        frames: Labelled frames.
        device: Where to compute.
        amp: Compute the network in bfloat16 where that is safe.
        clean_ids: Ids of frames without near duplicates among known frames, which are scored a second time.

    Raises:
        RefusalError: The folder is no finished run, or its weights are not the ones it recorded.
        SourceError: A frame has no mask.
    """
    model, result = load_run(run)
    model.to(device)
    use_fast_layout(model, device)
    native, curves = NativeTally(threshold=float(result["threshold"])), CurveTally()
    targets: list[TargetOutcome] = []
    for frame, logits in predict_logits(model, frames, device=device, amp=amp):
        if frame.mask is None:
            raise SourceError(f"frame {frame.id}: has no mask, so nothing can be scored on it; leave it out of the list")
        scr = [target.scr_view for target in measure_targets(frame.levels, frame.mask, frame.max_level)]
        targets += native.update(probability_of(logits), frame.mask, frame.id, scr=scr, mask_max=1).targets
        curves.update(on_wide_scale(logits), frame.mask, frame.id, mask_max=1)
    clean = None if clean_ids is None else native_scores(native.subset(set(clean_ids)))
    return RunScores(native_scores(native), clean, operating_points(curves.result(), targets))
