"""Synthetic infrared frames: clutter, optics, targets and sensor, one concept a file."""

from synth.scene.builtin import BuiltinConfig, render_builtin
from synth.scene.config import SceneConfig
from synth.scene.frame import SceneFrame, render_scene

__all__ = ["BuiltinConfig", "SceneConfig", "SceneFrame", "render_builtin", "render_scene"]
