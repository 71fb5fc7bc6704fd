"""Synthetic infrared frames: what is in front of the sensor, the sensor, and the view, one concept a file.

``config``     what to render                       ``frame``      one frame, in the order of the physics
``backdrops``  skies, clouds, sea, land, plates     ``shapes``     targets and their stamps     ``impostors``  hard negatives
``detector``   noise, fixed pattern, conversion     ``display``    gain control and view        ``scr``        one definition
``presets``    sensors by name                      ``truth``      all that is known of a frame
"""

from synth.scene.config import SceneConfig
from synth.scene.frame import SceneFrame, render_scene

__all__ = ["SceneConfig", "SceneFrame", "render_scene"]
