"""A study on two data sets whose results follow known laws, without training."""

from __future__ import annotations

import math
from typing import Any

from pipelines.scale_cells import Cell, Frames
from pipelines.scale_recipe import StudyRecipe

SIZES = (8, 17, 34, 85, None)
FRAMES = {name: Frames(256, {}) for name in "ab"}
RECIPE = StudyRecipe.model_validate(
    {
        "name": "s", "finetune": "acm_nano_study", "steps": 100, "seeds": [0, 1, 2, 3, 4],
        "sets": [{"name": name, "folder": name, "labels": SIZES} for name in "ab"],
        "arms": [{"name": name, "about": "x"} for name in ("scratch", "start", "other")],
        "budgets": [{"name": "steps", "kind": "steps"}],
        "endpoint": {"reference": "scratch", "candidates": ["start", "other"], "selection": [0, 1, 2], "seeds": [10, 11, 12]},
    }
)  # fmt: skip


def iou_of(arm: str, labels: int | None, seed: int) -> float:
    """Scratch follows e = 0.2 + 1.2 labels^-0.5; the others are worth 3 and 1.5 times the labels."""
    worth = {"scratch": 1.0, "start": 3.0, "other": 1.5}[arm]
    return 100.0 * (0.8 - 1.2 * (worth * (labels or 256)) ** -0.5) + 0.3 * math.sin(9.0 * seed + (labels or 256))


def record(cell: Cell, slope: float = 0.01) -> dict[str, Any]:
    """Return what a finished run of a cell records."""
    iou = iou_of(cell.arm, cell.labels, cell.seed)
    scores = {"iou": iou, "niou": iou, "pd": 90.0, "fa": 5.0}
    operating = None if cell.seed == 4 else {"fa": [5.0, 20.0], "pd": [iou, iou + 10.0]}  # seed 4: of before they were kept
    tests = {name: {"whole": scores, "clean": {"iou": iou}, "operating": operating} for name in "ab"}
    init = {"kind": "ssl", "objectives": ["seg"]} if cell.arm == "start" else {"kind": "random"}
    result = {"validation": {"val_best_iou": iou + 2}, "is_collapsed": False, "init": init}
    return {"result": result, "tests": tests, "loss_slope": slope}
