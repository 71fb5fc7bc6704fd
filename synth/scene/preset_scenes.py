"""What a sensor preset says about the scene in front of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

PRESET_SCENES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "space_staring": {
            "regimes": {"space": 1.0},
            "targets": {"levels": {"point": 1.0, "blob": 0.0, "extended": 0.0, "group": 0.0}},
            "impostors": {"hot_pixel": 3.0, "cloud_corner": 0.0, "glint": 0.0},
        },
        "sirst_like": {  # fitted like its sensor, see presets
            "calibrated_on": "sirst-v1 (folder, layout sirst_v1, lists v1, split trainval), 341 frames, "
            "sha256 9ffc78896a14633b, seed 0",
            "regimes": {
                "cloud": 0,
                "farmland": 0.1204,
                "hills": 0.309,
                "overcast": 0.174,
                "sea": 0.006,
                "sky": 0.2286,
                "urban": 0.162,
            },
            "clutter_tilt": -0.679,
            "textures": "own",
            "frames_per_camera": 1,
            "targets": {
                "empty_share": 0,
                "one_share": 0.8387,
                "two_share": 0.1144,
                "levels": {"point": 0.0, "blob": 0.7736, "extended": 0.2264, "group": 0.0},
                "sigma_total_px": (1.142, 1.203, 1.4, 1.404, 1.578, 1.703, 1.709, 2.008, 2.7, 2.771, 4.786),
                "aspect": (1, 1, 1, 1.584, 1.586, 1.591, 1.603, 1.82, 1.858, 2.862, 2.883),
                "half_length_px": (2.81, 3.199, 3.273, 3.274, 3.417, 3.426, 7.562, 7.746, 8, 11.97, 12.32),
                "mask_threshold": (0.1183, 0.2092, 0.2525, 0.2894, 0.3654, 0.3681, 0.3686, 0.3946, 0.4711, 0.4902, 0.8635),
            },
            "scr": {
                "low": 0.05,
                "high": 1000.0,
                "law": "view_peak",
                "view_peak_dn": (33.94, 34.21, 43.63, 62.33, 87.11, 102.9, 103.5, 149.6, 200.6, 226.7, 230),
            },
            "impostors": {"scr": (2.307, 46.51)},
        },
        "stress_low_scr": {"scr": {"low": 0.5, "high": 3.0}},
    }
)
"""What a preset says about the scene in front of it (physics section 10); anything written in the recipe wins."""
