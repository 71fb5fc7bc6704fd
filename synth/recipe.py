"""The synthesis recipe: everything that decides the bytes of a data set, checked before any work starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synth.canvas import Fit
from synth.legacy import LegacyConfig
from synth.negatives import NegativePass
from synth.noise import MAX_PATCH_BYTES, NoiseConfig
from synth.rng import ALGO_VERSION
from synth.scene import SceneConfig


class CorpusSource(BaseModel):
    """A folder of real frames with masks.

    Attributes:
        kind: Always ``corpus``.
        path: The folder; the command's ``--source`` sets it.
        layout: Name of the folder layout, or null to detect it.
        split_list: Name of the published list family, or null for the set's official one.
        max_level: Level that stands for 1.0 in 16-bit files (16383 for 14-bit data), or null for the full range.
        mask_scale: ``strict`` takes 0/255 masks; ``auto`` accepts 0/1 masks too, ``index`` palette masks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["corpus"] = "corpus"
    path: str | None = None
    layout: str | None = None
    split_list: str | None = None
    max_level: int | None = Field(default=None, ge=1, le=65_535)
    mask_scale: Literal["strict", "auto", "index"] = "strict"


class StoreLayout(BaseModel):
    """How samples are laid out on disk; no part of it changes a sample.

    Attributes:
        shard_images: Images per shard, one task each; null: 1024 at 256x256, in proportion to the area otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shard_images: int | None = Field(default=None, ge=1, le=65_536)


class SynthesisRecipe(BaseModel):
    """A data set made from source frames by sequential noise modelling and negative synthesis.

    The set is: every source frame once (``originals``), then the passes in order, each giving every target of every frame
    in each of the four quarter turns. Source: SIRST-5K (Lu et al., TGRS 2024); the exact published mix of weights and
    sides is unknown, see ``num_synthetic``.

    Attributes:
        name: Name shown in manifests and reports.
        seed: Seed of every draw.
        source: Where original frames come from.
        split: Frames to draw on: ``train`` leaves the validation ids out, ``trainval`` takes them in and thereby bars
            that validation list from selecting anything for models trained on the set; null takes every frame of a
            folder without lists.
        canvas_hw: Size of every sample, rows and columns.
        fit: ``native_crop`` crops and reflect-pads; ``resize`` squashes as the released scripts do.
        image_dtype: ``uint8`` or ``uint16``: levels of the stored images; the full range stands for 1.0.
        noise: How noise is sampled and prepared.
        passes: Mixing weight and patch side of each pass.
        originals: Whether the untouched source frames come first.
        num_synthetic: Number of synthetic samples: a count (passes repeat with other noise windows when it exceeds them);
            ``all``: every pass in full; ``published``: 4,199 where the source is the published one (the 663 NUDT training
            frames with their 918 targets), one full pass of the first weight and side anywhere else.
        max_targets: Target slots per sample; one target more is an error.
        max_impostors: Impostor slots per rendered scene; one impostor more is an error.
        legacy: Bugs of the released scripts.
        store: Layout on disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    seed: int = Field(default=0, ge=0, lt=2**63)
    source: Annotated[CorpusSource | SceneConfig, Field(discriminator="kind")] = CorpusSource()
    split: Literal["train", "trainval"] | None = "train"
    canvas_hw: tuple[Annotated[int, Field(ge=32, le=4096)], Annotated[int, Field(ge=32, le=4096)]] = (256, 256)
    fit: Fit = "native_crop"
    image_dtype: Literal["uint8", "uint16"] = "uint8"
    noise: NoiseConfig = NoiseConfig()
    passes: tuple[NegativePass, ...] = Field(default=(NegativePass(),), min_length=1, max_length=1000)
    originals: bool = True
    num_synthetic: Annotated[int, Field(ge=0, le=10**9)] | Literal["all", "published"] = "all"
    max_targets: int = Field(default=16, ge=1, le=255)
    max_impostors: int = Field(default=64, ge=1, le=1024)
    legacy: LegacyConfig = LegacyConfig()
    store: StoreLayout = StoreLayout()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_noise(self.noise)
        if self.legacy.duplicate_lines and self.legacy.centres_file is None:
            raise ValueError("legacy.duplicate_lines must stand with legacy.centres_file, got no file")
        if self.legacy.centres_file is not None and self.fit == "resize":
            raise ValueError(
                "legacy.centres_file must stand with fit: native_crop, got fit: resize; its centres are in native pixels"
            )
        if self.num_synthetic == 0 and not self.originals:
            raise ValueError("num_synthetic must be > 0 when originals is false, got 0: the set would be empty")
        if isinstance(self.source, SceneConfig):
            self._check_scenes(self.source)
        return self

    def _check_noise(self, noise: NoiseConfig) -> None:
        if noise.window_px > min(self.canvas_hw):
            raise ValueError(f"noise.window_px must be <= canvas_hw, got {noise.window_px}")
        most = MAX_PATCH_BYTES // noise.window_px**2
        if noise.max_windows > most and not self.renders_scenes:  # which sample no window
            raise ValueError(
                f"noise.max_windows must be <= {most} with noise.window_px {noise.window_px}, because a store holds at most "
                f"{MAX_PATCH_BYTES} bytes of windows, got {noise.max_windows}"
            )
        for key in ("split_list", "max_level"):
            if noise.source == "same" and getattr(noise, key) is not None:
                raise ValueError(f"noise.{key} must stand with a folder as noise.source, got same; set source.{key}")

    def _check_scenes(self, source: SceneConfig) -> None:
        if self.renders_scenes and tuple(source.frame_hw) != self.canvas_hw:
            raise ValueError(f"source.frame_hw must equal canvas_hw {self.canvas_hw} for rendered scenes, got {source.frame_hw}")
        if self.renders_scenes and (self.image_dtype != "uint8" or not self.originals):
            raise ValueError("image_dtype must be uint8 and originals true for rendered scenes; source.raw keeps the raw levels")
        if source.raw and not self.renders_scenes:
            raise ValueError("source.raw must stand with num_synthetic = 0: mixed copies have no raw levels")

    def shard_images(self) -> int:
        """Return the images per shard: as told, or about 64 Mpx a shard (1024 at 256x256)."""
        if self.store.shard_images is not None:
            return self.store.shard_images
        return max(1, min(1024, 1024 * 256 * 256 // (self.canvas_hw[0] * self.canvas_hw[1])))

    @property
    def folder(self) -> Path | None:
        """Folder of real frames, resolved: those of the source, or plates behind scenes; None where none is read."""
        holder = self.source if isinstance(self.source, CorpusSource) else self.source.plates
        return None if holder is None or holder.path is None else Path(holder.path).resolve()

    def reading(self, folder: Path) -> Self:
        """Return the recipe with another :attr:`folder`; as it is where none is read."""
        if isinstance(self.source, CorpusSource):
            return self.model_copy(update={"source": self.source.model_copy(update={"path": str(folder)})})
        if self.source.plates is None:
            return self
        plates = self.source.plates.model_copy(update={"path": str(folder)})
        return self.model_copy(update={"source": self.source.model_copy(update={"plates": plates})})

    def with_absolute_folders(self) -> Self:
        """Return the recipe with absolute folders of plates and noise, so that its store is repaired from wherever one stands."""
        recipe = self
        if isinstance(self.source, SceneConfig) and self.source.plates is not None:
            recipe = self.reading(Path(self.source.plates.path).absolute())
        if self.noise.source == "same":
            return recipe
        noise = self.noise.model_copy(update={"source": str(Path(self.noise.source).absolute())})
        return recipe.model_copy(update={"noise": noise})

    @property
    def renders_scenes(self) -> bool:
        """Whether every sample is a rendered scene, stored with all that is known about it."""
        return isinstance(self.source, SceneConfig) and self.num_synthetic == 0

    @property
    def keeps_raw(self) -> bool:
        """Whether the sensor's levels are stored beside the view."""
        return isinstance(self.source, SceneConfig) and self.source.raw

    @property
    def impostor_slots(self) -> int:
        """Impostor slots per sample; 0 where samples are no rendered scenes."""
        return self.max_impostors if self.renders_scenes else 0

    def content(self) -> dict[str, Any]:
        """Return what decides the bytes of the samples; see :func:`content_of`."""
        return content_of(self.model_dump(mode="json"))

    def hash(self) -> str:
        """Return the sha256 of :meth:`content` and the version of the code that turns it into bytes."""
        return sha256_of_json(self.content() | {"algo_version": ALGO_VERSION})


def content_of(dump: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a dumped recipe decides the bytes: not its name, disk layout and the places of folders and files.

    The frames of those folders are hashed one by one in the manifest, the windows of a noise folder in the noise bank; the rows
    of a path table are in the recipe, the centres of a centres file in the source frames.
    """
    content = {key: value for key, value in dump.items() if key not in ("name", "store")}
    content["source"] = {key: value for key, value in dump["source"].items() if key != "path"}
    if content["source"].get("plates"):
        content["source"]["plates"] = content["source"]["plates"] | {"path": "folder"}
    ranges = content["source"].get("ranges")
    if ranges and ranges["path"].get("file"):
        content["source"]["ranges"] = ranges | {"path": ranges["path"] | {"file": "file"}}
    if dump["noise"]["source"] != "same":
        content["noise"] = dump["noise"] | {"source": "folder"}
    if dump["legacy"]["centres_file"] is not None:
        content["legacy"] = dump["legacy"] | {"centres_file": "file"}
    return content


def sha256_of_json(value: Any) -> str:
    """Return the sha256 of the canonical JSON of a value: sorted keys, no spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
