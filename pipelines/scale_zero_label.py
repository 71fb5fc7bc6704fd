"""What the networks of a study find before they are fine-tuned: pretrained on synthetic targets, no label seen in training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.scale_cells import Cell, pretraining_arm, pretraining_path, read_zero_label
from pipelines.scale_recipe import StudyRecipe
from pipelines.scale_table import SCORES, mean_text


@dataclass(frozen=True, slots=True)
class ZeroLabel:
    """The pretrainings of one arm on one data set, tested as they are.

    Attributes:
        dataset: Name of the data set.
        arm: Name of the arm; others with equal pretrainings start from the same.
        seeds: Seeds that are done, those of a confirmation included.
        scores: At probability 0.5: name of a score -> value of each seed on the test list. No label had a part in it.
        chosen: The same at the threshold of highest IoU on the validation list, whose labels it has seen.
    """

    dataset: str
    arm: str
    seeds: tuple[int, ...]
    scores: Mapping[str, tuple[float, ...]]
    chosen: Mapping[str, tuple[float, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def zero_labels_of(study: StudyRecipe, out: Path, cells: Sequence[Cell]) -> Iterator[ZeroLabel]:
    """Yield what is recorded of the pretrainings of a study, data set by data set.

    Args:
        study: The study.
        out: Its folder.
        cells: Its runs.
    """
    records: dict[tuple[str, str], dict[int, Mapping[str, Any]]] = {}
    for cell in cells:
        run = pretraining_path(out, study, cell, uses_labels=False)
        if run is not None and (record := read_zero_label(out, run)) is not None:
            of_arm = records.setdefault((cell.dataset, pretraining_arm(study, cell.arm)), {})
            of_arm.setdefault(cell.seed, record["thresholds"])
    for (dataset, arm), found in sorted(records.items()):
        seeds = tuple(sorted(found))
        half, chosen = (
            {score: tuple(float(found[seed][name][score]) for seed in seeds) for score in SCORES} for name in ("half", "chosen")
        )
        yield ZeroLabel(dataset, arm, seeds, half, chosen)


def zero_label_lines(found: Sequence[ZeroLabel]) -> Iterator[str]:
    """Yield the Markdown of all of them."""
    if not found:
        return
    yield from ("", "## Before any fine-tuning", "")
    yield "Maps of the pretrained networks, which have seen synthetic targets only, on the test list at probability 0.5;"
    yield from ("*chosen*: at the threshold of highest IoU on the validation list.", "")
    heads = ["data set", "arm", "seeds", "IoU", "nIoU", "Pd", "Fa", "IoU, chosen", "Pd, chosen", "Fa, chosen"]
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for entry in found:
        half = (mean_text(entry.scores[name]) for name in SCORES)
        chosen = (mean_text(entry.chosen[name]) for name in ("iou", "pd", "fa"))
        yield "| " + " | ".join([entry.dataset, entry.arm, str(len(entry.seeds)), *half, *chosen]) + " |"
