"""The synthesis recipe: everything that decides the bytes of a data set, checked before any work starts."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synth.canvas import Fit
from synth.legacy import LegacyConfig
from synth.negatives import NegativePass
from synth.noise import NoiseConfig
from synth.rng import ALGO_VERSION
from synth.scene import BuiltinConfig


class CorpusSource(BaseModel):
    """A folder of real frames with masks.

    Attributes:
        kind: Always ``corpus``.
        path: The folder; the command's ``--source`` sets it.
        layout: Name of the folder layout, or null to detect it.
        split_list: Name of the published list family, or null for the set's official one.
        max_level: Level that stands for 1.0 in 16-bit files (16383 for 14-bit data), or null for the full range.
        mask_scale: ``strict`` takes 0/255 masks; ``auto`` accepts 0/1 masks too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["corpus"] = "corpus"
    path: str | None = None
    layout: str | None = None
    split_list: str | None = None
    max_level: int | None = Field(default=None, ge=1, le=65_535)
    mask_scale: Literal["strict", "auto"] = "strict"


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
        legacy: Bugs of the released scripts.
        store: Layout on disk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    seed: int = Field(default=0, ge=0, lt=2**63)
    source: Annotated[CorpusSource | BuiltinConfig, Field(discriminator="kind")] = CorpusSource()
    split: Literal["train", "trainval"] | None = "train"
    canvas_hw: tuple[Annotated[int, Field(ge=32, le=4096)], Annotated[int, Field(ge=32, le=4096)]] = (256, 256)
    fit: Fit = "native_crop"
    image_dtype: Literal["uint8", "uint16"] = "uint8"
    noise: NoiseConfig = NoiseConfig()
    passes: tuple[NegativePass, ...] = Field(default=(NegativePass(),), min_length=1, max_length=1000)
    originals: bool = True
    num_synthetic: Annotated[int, Field(ge=0, le=10**9)] | Literal["all", "published"] = "all"
    max_targets: int = Field(default=16, ge=1, le=255)
    legacy: LegacyConfig = LegacyConfig()
    store: StoreLayout = StoreLayout()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.noise.window_px > min(self.canvas_hw):
            raise ValueError(f"noise.window_px must be <= canvas_hw, got {self.noise.window_px}")
        if self.legacy.duplicate_lines and self.legacy.centres_file is None:
            raise ValueError("legacy.duplicate_lines must stand with legacy.centres_file, got no file")
        if self.legacy.centres_file is not None and self.fit == "resize":
            raise ValueError("legacy.centres_file must stand with fit: native_crop, got fit: resize; its centres are in native pixels")
        if self.num_synthetic == 0 and not self.originals:
            raise ValueError("num_synthetic must be > 0 when originals is false, got 0: the set would be empty")
        return self

    def shard_images(self) -> int:
        """Return the images per shard: as told, or about 64 Mpx a shard (1024 at 256x256)."""
        if self.store.shard_images is not None:
            return self.store.shard_images
        return max(1, min(1024, 1024 * 256 * 256 // (self.canvas_hw[0] * self.canvas_hw[1])))

    def content(self) -> dict[str, Any]:
        """Return what decides the bytes of the samples: the recipe without disk layout and source folder."""
        content = self.model_dump(mode="json", exclude={"store": True, "source": {"path"}, "name": True})
        if self.noise.source != "same":  # where the folder lies is no content: its windows are hashed in the noise bank
            content["noise"]["source"] = "folder"
        return content | {"algo_version": ALGO_VERSION}

    def hash(self) -> str:
        """Return the sha256 of :meth:`content`."""
        canonical = json.dumps(self.content(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
