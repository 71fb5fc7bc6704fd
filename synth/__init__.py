"""Synthesis: real frames, or none -> a large, labelled, reproducible, checksummed data set in zarr shards.

The names below are stable; everything else is free to move.

    open_store(path)                 read a store: len(), store[i] -> Sample, store.images(indices), store.manifest
    open_corpus(path, split=None)    read a folder of real frames: iterable of Sample at native size
"""

from synth.corpora import Corpus, open_corpus
from synth.sample import Frame, Provenance, Sample, SampleKind, Target, TargetKind
from synth.store import Store, open_store

__all__ = [
    "Corpus",
    "Frame",
    "Provenance",
    "Sample",
    "SampleKind",
    "Store",
    "Target",
    "TargetKind",
    "open_corpus",
    "open_store",
]
