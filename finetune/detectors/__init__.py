"""Detectors: one a file; ``encode`` to maps, ``decode`` to logits, any image size.

``base``     the contract
``acm``      asymmetric contextual modulation on a residual encoder
``dnanet``   dense nested attention

A name is a class with settings: ``acm``, ``dnanet`` are the published networks, ``*_34`` SIRST-5K's deeper column, ``*_nano``
widths for CPUs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from finetune.detectors.acm import ACM, ACMConfig
from finetune.detectors.base import Detector, DetectorConfig, LabelledBatch, Prediction
from finetune.detectors.dnanet import DNANet, DNANetConfig
from pretrain.runtime.weights import load_weights
from synth.settings import check_choice, checked_settings

__all__ = [
    "Detector", "DetectorConfig", "DetectorSettings", "LabelledBatch", "Prediction", "build_detector", "create_detector",
    "detector_names", "detector_settings",
]  # fmt: skip

DetectorSettings = Annotated[ACMConfig | DNANetConfig, Field(discriminator="kind")]
"""Settings of any detector, told apart by ``kind``."""

_FAMILIES: dict[str, tuple[type[DetectorConfig], type[Any]]] = {"acm": (ACMConfig, ACM), "dnanet": (DNANetConfig, DNANet)}

_NAMED: dict[str, dict[str, Any]] = {
    "acm": {"kind": "acm"},
    "acm_fpn": {"kind": "acm", "decoder": "fpn", "backbone": {"blocks": (4, 4, 4)}},
    "acm_nano": {
        "kind": "acm",
        "decoder": "fpn",
        "backbone": {"widths": (8, 16, 32, 64), "blocks": (1, 1, 1, 1), "stem_stride": 1, "input_norm": "batch"},
        "loss": {"soft_iou": 1.0, "bce": 10.0},
    },
    "dnanet": {"kind": "dnanet"},
    "dnanet_34": {"kind": "dnanet", "backbone": {"blocks": (3, 4, 6, 3)}},
    "dnanet_nano": {
        "kind": "dnanet",
        "backbone": {"widths": (8, 16, 32, 64), "blocks": (1, 1, 1)},
        "fusion_channels": 8,
        "loss": {"soft_iou": 1.0, "bce": 10.0},
    },
}
"""Name -> settings that differ from the defaults of the class."""


def detector_names() -> list[str]:
    """Return the names that :func:`detector_settings` and recipes know."""
    return list(_NAMED)


def create_detector(name: str, weights: str | Path | None = None, **config: Any) -> Detector:
    """Return a detector.

    Args:
        name: One of :func:`detector_names`.
        weights: A run folder or ``.safetensors`` file of this architecture, or None for random weights.
        config: Settings that differ; nested ones as dicts, which are merged.

    Raises:
        RecipeError: The name or a setting is wrong.
        SourceError: The weights cannot be read or belong to another architecture.
    """
    detector = build_detector(detector_settings(name, **config))
    if weights is not None:
        load_weights(detector, Path(weights))
    return detector


def detector_settings(name: str, **config: Any) -> DetectorConfig:
    """Return the settings behind a name.

    Args:
        name: One of :func:`detector_names`.
        config: Settings that differ; nested ones as dicts, which are merged.

    Raises:
        RecipeError: The name or a setting is wrong.
    """
    check_choice("detector", name, _NAMED)
    values = _merge(_NAMED[name], config)
    return checked_settings("detector", _FAMILIES[_NAMED[name]["kind"]][0], values)


def build_detector(settings: DetectorConfig) -> Detector:
    """Return the detector of checked settings, with random weights."""
    family = next(family for config_type, family in _FAMILIES.values() if isinstance(settings, config_type))
    detector: Detector = family(settings)
    return detector


def _merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        value = value.model_dump() if isinstance(value, BaseModel) else value
        is_nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if is_nested else value
    return merged
