"""What decides a training run, checked before any work starts."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_CADENCE = frozenset({"checkpoint_every_s", "checkpoint_every", "log_every", "device", "threads", "tensorboard"})
"""Keys that change no result: a run may be resumed with other values of them."""


class OptimizerConfig(BaseModel):
    """How parameters are updated.

    Attributes:
        kind: ``adamw``, ``adam``, ``adagrad`` or ``sgd`` (Nesterov).
        lr: Highest learning rate.
        weight_decay: Per step and unit of lr under adamw, an L2 term under the others; never on biases and norms.
        momentum: Of ``sgd``; the first beta of adam and adamw.
        beta2: Second beta of adam and adamw.
        clip_norm: Largest norm of the gradient, or null.
        layer_decay: Factor of lr for each stage of the encoder on the way from the decoder to the images, so that a pretrained
            encoder changes the less the earlier a stage is (ELECTRA, Clark et al., ICLR 2020; BEiT uses 0.65 to 0.9); 1: off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["adamw", "adam", "adagrad", "sgd"] = "adamw"
    lr: float = Field(default=2e-3, gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.05, ge=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    clip_norm: float | None = Field(default=1.0, gt=0, allow_inf_nan=False)
    layer_decay: float = Field(default=1.0, gt=0, le=1)


class ScheduleConfig(BaseModel):
    """The learning rate over the run, as a factor on ``optimizer.lr``.

    Attributes:
        kind: ``cosine`` to ``end_factor``, ``constant``, or ``multistep``: times ``gamma`` at each milestone.
        warmup: Share of the steps in which the factor rises linearly from near 0.
        end_factor: Factor at the last step under ``cosine``.
        milestones: Shares of the steps at which ``multistep`` multiplies.
        gamma: What ``multistep`` multiplies by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cosine", "constant", "multistep"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, le=1)
    end_factor: float = Field(default=0.0, ge=0, le=1)
    milestones: tuple[float, ...] = ()
    gamma: float = Field(default=0.1, gt=0, le=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.kind == "multistep") != bool(self.milestones):
            raise ValueError(f"milestones must stand with kind multistep and only there, got {self.milestones} with {self.kind}")
        if list(self.milestones) != sorted(set(self.milestones)) or not all(0 < share < 1 for share in self.milestones):
            raise ValueError(f"milestones must rise within 0..1, got {self.milestones}")
        return self


class TrainConfig(BaseModel):
    """One training run.

    Attributes:
        seed: Of the order of the frames, their views, and the draws of the model.
        steps: Optimiser steps.
        batch: Frames of one step, all ranks and accumulated parts together.
        accumulation: Parts a rank's share of the batch is computed in.
        optimizer: How parameters are updated.
        schedule: The learning rate over the run.
        ema: Decay of the averaged weights, or null for none.
        amp: ``bf16`` computes the network in bfloat16 where that is safe; ``off``: float32, on a GPU too (no TF32).
        compile: Compile the model (about two minutes for a ResNet-18 on a CPU).
        validate_every: Steps between validations; the last step is always validated. null: only the last.
        log_every: Steps between lines of the journal.
        checkpoint_every: Steps between saved states, or null.
        checkpoint_every_s: Seconds between saved states, or null. A state is always saved at the end and on a stop.
        device: ``auto`` takes a GPU when there is one.
        threads: CPU threads of the computation, or null for torch's choice.
        tensorboard: Write the journal's numbers for TensorBoard too (extra ``tracking``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**63)
    steps: int = Field(ge=1, le=10**9)
    batch: int = Field(default=16, ge=1, le=2**20)
    accumulation: int = Field(default=1, ge=1)
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    ema: float | None = Field(default=None, gt=0, lt=1)
    amp: Literal["bf16", "off"] = "bf16"
    compile: bool = False
    validate_every: int | None = Field(default=None, ge=1)
    log_every: int = Field(default=10, ge=1)
    checkpoint_every: int | None = Field(default=None, ge=1)
    checkpoint_every_s: float | None = Field(default=60.0, gt=0, allow_inf_nan=False)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    tensorboard: bool = False

    def content(self) -> dict[str, Any]:
        """Return what decides the result, as plain JSON values: without cadences, device, threads and displays."""
        return {key: value for key, value in self.model_dump(mode="json").items() if key not in _CADENCE}
