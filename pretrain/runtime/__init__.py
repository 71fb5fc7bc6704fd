"""The training engine: one step loop for every stage, with exact resume.

``config``        what decides a training run
``task``          what a stage must offer: a model, a loss, a validation
``loop``          the step loop
``schedule``      learning rates as pure functions of the step
``optimizers``    optimisers by name
``ema``           the averaged copy of a model
``checkpoint``    states that survive a crash, and weights for others
``journal``       ``metrics.jsonl``
``distributed``   ranks, devices and gradient exchange
``run_dir``       the folder of a run, and the refusal to mix two
"""

from pretrain.runtime.config import TrainConfig
from pretrain.runtime.loop import Outcome, StepReport, partition_of, train, use_threads
from pretrain.runtime.run_dir import RunDirectory, RunResult, open_run, refuse_other_run
from pretrain.runtime.task import Task

__all__ = [
    "Outcome", "RunDirectory", "RunResult", "StepReport", "Task", "TrainConfig", "open_run", "partition_of", "refuse_other_run",
    "train", "use_threads",
]  # fmt: skip
