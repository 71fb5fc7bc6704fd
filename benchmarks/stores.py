"""Stores to measure on: the preset sirst5k on NUDT-SIRST, scanned once and laid out as often as a benchmark needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness import sirst_folder

from pipelines.config import load_recipe
from synth.noise import NoiseBank
from synth.plan import Plan
from synth.recipe import CorpusSource, SynthesisRecipe
from synth.scan import scan_sources
from synth.sources import SourceTable
from synth.store.layout import create_store
from synth.store.manifest import Manifest


@dataclass(frozen=True, slots=True)
class ScannedPreset:
    """A preset whose sources were scanned.

    Attributes:
        recipe: The recipe.
        root: Folder of the source frames.
        table: Its source frames.
        bank: Its noise windows.
    """

    recipe: SynthesisRecipe
    root: Path
    table: SourceTable
    bank: NoiseBank

    @classmethod
    def sirst5k_on_nudt(cls) -> Self:
        """Scan NUDT-SIRST for the preset ``sirst5k``."""
        recipe, root = nudt_recipe(), sirst_folder("nudt-sirst")
        return cls(recipe, root, *scan_sources(recipe, threads=1, progress=lambda done, total: None))

    def lay_out(self, store: Path, num_samples: int) -> Manifest:
        """Create an empty store of this many samples, originals included; no shard is written."""
        num_synthetic = num_samples - len(self.table.frames)
        recipe = self.recipe.model_copy(update={"num_synthetic": num_synthetic})
        plan = Plan(recipe, self.table.targets_per_frame())
        manifest = Manifest.of(recipe, self.table, self.root, self.bank, len(plan))
        create_store(store, manifest.shape, self.bank, manifest.encode())
        return manifest


def nudt_recipe() -> SynthesisRecipe:
    """Return the preset ``sirst5k`` with NUDT-SIRST as its source."""
    source = CorpusSource(path=str(sirst_folder("nudt-sirst")))
    return load_recipe("sirst5k", SynthesisRecipe).model_copy(update={"source": source})
