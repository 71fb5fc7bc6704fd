"""The nine classical detectors of the published tables: no training, frames in [0, 1] in, saliency in grey levels out.

``tophat``     white top-hat: what is smaller than the structuring element and brighter than its surroundings
``maxmedian``  residual of the largest of four directional medians
``tllcm``      three-layer local contrast
``wslcm``      weighted strengthened local contrast
``ipi``        infrared patch-image model: low rank + sparse
``nram``       its non-convex form with an edge term
``ript``       reweighted infrared patch tensor
``pstnn``      patch tensor with the partial sum of the tensor nuclear norm
``mslstipt``   spatial-temporal patch tensor with several subspaces; our reconstruction of an unpublished code

``base`` has what they share, ``threshold`` the two rules that make masks. Torch is imported with the first method, not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from synth.errors import RecipeError
from synth.settings import check_choice, checked_settings

if TYPE_CHECKING:
    from finetune.classical.base import ClassicalConfig, ClassicalMethod

__all__ = ["classical_names", "create_classical", "method_class"]

_METHODS: Mapping[str, str] = {
    "tophat": "TopHat",
    "maxmedian": "MaxMedian",
    "tllcm": "TLLCM",
    "wslcm": "WSLCM",
    "ipi": "IPI",
    "nram": "NRAM",
    "ript": "RIPT",
    "pstnn": "PSTNN",
    "mslstipt": "MSLSTIPT",
}
"""Name, which is also its module here -> class; in the order of the published tables."""


def classical_names() -> list[str]:
    """Return the names that :func:`create_classical` knows, in the order of the published tables."""
    return list(_METHODS)


def create_classical(name: str, **config: Any) -> ClassicalMethod[Any]:
    """Return a classical method.

    Args:
        name: One of :func:`classical_names`.
        config: Settings that differ from the defaults of the method's config class.

    Returns:
        A callable: frames, float32 or float64 (B, 1, H, W) in [0, 1] -> saliency in grey levels, same shape.

    Raises:
        RecipeError: The name or a setting is wrong.
    """
    method = method_class(name)
    settings: ClassicalConfig = checked_settings(name, method.config_type, {"kind": name, **config})
    return method(settings)


def method_class(name: str) -> type[ClassicalMethod[Any]]:
    """Return the class of a method.

    Raises:
        RecipeError: No method has this name, or torch is not installed.
    """
    check_choice("method", name, _METHODS)
    try:
        module = import_module(f"finetune.classical.{name}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torch":
            raise
        raise RecipeError(f"method {name}: needs torch; install sirst-foundry[train]") from error
    found: type[ClassicalMethod[Any]] = getattr(module, _METHODS[name])
    return found
