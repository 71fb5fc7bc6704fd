"""The sensor's bytes do not depend on the processor's instruction set."""

import os
import subprocess
import sys
from pathlib import Path

WEAK = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"

DIGEST = """
import hashlib
import numpy as np
from synth.rng import Stream, keyed_generator
from synth.scene.clutter import power_law_field
from synth.scene.detector import VirtualCamera, expose, lag_share, respond
from synth.scene.display import fit_view, show
from synth.scene.optics import blur_sigmas, clutter_transfer
from synth.scene.presets import SENSOR_PRESETS, sensor_named

extra = [sensor_named("cooled_mwir_15um_f4", shot={"exact_poisson": True}), sensor_named("sirst_like", denoise="median3")]
for number, sensor in enumerate([*SENSOR_PRESETS.values(), *extra]):
    for index in range(3):
        camera = VirtualCamera.draw(sensor, (120, 160), rng=keyed_generator(1, Stream.CAMERA, index))
        kelvin = power_law_field(keyed_generator(1, Stream.SCENE, index), hw=(120, 160), beta=3.0) * camera.vignetting
        raw = expose(respond(kelvin, sensor), camera, rng=keyed_generator(1, Stream.NOISE, index)).raw
        grey = show(raw, fit_view(raw, sensor, rng=keyed_generator(1, Stream.VIEW, index)))
        scalars = np.array([camera.sigma_optics_px, lag_share(sensor)])
        parts = [raw, grey, camera.pattern_dn, camera.nuc_dn, camera.row_dn, scalars]
        parts += list(clutter_transfer((120, 160), camera.sigma_optics_px, jitter_sigma_px=0.3))
        parts.append(np.array(blur_sigmas(camera.sigma_optics_px, jitter_sigma_px=0.3, motion_px=(0.2, 0.7))))
        print(number, index, *(hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest()[:12] for part in parts))
"""


def test_bytes_do_not_depend_on_the_instruction_set(tmp_path: Path) -> None:
    """Neither on numpy's kernels nor on ours, compiled for this processor and for the plainest of its kind."""
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    outputs = []
    for changed in ({}, {"NPY_DISABLE_CPU_FEATURES": WEAK, **plain}):
        env = os.environ | changed
        command = [sys.executable, "-W", "ignore", "-c", DIGEST]
        outputs.append(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.splitlines())
    assert len(outputs[0]) == 27
    assert outputs[0] == outputs[1]
