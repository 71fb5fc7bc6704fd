"""What a store is: ``manifest.json`` with recipe, sources, versions and hashes; compared before anything is added.

It is written when the store is created (``state: generating``) and replaced once, when every shard is committed, by the same
with the list of shards and one ``content_hash`` over decoded arrays and columns in index order.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from synth.errors import RefusalError
from synth.noise import NoiseBank
from synth.recipe import SynthesisRecipe, content_of, sha256_of_json
from synth.rng import ALGO_VERSION
from synth.sources import SourceTable, digest_of_sources
from synth.store.files import read_json, write_json
from synth.store.layout import ArraySpec, StoreShape, array_specs, noise_specs
from synth.store.schema import CODE_TABLES, FORMAT, FORMAT_VERSION

_ARRAY_NAME = re.compile(r"[a-z_]+(/[a-z_]+)?")
_VERSIONS_OF = ("sirst-foundry", "numpy", "scipy", "numba", "zarr", "numcodecs", "pillow")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        content: The parsed JSON object.
    """

    content: dict[str, Any]

    @classmethod
    def of(cls, recipe: SynthesisRecipe, table: SourceTable, root: Path | None, bank: NoiseBank, num_samples: int) -> Manifest:
        """Describe a store about to be made."""
        shape = StoreShape(
            num_samples=num_samples,
            shard_images=recipe.shard_images(),
            canvas_hw=recipe.canvas_hw,
            image_dtype=recipe.image_dtype,
            max_targets=recipe.max_targets,
            noise_windows=len(bank),
            window_px=recipe.noise.window_px,
            max_impostors=recipe.impostor_slots,
            has_raw=recipe.keeps_raw,
        )
        return cls({
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "algo_version": ALGO_VERSION,
            "state": "generating",
            "recipe": recipe.model_dump(mode="json"),
            "recipe_hash": recipe.hash(),
            "shape": asdict(shape) | {"canvas_hw": list(shape.canvas_hw)},
            "arrays": sorted([*array_specs(shape), *noise_specs(shape)]),
            "codes": CODE_TABLES,
            "sources": {"path": str(root) if root else None, "digest": table.digest(), **table.to_json()},
            "noise_digest": bank.digest(),
            "cpu_level": None,
            "versions": _versions(),
            "content_hash": None,
            "shards": [],
        })  # fmt: skip

    @classmethod
    def load(cls, store: Path) -> Manifest:
        """Read the manifest of a store.

        Raises:
            RefusalError: The folder is no store of ours, or of a newer format.
        """
        path = store / "manifest.json"
        if not path.is_file():
            raise RefusalError(f"{store}: is no foundry store (no manifest.json); give the .zarr folder a synthesize made")
        content = read_json(path)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise RefusalError(f"{path}: format must be {FORMAT}; this is not a foundry store")
        if content.get("format_version") != FORMAT_VERSION:
            raise RefusalError(
                f"{path}: format_version must be {FORMAT_VERSION}, got {content.get('format_version')!r}; update sirst-foundry"
            )
        missing = {
            "recipe",
            "recipe_hash",
            "shape",
            "sources",
            "noise_digest",
            "state",
            "shards",
            "arrays",
        } - content.keys()
        if missing:
            raise RefusalError(f"{path}: lacks {', '.join(sorted(missing))}; restore it from a copy")
        manifest = cls(content)
        try:
            _check_types(manifest)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise RefusalError(f"{path}: is damaged ({_one_line(error)}); restore it from a copy") from error
        return manifest

    def save(self, store: Path) -> None:
        """Replace the manifest of a store, atomically."""
        write_json(store / "manifest.json", self.content)

    def encode(self) -> bytes:
        """Return the bytes of ``manifest.json``."""
        return json.dumps(self.content, indent=1, sort_keys=True, allow_nan=False).encode()

    @property
    def shape(self) -> StoreShape:
        """Sizes of the store."""
        entry = dict(self.content["shape"])
        return StoreShape(**(entry | {"canvas_hw": tuple(entry["canvas_hw"])}))

    @property
    def recipe(self) -> SynthesisRecipe:
        """The resolved recipe.

        Raises:
            RefusalError: It is damaged.
        """
        try:
            return SynthesisRecipe.model_validate(self.content["recipe"])
        except ValueError as error:
            raise RefusalError(f"manifest.json: recipe is damaged ({_one_line(error)}); restore it from a copy") from error

    @property
    def recipe_hash(self) -> str:
        """sha256 of the recipe's content."""
        return str(self.content["recipe_hash"])

    @property
    def sources(self) -> SourceTable:
        """The source frames as scanned.

        Raises:
            RefusalError: The entry is damaged.
        """
        try:
            return SourceTable.from_json(self.content["sources"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RefusalError(f"manifest.json: sources are damaged ({_one_line(error)}); restore it from a copy") from error

    @property
    def source_root(self) -> Path | None:
        """Folder that source frames or plates were read from; None for generated frames, and where only the recipe names it."""
        path = self.content["sources"]["path"]
        return Path(path) if path else None

    @property
    def is_complete(self) -> bool:
        """Whether every shard is committed and the content hash stands."""
        return bool(self.content["state"] == "complete")

    @property
    def content_hash(self) -> str | None:
        """The hash over all decoded arrays, once complete."""
        value = self.content["content_hash"]
        return None if value is None else str(value)

    def specs(self) -> dict[str, ArraySpec]:
        """Return the per-sample arrays this store has, by path."""
        return {path: spec for path, spec in array_specs(self.shape).items() if path in self.content["arrays"]}

    def completed(self, records: list[dict[str, str]], digests: Iterable[bytes]) -> Manifest:
        """Return the manifest of the finished store.

        Args:
            records: For every shard, in order, ``record`` (sha256 of its commit record) and ``content``.
            digests: The sample digests, in index order.
        """
        content_hash = hash_content(self, digests)
        return Manifest(self.content | {"state": "complete", "shards": records, "content_hash": content_hash})

    def faults(self) -> list[str]:
        """List, as readable lines, which of its own hashes the manifest contradicts; empty when none.

        The entries are hashed as they stand, so that stores of versions whose recipes had other keys pass.
        """
        lines = []
        recipe = content_of(self.content["recipe"]) | {"algo_version": self.content["algo_version"]}
        if sha256_of_json(recipe) != self.recipe_hash:
            lines.append("manifest: its recipe is not the one its recipe_hash was taken over")
        if digest_of_sources(self.content["sources"]) != self.content["sources"]["digest"]:
            lines.append("manifest: its source frames are not those its digest was taken over")
        return lines

    def differences(self, other: Manifest) -> list[str]:
        """List, as readable lines, what keeps two manifests from sharing a store; empty when nothing does."""
        lines = [
            f"{key}: {short_json(mine)} in the store, {short_json(theirs)} now"
            for key, mine, theirs in leaf_differences(self._identity(), other._identity())
        ]
        is_same_recipe = all(line.startswith("shape.num_samples:") for line in lines)  # which follows from the sources
        mine, theirs = self.content["sources"], other.content["sources"]
        if is_same_recipe and mine["digest"] != theirs["digest"]:
            lines += _row_differences("source frames", mine["frames"], theirs["frames"])
            if mine.get("plates"):  # copies of scenes did not record theirs at first; their frames have changed with them
                lines += _row_differences("plates", mine["plates"], theirs["plates"])
        is_same_bank = self.content["noise_digest"] == other.content["noise_digest"]
        if not lines and not is_same_bank and not _predates_own_tests(mine.get("leakage", {}), theirs["leakage"]):
            lines.append("noise bank: other windows were sampled (the frames of noise.source have changed)")
        return lines

    def _identity(self) -> dict[str, Any]:
        shape = {k: v for k, v in self.content["shape"].items() if k != "noise_windows"}
        recipe = self.recipe.content()
        return recipe | {"algo_version": self.content["algo_version"], "shape": shape}


def hash_content(manifest: Manifest, digests: Iterable[bytes]) -> str:
    """Return the content hash: kind and size of the samples, their digests in index order, and the noise bank.

    Layout on disk (shard size), versions and file bytes are left out on purpose.
    """
    shape = manifest.shape
    fields = sorted([s.path, s.dtype, list(s.shape[1:])] for s in manifest.specs().values())
    head = [
        FORMAT,
        FORMAT_VERSION,
        shape.num_samples,
        list(shape.canvas_hw),
        shape.image_dtype,
        shape.max_targets,
        fields,
    ]
    state = hashlib.sha256(json.dumps(head, separators=(",", ":")).encode())
    for digest in digests:
        state.update(digest)
    state.update(str(manifest.content["noise_digest"]).encode())
    return state.hexdigest()


def _check_types(manifest: Manifest) -> None:
    """Raise any of the built-in look-up and value errors when an entry that readers rely on has another type."""
    content, shape = manifest.content, manifest.shape
    counts = [shape.num_samples, shape.noise_windows]
    sizes = [shape.shard_images, *shape.canvas_hw, shape.max_targets, shape.window_px]
    _require(all(type(n) is int and n >= 0 for n in counts), "shape: counts must be integers >= 0")
    _require(all(type(n) is int and n >= 1 for n in sizes), "shape: sizes must be integers >= 1")
    _require(len(shape.canvas_hw) == 2 and shape.image_dtype in ("uint8", "uint16"), "shape: canvas_hw or image_dtype")
    names = [content[key] for key in ("recipe_hash", "noise_digest", "state")] + list(content["arrays"])
    _require(all(isinstance(name, str) for name in names), "hashes, state and array names must be text")
    _require(all(_ARRAY_NAME.fullmatch(name) for name in content["arrays"]), "arrays: names must be plain")
    sources = content["sources"]
    _require(isinstance(sources["digest"], str) and isinstance(sources["path"], str | None), "sources: path or digest")
    rows = [*sources["frames"], *sources.get("plates", ())]
    _require(all(isinstance(row["id"], str) for row in rows), "sources: ids must be text")
    _require(type(sources.get("num_rendered", 0)) is int, "sources: num_rendered must be an integer")
    recipe = content["recipe"]
    parts = [recipe, recipe["source"], recipe["noise"], recipe["source"].get("plates", {})]
    _require(all(isinstance(part, dict | None) for part in parts) and isinstance(content["algo_version"], int), "recipe")
    content_of(content["recipe"])
    _require(content["state"] in ("generating", "complete"), "state must be generating or complete")
    if content["state"] == "complete":
        hashes = [content["content_hash"]] + [entry[key] for entry in content["shards"] for key in ("record", "content")]
        _require(all(isinstance(h, str) for h in hashes), "shards: hashes must be text")
        _require(len(content["shards"]) == shape.num_shards, f"shards: must be {shape.num_shards}")


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS_OF}


def leaf_differences(a: Any, b: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, value in ``a``, value in ``b``) wherever two JSON values differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted(a.keys() | b.keys()):
            yield from leaf_differences(a.get(name), b.get(name), f"{key}.{name}" if key else name)
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (left, right) in enumerate(zip(a, b, strict=True)):
            yield from leaf_differences(left, right, f"{key}.{i}")
    elif a != b:
        yield key, a, b


def _predates_own_tests(mine: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Tell whether noise banks differ by frames left out now: older scans knew no test list of the noise folder itself.

    Such a store goes on with the bank that it holds.
    """
    if "noise_kept_from" in mine or mine.get("noise_frames") != theirs.get("noise_frames"):
        return False
    return set(mine.get("noise_frames_excluded", ())) < set(theirs.get("noise_frames_excluded", ()))


def _row_differences(what: str, mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> list[str]:
    old, new = ({row["id"]: sha256_of_json({**row, "image": "", "mask": ""}) for row in rows} for rows in (mine, theirs))
    changed = [name for name in old.keys() & new.keys() if old[name] != new[name]]
    groups = {"gone": old.keys() - new.keys(), "new": new.keys() - old.keys(), "changed": changed}
    return [
        f"{what} {how}: {len(names)} ({', '.join(sorted(names)[:3])}{', ...' if len(names) > 3 else ''})"
        for how, names in groups.items()
        if names
    ]


def short_json(value: Any) -> str:
    """Return a JSON value as text of at most 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
