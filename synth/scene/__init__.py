"""Synthetic infrared frames: clutter, optics, targets and sensor, one concept a file."""

from synth.scene.builtin import BuiltinConfig, render_builtin

__all__ = ["BuiltinConfig", "render_builtin"]
