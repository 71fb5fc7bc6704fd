"""One store being made, as a worker sees it: everything comes from the manifest, one call writes one whole shard."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synth.errors import RefusalError, RenderError, SourceError, VerificationError
from synth.noise import BANK_DTYPES, NoiseBank
from synth.plan import Plan
from synth.recipe import SynthesisRecipe
from synth.render import Renderer
from synth.render_scenes import TruthRenderer
from synth.sources import SourceTable, TableReader
from synth.store.codec import encode_chunk
from synth.store.commit import ShardCommit, hash_digests, retract_commit, shard_faults
from synth.store.files import write_durably
from synth.store.layout import array_specs, encode_column, encode_shard_of_images
from synth.store.manifest import Manifest
from synth.store.reader import Store
from synth.store.schema import record_dtype, sample_digest


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What a worker reports; the data itself travels through the disk.

    Attributes:
        shard: Its number.
        num_written: Samples written; 0 when the shard was done already.
    """

    shard: int
    num_written: int


class Job:
    """A store being made.

    Args:
        store: The store, created with its manifest and noise bank.
        source_root: Folder of the source frames or plates, when it is not where the manifest says.

    Raises:
        RefusalError: The store's noise bank is not the one of its manifest.
    """

    def __init__(self, store: Path, source_root: Path | None = None) -> None:
        manifest = Manifest.load(store)  # not kept: its JSON is larger than the table of sources made from it
        self.path, self.shape, self._recipe_hash = store, manifest.shape, manifest.recipe_hash
        recipe, table = manifest.recipe, manifest.sources
        self.plan = Plan(recipe, table.targets_per_frame())
        bank = _load_bank(store, manifest)
        self.renderer = make_renderer(recipe, table, bank, source_root or manifest.source_root)
        self._specs = array_specs(self.shape)
        self._image = np.empty(self.shape.canvas_hw, self.shape.image_dtype)
        self._mask = np.empty(self.shape.canvas_hw, np.uint8)
        self._raw = np.empty(self.shape.canvas_hw, np.uint16) if self.shape.has_raw else None
        self._record_dtype = record_dtype(self.shape.max_targets, self.shape.max_impostors)

    def is_done(self, shard: int) -> bool:
        """Tell whether a shard is committed and its files hash to what its record says."""
        return not shard_faults(self.path, shard, self.shape, self._recipe_hash)

    def render_digest(self, index: int) -> bytes:
        """Render one sample and return its digest, writing nothing."""
        record = np.zeros(1, self._record_dtype)
        self._render(index, record, 0)
        return sample_digest(self._image, self._mask, record[0].tobytes(), self._raw)

    def write_shard(self, shard: int, *, again: bool = False, expected: str | None = None) -> ShardResult:
        """Render, encode and commit one shard, unless it is done.

        Args:
            shard: Its number.
            again: Write it even if its files hash to what its record says.
            expected: Content it must come out with (:func:`~synth.store.commit.hash_digests`), or None for any.

        Raises:
            RenderError: A sample could not be rendered; names shard and sample.
            StoreError: The shard could not be written.
            VerificationError: It comes out with other content than expected; nothing was written.
        """
        if not again and self.is_done(shard):
            return ShardResult(shard, 0)
        samples = self.shape.samples_of(shard)
        records = np.zeros(len(samples), self._record_dtype)
        digests = np.empty((len(samples), 32), np.uint8)
        images: list[bytes] = []
        masks: list[bytes] = []
        raws: list[bytes] = []
        for slot, index in enumerate(samples):
            try:
                self._render(index, records, slot)
            except (RenderError, SourceError) as error:
                raise type(error)(f"shard {shard}, sample {index}: {error}") from error
            images.append(encode_chunk(self._image))
            masks.append(encode_chunk(self._mask))
            if self._raw is not None:
                raws.append(encode_chunk(self._raw))
            digest = sample_digest(self._image, self._mask, records[slot].tobytes(), self._raw)
            digests[slot] = np.frombuffer(digest, np.uint8)
        contents = {
            "image": encode_shard_of_images(images, self.shape),
            "mask": encode_shard_of_images(masks, self.shape),
            "sample/digest": [encode_column(digests, self._specs["sample/digest"])],
        }
        if raws:
            contents["image_raw"] = encode_shard_of_images(raws, self.shape)
        contents |= {name: [encode_column(records[name], self._specs[name])] for name in records.dtype.names or ()}
        content = hash_digests(digests)
        if expected not in (None, content):
            raise VerificationError(f"{self.path}: shard {shard} comes out with other content than the store had")
        self._commit(shard, contents, content)
        return ShardResult(shard, len(samples))

    def _render(self, index: int, records: npt.NDArray[np.void], slot: int) -> None:
        self.renderer.fill(self.plan.row(index), self._image, self._mask, self._raw, records, slot)

    def _commit(self, shard: int, contents: dict[str, list[bytes]], content: str) -> None:
        files = {}
        retract_commit(self.path, shard)
        for path, parts in contents.items():
            name = self._specs[path].file_of(shard)
            sha256 = write_durably(self.path / name, parts)
            files[name] = (sha256, sum(map(len, parts)))
        samples = self.shape.samples_of(shard)
        ShardCommit(shard, samples.start, samples.stop, self._recipe_hash, content, files).save(self.path)


def make_renderer(
    recipe: SynthesisRecipe, table: SourceTable, bank: NoiseBank, source_root: Path | None
) -> Renderer | TruthRenderer:
    """Return what renders the samples of a recipe.

    Args:
        recipe: What to make.
        table: Its source frames.
        bank: Its noise windows.
        source_root: Folder of the source frames or plates, or None for the recipe's.
    """
    recipe = recipe if source_root is None else recipe.reading(source_root)
    if recipe.renders_scenes:
        return TruthRenderer(recipe, table)
    return Renderer(recipe, table, TableReader(recipe, table, source_root), bank)


def write_shard(store: str, source_root: str | None, manifest_key: str, shard: int) -> ShardResult:
    """Write one shard of a store: the task a worker runs.

    Args:
        store: Path of the store.
        source_root: Folder of the source frames, or None for the manifest's.
        manifest_key: Anything that changes when the store at this path is another one.
        shard: Number of the shard.
    """
    key = (store, source_root, manifest_key)
    if getattr(_held, "key", None) != key:  # a job has buffers of its own, so every thread keeps one
        _held.job, _held.key = Job(Path(store), Path(source_root) if source_root else None), key
    job: Job = _held.job
    return job.write_shard(shard)


_held = threading.local()


def _load_bank(store: Path, manifest: Manifest) -> NoiseBank:
    bank = Store(store, manifest).noise_bank() if manifest.shape.noise_windows else _empty_bank(manifest)
    if bank.digest() != manifest.content["noise_digest"]:
        raise RefusalError(f"{store}/noise: is not the noise bank of the manifest; run verify --repair")
    return bank


def _empty_bank(manifest: Manifest) -> NoiseBank:
    side = manifest.shape.window_px
    shapes = {"patch": (0, side, side)}
    return NoiseBank(**{name: np.empty(shapes.get(name, (0,)), dtype) for name, dtype in BANK_DTYPES.items()})
