"""What a finished training run says of itself, and which frames of a data set it has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.score_truth import Truth
from synth.corpora import open_corpus
from synth.corpora.families import find_lists
from synth.corpora.lists import hash_ids
from synth.errors import SourceError

PRETRAINED = ("ssl", "lneg")
"""Kinds of initial weights that a pretraining of ours has made."""
_DESCRIBED_BY = ("recipe_sha256", "weights_sha256", "weights", "step", "threshold", "init")


@dataclass(frozen=True)
class Run:
    """A finished training run.

    Attributes:
        path: Its folder, resolved.
        identity: What decided it: recipe, sources, init (``recipe.json``).
        result: How it ended (``result.json``).
    """

    path: Path
    identity: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """What identifies its weights, and the threshold it chose."""
        return {key: self.result[key] for key in _DESCRIBED_BY}

    @property
    def init(self) -> str:
        """Kind of the weights it started from."""
        return str(self.result["init"]["kind"])

    @property
    def init_sha256(self) -> str | None:
        """Hash of the file it started from; None for random weights."""
        sha256: str | None = self.result["init"].get("sha256")
        return sha256

    @property
    def seed(self) -> int:
        """Seed of its training."""
        return int(self.identity["recipe"]["train"]["seed"])

    @property
    def max_level(self) -> int | None:
        """Level that stood for 1.0 in 16-bit files of its folders; None for the full range."""
        level: int | None = self.identity["recipe"]["data"].get("max_level")
        return level

    @property
    def is_collapsed(self) -> bool | None:
        """Whether it says background everywhere on validation; None where nothing was left to validate on."""
        collapsed: bool | None = self.result["is_collapsed"]
        return collapsed

    @property
    def about(self) -> str:
        """What it is, for the reader."""
        result = self.result
        return f"(run, {result['weights']}, step {result['step']}, threshold {result['threshold']:.4f}, init {self.init})"

    @cached_property
    def family(self) -> str:
        """A hash that runs share which are seeds of one experiment: of recipe but for the seed, sources, and initial weights.

        Of these it is the pretraining, its seed left out; one from before that was recorded counts as kind and objectives, and
        any other file as itself.
        """
        from pretrain.runtime.weights import experiment_sha256

        init = self.result["init"]
        if self.init in PRETRAINED:
            start = init.get("experiment_sha256", [self.init, init.get("objectives")])
        else:
            start = self.init_sha256
        return experiment_sha256({**self.identity, "init": start})


def read_run(folder: Path) -> Run:
    """Read what a run says of itself.

    Raises:
        RefusalError: The folder is no finished run.
    """
    from finetune.train import read_result
    from pretrain.runtime import RunDirectory

    path = folder.resolve()
    result = read_result(path)
    return Run(path, RunDirectory(path).recipe, result)


def may_have_pretrained(run: Run, truth: Truth) -> bool:
    """Tell whether a run started from a pretraining that was not kept away from these test frames, as far as its record tells."""
    init = run.result["init"]
    if truth.split != "test" or init["kind"] not in PRETRAINED:
        return False
    kept_from = init.get("kept_from", ())
    return kept_from is not None and hash_ids(ref.id for ref in truth.corpus.test_frames()) not in kept_from


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a run has seen of a data set, as far as its record tells: folders by their ids, stores not at all.

    Attributes:
        lists: Lists of the data set that trained it, as "family/split".
        num_trained: Scored frames that trained it.
        num_validated: Scored frames that chose its weights and threshold.
        num_stores: Stores that trained it, whose frames are not in its record.
        is_rendered: Whether these are rendered scenes without any real frame, so of no data set.
    """

    lists: tuple[str, ...]
    num_trained: int
    num_validated: int
    num_stores: int
    is_rendered: bool = False

    @property
    def about(self) -> str:
        """What trained the run, seen from the data set."""
        store = "rendered scenes" if self.is_rendered else "a store"
        if self.lists:
            return " + ".join([f"this set ({', '.join(self.lists)})", *([store] if self.num_stores else [])])
        return store if self.num_stores else "another set"


def find_exposure(run: Run, truth: Truth) -> Exposure:
    """Return what a run has seen of a data set: its lists' ids are hashed as training does, and looked up in the run's record."""
    sources, scored = run.identity["sources"], frozenset(truth.ids)
    hashes = {entry["ids_sha256"] for entry in sources["train"] if "ids_sha256" in entry}
    chose = sources.get("validation", {}).get("ids_sha256")
    trained: set[str] = set()
    validated: set[str] = set()
    names = []
    for name, split, ids in _lists_of(run, truth):
        ids_sha256 = hash_ids(ids)
        if split == "val" and ids_sha256 == chose:
            validated |= ids
        elif split != "val" and ids_sha256 in hashes:
            trained |= ids
            names.append(f"{name}/{split}")
    stores = [entry for entry in sources["train"] if "store" in entry]
    are_rendered = bool(stores) and all(entry.get("rendered", False) for entry in stores)
    return Exposure(tuple(names), len(scored & trained), len(scored & validated), len(stores), are_rendered)


def _lists_of(run: Run, truth: Truth) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield family, split and ids of what the run would train and validate on in this folder."""
    from finetune.recipe import DataConfig
    from finetune.sources import training_ids

    config, corpus = DataConfig.model_validate(run.identity["recipe"]["data"]), truth.corpus
    left_out = sorted({tuple(entry.get("like_test_ids", ())) for entry in run.identity["sources"]["train"]})
    names = {lists.name for lists in find_lists(corpus.root)} | ({corpus.split_list} if corpus.split_list else set())
    for name in sorted(names):
        for split in (config.split, "val"):
            try:
                part = open_corpus(corpus.root, split, layout=corpus.layout, split_list=name, require_masks=False)
                own = frozenset(ref.id for ref in part.frames)
                found = [own] if split == "val" else [frozenset(training_ids(part, config, ids)) for ids in left_out]
            except SourceError:  # a family without this list, or with fewer frames than the run took: not what trained it
                continue
            for ids in found:
                yield name, split, ids
