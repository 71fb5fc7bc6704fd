"""Composed frames: synthetic targets and synthetic negatives inserted into label-free views, with their exact masks.

``config``       what is inserted, how strong, and what is left out of losses
``plan``         what stands where in each view, drawn on the host
``stamps``       what targets and impostors add to a background, pixel-integrated
``peaks``        peaks of local contrast: possible real targets, hard background
``patch_turns``  quarter turns of small squares
``noise``        noise like that of a frame
``turns``        flips and quarter turns of views and of points in them
``composed``     what objectives get
``composer``     batch -> composed
"""

from pretrain.compose.composed import Composed
from pretrain.compose.composer import Composer
from pretrain.compose.config import ImpostorConfig, InsertionConfig, TargetConfig
from pretrain.compose.plan import Kind

__all__ = ["Composed", "Composer", "ImpostorConfig", "InsertionConfig", "Kind", "TargetConfig"]
