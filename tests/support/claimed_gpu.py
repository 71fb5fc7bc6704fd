"""A GPU that is only claimed: tensors compute on the CPU and say that they are on ``cuda:0``.

Inside :func:`claimed_gpu` every tensor remembers where it would be: ``.to("cuda")`` and factories with ``device=`` put it on the
GPU, everything else is made on the CPU, results follow their operands. Operands on two devices and numpy's view of a tensor on
the GPU are refused. CUDA lets numbers and indices on the CPU pass; each costs a copy, so both are refused here.

Not seen: kernels with their numbers and speed, which operations CUDA's autocast picks (the CPU's stands in for it), and tensors
that library functions make inside. Built on ``torch.overrides.TorchFunctionMode`` and attributes of tensors alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)

_WAITS = frozenset(
    ("item", "tolist", "nonzero", "argwhere", "masked_select", "unique", "__bool__", "__float__", "__int__", "__index__")
)
"""Functions whose result the host waits for, besides copies to the CPU and indexing by a mask."""
_UPLOADS = frozenset(("to", "cuda", "tensor", "as_tensor"))
"""Functions that copy from the CPU to the GPU, and wait for that unless told ``non_blocking``."""
_REFUSED = frozenset(("numpy", "__array__"))
"""Functions that want a tensor on the CPU."""
_ASKED = {
    "device.__get__": lambda device: device,
    "is_cuda.__get__": lambda device: device == GPU,
    "is_cpu.__get__": lambda device: device == CPU,
}
"""Attributes that say where a tensor is."""


class DeviceMismatchError(RuntimeError):
    """What CUDA would not do."""


class ClaimedGpu(TorchFunctionMode):
    """The mode; see the module's docstring.

    Attributes:
        waits: How often the host waited for the GPU, by function.
        uploads: How many tensors went from the CPU to the GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.uploads = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        name, kwargs = _name_of(func), kwargs or {}
        if _is_housekeeping(name):
            return func(*args, **kwargs)
        given = list(_tensors((args, kwargs)))
        on_gpu = [tensor for tensor in given if is_claimed(tensor)]
        if name in _ASKED:
            return _ASKED[name](GPU if on_gpu else CPU)
        if name == "__reduce_ex__":  # saved like a tensor of the CPU, where loading puts it
            return func(args[0].detach().clone(), *args[1:])
        if name in ("copy_", "data.__set__"):  # from any device; new data are where they come from
            func(*args, **kwargs)
            return _claim(args[0], is_claimed(args[name == "data.__set__"]))
        _check(name, given, on_gpu)
        asked, args, kwargs = _asked_device(name, args, kwargs)
        if _waits(name, args, kwargs, asked, bool(on_gpu)):
            self.waits[name] += 1
        result = args[0] if name in ("cpu", "cuda") else func(*args, **kwargs)
        if asked is not None and given and bool(on_gpu) != (asked == "cuda"):
            self.uploads += asked == "cuda"
            result = result.clone() if result is args[0] else result
        return _claim(result, bool(on_gpu) if asked is None else asked == "cuda")


@contextmanager
def claimed_gpu() -> Iterator[ClaimedGpu]:
    """Claim a GPU within a block; autocast for it is that of the CPU."""
    plain = torch.autocast
    with mock.patch.object(torch, "autocast", lambda _, *args, **kwargs: plain("cpu", *args, **kwargs)), ClaimedGpu() as gpu:
        yield gpu


def is_claimed(tensor: Tensor) -> bool:
    """Tell whether a tensor says that it is on the GPU."""
    return getattr(tensor, "_is_on_claimed_gpu", False)


def _claim(result: Any, is_on_gpu: bool) -> Any:
    for tensor in _tensors(result):
        tensor._is_on_claimed_gpu = is_on_gpu  # type: ignore[attr-defined]
    return result


def _check(name: str, given: list[Tensor], on_gpu: list[Tensor]) -> None:
    """Refuse what CUDA would not do."""
    stray = [tensor for tensor in given if not is_claimed(tensor) and (tensor.ndim or not name.startswith("_foreach_"))]
    if on_gpu and stray:
        shown = ", ".join(f"{tuple(tensor.shape)} on {'cuda' if is_claimed(tensor) else 'cpu'}" for tensor in given)
        raise DeviceMismatchError(f"operands of {name} must be on one device, got {shown}")
    if on_gpu and name in _REFUSED:
        raise DeviceMismatchError(f"operand of {name} must be on the CPU, got {tuple(on_gpu[0].shape)} on cuda")


def _waits(name: str, args: Any, kwargs: dict[str, Any], asked: str | None, is_on_gpu: bool) -> bool:
    """Tell whether the host waits until the GPU has done all it was asked to before this call."""
    if is_on_gpu:
        is_by_mask = name == "__getitem__" and any(index.dtype == torch.bool for index in _tensors(args[1]))
        return name in _WAITS or asked == "cpu" or is_by_mask
    return asked == "cuda" and name in _UPLOADS and not _is_non_blocking(args, kwargs)


def _is_non_blocking(args: Any, kwargs: dict[str, Any]) -> bool:
    return kwargs.get("non_blocking", False) or any(arg is True for arg in args)


def _asked_device(name: str, args: Any, kwargs: dict[str, Any]) -> tuple[str | None, Any, dict[str, Any]]:
    """Return the kind of device that a call asks for, None without one, and the call on the CPU."""
    if name in ("cpu", "cuda"):
        return name, args, kwargs
    for at, arg in enumerate(args):
        if isinstance(arg, torch.device) or (name == "to" and isinstance(arg, str)):
            return torch.device(arg).type, (*args[:at], CPU, *args[at + 1 :]), kwargs
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"]).type, args, kwargs | {"device": CPU}
    return None, args, kwargs


def _is_housekeeping(name: str) -> bool:
    """Tell whether a function reads no values: ``torch.device`` itself, and what torch's own code asks of tensors."""
    return name == "device" or (name.startswith("_") and not name.startswith(("__", "_foreach_")))


def _name_of(func: Any) -> str:
    name: str = func.__name__
    return f"{func.__self__.__name__}.{name}" if name in ("__get__", "__set__") else name


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple | dict):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(part)
