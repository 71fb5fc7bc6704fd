"""Sequential noise modelling: sample quiet windows from frame sequences, keep them in a bank, mix them into images."""

from synth.noise.bank import BANK_DTYPES, MAX_PATCH_BYTES, NoiseBank, Reservoir
from synth.noise.mixing import MixPlan, NoiseMixer
from synth.noise.windows import NoiseConfig, Windows, accept_windows

__all__ = [
    "BANK_DTYPES",
    "MAX_PATCH_BYTES",
    "MixPlan",
    "NoiseBank",
    "NoiseConfig",
    "NoiseMixer",
    "Reservoir",
    "Windows",
    "accept_windows",
]
