"""Readers of real data sets: layouts, split lists, decoding, and the leakage audit.

``layouts``   which folder trees are known
``catalog``   files of a tree -> frame references
``lists``     list files, and the validation lists that ship with the package
``families``  train, val, trainval and test lists that belong together
``splits``    the one split rule
``decode``    bytes -> integer levels and masks
``corpus``    :func:`open_corpus`, which joins the six
``training``  :func:`open_training_part`, the part of a folder that may be learnt from
``leakage``   shared ids, equal pixels, near duplicates between sets and splits
``grouping``  near-duplicate groups, and a validation list that never cuts one
"""

from synth.corpora.catalog import FrameRef
from synth.corpora.corpus import Corpus, open_corpus
from synth.corpora.decode import FileHashes, MaskScale
from synth.corpora.layouts import LAYOUTS, LayoutSpec
from synth.corpora.leakage import Fingerprints, Overlap, compare, fingerprint, near_duplicates, thumbnail
from synth.corpora.splits import Split
from synth.corpora.training import open_training_part, require_known_tests

__all__ = [
    "LAYOUTS",
    "Corpus",
    "FileHashes",
    "Fingerprints",
    "FrameRef",
    "LayoutSpec",
    "MaskScale",
    "Overlap",
    "Split",
    "compare",
    "fingerprint",
    "near_duplicates",
    "open_corpus",
    "open_training_part",
    "require_known_tests",
    "thumbnail",
]
