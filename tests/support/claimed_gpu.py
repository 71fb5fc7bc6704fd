"""A GPU that is only claimed: tensors compute on the CPU and say that they are on ``cuda:0``.

Inside :func:`claimed_gpu` every tensor remembers where it would be: ``.to("cuda")`` and factories with ``device=`` put it on the
GPU, everything else is made on the CPU, results follow their operands. Operands on two devices and a numpy view of a tensor on the
GPU are refused. CUDA lets more pass (numbers in CPU tensors, indices on the CPU); each costs a copy, so both are refused here.

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
_ACROSS = frozenset(("copy_", "data.__set__", "device.__get__", "is_cuda.__get__", "is_cpu.__get__"))
"""Functions that may be given tensors of two devices."""
_REFUSED = frozenset(("numpy", "__array__"))
"""Functions that want a tensor on the CPU."""


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
        given = list(_tensors((args, kwargs)))
        on_gpu = [tensor for tensor in given if is_claimed(tensor)]
        if name == "device.__get__":
            return GPU if on_gpu else CPU
        if name in ("is_cuda.__get__", "is_cpu.__get__"):
            return bool(on_gpu) == (name == "is_cuda.__get__")
        if name == "data.__set__":
            func(*args)
            return _claim(args[0], is_claimed(args[1]))
        _check(name, given, on_gpu)
        asked, args, kwargs = _asked_device(name, args, kwargs)
        if on_gpu and (name in _WAITS or asked == "cpu" or (name == "__getitem__" and _holds_mask(args[1]))):
            self.waits[name] += 1
        result = args[0] if name in ("cpu", "cuda", "pin_memory") else func(*args, **kwargs)
        if asked is not None and given and bool(on_gpu) != (asked == "cuda"):
            self.uploads += asked == "cuda"
            result = result.clone() if result is args[0] else result
        return _claim(result, bool(on_gpu) if asked is None else asked == "cuda")


@contextmanager
def claimed_gpu() -> Iterator[ClaimedGpu]:
    """Claim a GPU within a block; autocast for it is that of the CPU."""
    plain = torch.autocast

    def autocast(device_type: str, *args: Any, **kwargs: Any) -> Any:
        return plain("cpu", *args, **kwargs)

    with mock.patch.object(torch, "autocast", autocast), ClaimedGpu() as gpu:
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
    if on_gpu and len(on_gpu) < len(given) and name not in _ACROSS:
        shown = ", ".join(f"{tuple(tensor.shape)} on {'cuda' if is_claimed(tensor) else 'cpu'}" for tensor in given)
        raise DeviceMismatchError(f"operands of {name} must be on one device, got {shown}")
    if on_gpu and name in _REFUSED:
        raise DeviceMismatchError(f"operand of {name} must be on the CPU, got {tuple(on_gpu[0].shape)} on cuda")


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


def _name_of(func: Any) -> str:
    name: str = func.__name__
    return f"{func.__self__.__name__}.{name}" if name in ("__get__", "__set__") else name


def _holds_mask(index: Any) -> bool:
    return any(isinstance(part, Tensor) and part.dtype == torch.bool for part in (index if isinstance(index, tuple) else (index,)))


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple | dict):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(part)
