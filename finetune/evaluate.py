"""Score a trained detector on frames in memory; ``pipelines.evaluate`` does it frame by frame with files and pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from finetune.metrics import NativeTally, Scores
from finetune.metrics.scores import native_scores
from finetune.predict import predict_frames
from finetune.train import load_run
from pretrain.runtime.learner import use_fast_layout
from synth.errors import SourceError
from synth.sample import Frame


@dataclass(frozen=True, slots=True)
class RunScores:
    """Scores of one run on one list of frames.

    Attributes:
        whole: On all frames.
        clean: On those that have no near duplicate among known frames, or None when they were not named.
    """

    whole: Scores
    clean: Scores | None


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
    native = NativeTally(threshold=float(result["threshold"]))
    for frame, probability in predict_frames(model, frames, device=device, amp=amp):
        if frame.mask is None:
            raise SourceError(f"frame {frame.id}: has no mask, so nothing can be scored on it; leave it out of the list")
        native.update(probability, frame.mask, frame.id, mask_max=1)
    return RunScores(native_scores(native), None if clean_ids is None else native_scores(native.subset(set(clean_ids))))
