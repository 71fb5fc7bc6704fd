"""Where the time of a shard goes: functions of the library wrapped from outside, each charged for what is its own.

A wrapped function called inside another one is taken out of the outer one's time, so the stages add up. Wrapping costs
some 8 % of the time, which is why throughput is never measured on a wrapped run.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import synth.job
import synth.render
import synth.render_scenes
import synth.scene.frame
import synth.scene.stage
import synth.store.commit
import synth.store.files
from synth.plan import Plan
from synth.render import Renderer
from synth.render_scenes import TruthRenderer
from synth.scene.frame import SceneRenderer
from synth.scene.labels import Labeller
from synth.scene.sheets import SheetFields
from synth.scene.stage import Stage

STAGES: tuple[tuple[object, str, str], ...] = (
    (Plan, "row", "render"),
    (Renderer, "generator", "render"),
    (Renderer, "draw", "render"),
    (Renderer, "record", "render"),
    (synth.render, "measure_table", "measure targets"),
    (synth.job, "sample_digest", "hash samples"),
    (synth.job, "hash_digests", "hash samples"),
    (synth.job, "encode_chunk", "encode"),
    (synth.job, "encode_shard_of_images", "encode"),
    (synth.job, "encode_column", "encode"),
    (synth.job, "write_durably", "write and read back"),
    (synth.store.commit, "write_json", "write and read back"),
    (os, "fsync", "fsync"),
)
"""Owner, function and the stage it belongs to; the hashing of files is split off below."""

SCENE_STAGES: tuple[tuple[object, str, str], ...] = (
    (Plan, "row", "columns and the rest"),
    (TruthRenderer, "fill", "columns and the rest"),
    (synth.render_scenes, "measure_table", "measure targets"),
    (SceneRenderer, "render", "columns and the rest"),
    (Stage, "_build", "columns and the rest"),
    (Stage, "_draw_camera", "camera, once for 64 frames"),
    (Stage, "_draw_backdrop", "paint the background"),
    (SheetFields, "_nearest", "textures, once for 1024 frames"),
    (synth.scene.stage, "paint_scene_impostors", "impostors"),
    (synth.scene.stage, "paint_glints", "impostors"),
    (synth.scene.stage, "draw_stripe_stubs", "impostors"),
    (synth.scene.stage, "draw_hot_pixels", "impostors"),
    (synth.scene.stage, "paste_artefacts", "impostors"),
    (Stage, "with_defects", "impostors"),
    (Stage, "_picture", "optics, pixel, response"),
    (Stage, "_place", "targets: shapes, places, ratios"),
    (SceneRenderer, "_compose_single", "targets: shapes, places, ratios"),
    (synth.scene.frame, "draw_noise", "noise, fixed pattern, defects, ADC"),
    (synth.scene.frame, "digitise", "noise, fixed pattern, defects, ADC"),
    (synth.scene.frame, "fit_view", "gain control and view"),
    (synth.scene.frame, "show", "gain control and view"),
    (Labeller, "label", "measure targets"),
    *STAGES[5:],
)
"""The same for rendered scenes."""


@dataclass(slots=True)
class Stages:
    """Own time of every stage, in seconds."""

    cpu_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    wall_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _nested: list[list[float]] = field(default_factory=list)

    def timed(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """Return the function with its own time charged to a stage."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self._nested.append([0.0, 0.0])
            cpu, wall = time.thread_time(), time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
                nested_cpu, nested_wall = self._nested.pop()
                self.cpu_s[stage] += cpu - nested_cpu
                self.wall_s[stage] += wall - nested_wall
                if self._nested:
                    self._nested[-1][0] += cpu
                    self._nested[-1][1] += wall

        return wrapper

    def shares(self) -> Iterator[tuple[str, float, float]]:
        """Yield stage, share of CPU time and share of wall time in percent, the largest CPU share first."""
        cpu, wall = sum(self.cpu_s.values()), sum(self.wall_s.values())
        for stage in sorted(self.cpu_s, key=self.cpu_s.__getitem__, reverse=True):
            yield stage, 100 * self.cpu_s[stage] / cpu, 100 * self.wall_s[stage] / wall


@contextmanager
def measured_stages(wrapped: Sequence[tuple[object, str, str]] = STAGES) -> Iterator[Stages]:
    """Charge the stages of everything done in the block, on one thread.

    Args:
        wrapped: Functions to wrap.
    """
    stages = Stages()
    patches = [mock.patch.object(owner, name, stages.timed(getattr(owner, name), stage)) for owner, name, stage in wrapped]
    patches.append(mock.patch.object(synth.store.files, "hashlib", _timed_hashlib(stages)))
    for patch in patches:
        patch.start()
    try:
        yield stages
    finally:
        for patch in patches:
            patch.stop()


def _timed_hashlib(stages: Stages) -> SimpleNamespace:
    """Return what ``synth.store.files`` uses of ``hashlib``, charged to a stage of its own."""

    def sha256() -> SimpleNamespace:
        state = hashlib.sha256()
        return SimpleNamespace(update=stages.timed(state.update, "hash files"), hexdigest=state.hexdigest)

    return SimpleNamespace(sha256=sha256, file_digest=stages.timed(hashlib.file_digest, "hash files"))
