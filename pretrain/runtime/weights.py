"""Weights for others: safetensors with one metadata key, and loading that reports what matched.

One key on purpose: with several the order of the header, and so the file's bytes, differ from save to save (measured).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn

from pretrain.runtime.run_dir import WEIGHTS_NAME
from synth.errors import SourceError
from synth.store.files import write_durably

PROVENANCE_KEY = "provenance"
LEAST_MATCHED = 0.95
"""Share of a model's tensors a file must fill, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What of a file went into a model.

    Attributes:
        matched: Names of tensors that were loaded.
        missing: Tensors of the model that the file lacks, or holds in another shape.
        unexpected: Tensors of the file that the model does not have.
        provenance: Where the weights come from, as the file says.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    provenance: dict[str, Any]


def save_weights(path: Path, tensors: Mapping[str, Tensor], provenance: Mapping[str, Any]) -> str:
    """Write weights durably; return the sha256 of the file.

    Args:
        path: The ``.safetensors`` file.
        tensors: Weights by name.
        provenance: Where they come from, as JSON values.

    Raises:
        StoreError: It cannot be written.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = safetensors.torch.save(plain, {PROVENANCE_KEY: json.dumps(provenance, sort_keys=True)})
    return write_durably(path, [data])


def experiment_sha256(identity: Mapping[str, Any]) -> str:
    """Return what decided a run but for ``train.seed``, hashed: equal for runs that are seeds of one experiment.

    Args:
        identity: What decided it, as JSON values: ``recipe``, ``sources``, and ``init`` where it has one.
    """
    recipe = identity["recipe"]
    train = {key: value for key, value in recipe["train"].items() if key != "seed"}
    text = json.dumps({**identity, "recipe": {**recipe, "train": train}}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def weights_file(path: Path) -> Path:
    """Return the weights of a run folder; a file is returned as it is."""
    return path / WEIGHTS_NAME if path.is_dir() else path


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return weights by name and their provenance (empty for files of others).

    Args:
        path: The ``.safetensors`` file, or the folder of a finished run.

    Raises:
        SourceError: The file is missing or no safetensors file.
    """
    path = weights_file(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
        provenance = json.loads(metadata.get(PROVENANCE_KEY, "{}"))
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        why = " ".join(str(error).split())
        raise SourceError(f"weights {path}: cannot be read ({why}); give a run folder or a .safetensors file") from error
    return tensors, provenance


def load_weights(model: nn.Module, path: Path, *, allow_partial: bool = False) -> LoadReport:
    """Load a file into a model by name and shape.

    Args:
        model: The network; tensors the file lacks keep their values.
        path: The ``.safetensors`` file, or the folder of a finished run.
        allow_partial: Accept a file that fills less than 95 % of the tensors.

    Raises:
        SourceError: The file cannot be read, or belongs to another architecture.
    """
    tensors, provenance = read_weights(path)
    return fill_model(model, tensors, provenance, weights_file(path), allow_partial=allow_partial)


def fill_model(
    model: nn.Module, tensors: Mapping[str, Tensor], provenance: dict[str, Any], path: Path, *, allow_partial: bool = False
) -> LoadReport:
    """Put tensors into a model by name and shape; arguments and errors as :func:`load_weights`, ``path`` for its messages."""
    own = model.state_dict()
    matched = [name for name, tensor in own.items() if name in tensors and tensors[name].shape == tensor.shape]
    missing, unexpected = sorted(own.keys() - set(matched)), sorted(tensors.keys() - own.keys())
    if not matched or (len(matched) < LEAST_MATCHED * len(own) and not allow_partial):
        examples = f"missing {', '.join(missing[:3])}, unexpected {', '.join(unexpected[:3]) or 'none'}"
        raise SourceError(
            f"weights {path}: fill {len(matched)} of {len(own)} tensors of {type(model).__name__} ({examples}); "
            "give weights of this architecture, or --allow-partial"
        )
    model.load_state_dict({name: tensors[name] for name in matched}, strict=False)
    return LoadReport(tuple(matched), tuple(missing), tuple(unexpected), provenance)
