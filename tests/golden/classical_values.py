"""What ``classical.json`` and ``test_golden_classical.py`` are about: scores of classical methods on NUDT-SIRST test frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from finetune import create_classical, score
from finetune.classical.threshold import RULES, decide
from synth.corpora import open_corpus

HERE = Path(__file__).parent
GOLDEN = HERE / "classical.json"
IDS_64 = HERE / "nudt_64_ids.txt"
METHODS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "tophat": ("tophat", {}),
    "maxmedian": ("maxmedian", {}),
    "tllcm": ("tllcm", {}),
    "wslcm": ("wslcm", {}),
    "wslcm without prefilter": ("wslcm", {"prefilter": False}),
    "ipi": ("ipi", {}),
    "nram": ("nram", {}),
    "nram literal": ("nram", {"variant": "literal"}),
    "ript": ("ript", {}),
    "pstnn": ("pstnn", {}),
    "pstnn literal": ("pstnn", {"variant": "literal"}),
    "mslstipt": ("mslstipt", {}),
}
"""Name of a golden entry -> method and settings."""

MODES = ("native", "basicirstd", "dnanet256")
Values = dict[str, float | int]


def measure(name: str, sirst_data: Path, ids: Sequence[str] | None = None) -> dict[str, Values]:
    """Run a method over frames and score both rules in three modes.

    Args:
        name: A name of :data:`METHODS`.
        sirst_data: Folder that holds ``nudt-sirst``.
        ids: Frames of the 50_50 test list, or None for all 664.

    Returns:
        Rule -> name of a number -> number; ``fa_MODE`` and ``matched_MODE`` name the mode, the others are canonical.
    """
    corpus = open_corpus(sirst_data / "nudt-sirst", "test", split_list="50_50")
    method, settings = METHODS[name]
    detector = create_classical(method, **settings)
    masks, decided = [], {rule: [] for rule in RULES}
    for ref in corpus.frames:
        if ids is not None and ref.id not in ids:
            continue
        frame = corpus.read(ref)
        saliency_11HW = detector(torch.from_numpy(frame.levels / frame.max_level)[None, None])
        masks.append(frame.mask.astype(bool))
        for rule, maps in decided.items():
            maps.append(decide(saliency_11HW, rule)[0, 0].numpy())
    return {rule: _values(maps, masks) for rule, maps in decided.items()}


def _values(maps: Sequence[Any], masks: Sequence[Any]) -> Values:
    scores = {mode: score(maps, masks, mode=mode) for mode in MODES}
    native = scores["native"]
    values: Values = {key: getattr(native, key) for key in ("iou", "niou", "pd", "pixel_fa", "f1", "num_false")}
    values |= {f"fa_{mode}": found.fa for mode, found in scores.items()}
    return values | {f"matched_{mode}": found.num_matched for mode, found in scores.items()}


def ids_64() -> list[str]:
    """Return the committed list: every tenth id of the 50_50 test list, the first 64 of them."""
    return IDS_64.read_text(encoding="utf-8").split()


def load(path: Path = GOLDEN) -> dict[str, dict[str, Values]]:
    """Return the golden file: name -> rule -> values."""
    content: dict[str, dict[str, Values]] = json.loads(path.read_text(encoding="utf-8"))
    return content
