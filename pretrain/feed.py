"""The feed: pools + order + views -> batches on the device.

It remembers nothing: the batches from any position on are a pure function of pools, settings and seed, so a run resumes at the
number of samples it has consumed, in the middle of an epoch and on another number of ranks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
import torch

from pretrain.batch import Batch
from pretrain.frames import Fetched, FramePool
from pretrain.material import collect_donors, collect_noise
from pretrain.order import Partition, Positions, SampleOrder
from pretrain.views import View, ViewConfig, Views
from synth.errors import RecipeError, SourceError

PREFETCH_BATCHES = 4
"""Batches read ahead from shards (our choice: hides a slow shard behind four steps)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Share:
    """What one pool gives to a batch."""

    source: int
    places: Positions
    indices: Positions
    fetched: Fetched


class Feed:
    """Training batches.

    Args:
        pools: The sources.
        config: How frames are seen.
        seed: Seed of order and views.
        weights: Share of each pool in every epoch, any positive scale; None: in proportion to the frames.
        device: Where batches go.
        needs_targets: Whether a source without any target is an error.

    Attributes:
        pools: The sources.
        order: The order of training.
        view_hw: Rows and columns of the views, px.

    Raises:
        RecipeError: Settings do not fit the pools.
        SourceError: Pools mix bit depths, or hold no target although some are needed.
    """

    def __init__(
        self,
        pools: Sequence[FramePool],
        config: ViewConfig,
        *,
        seed: int,
        weights: Sequence[float] | None = None,
        device: torch.device | str = "cpu",
        needs_targets: bool = True,
    ) -> None:
        _check_pools(pools, needs_targets=needs_targets or config.needs_targets)
        self.pools, self.order = tuple(pools), SampleOrder([len(pool) for pool in pools], weights, seed)
        assert all(pool.pixels.is_streamed or pool.pixels.is_on(device) for pool in pools), "resident pools: on the feed's device"
        self._device = device
        self.view_hw = _view_size(pools, config)
        with_targets = [pool for pool in pools if pool.num_targets]
        self._views = Views(
            config,
            self.view_hw,
            seed,
            device,
            collect_noise(pools, device) if config.noise_mix.probability else None,
            collect_donors(with_targets, seed, device) if config.paste_probability else None,
        )

    def batches(self, start: int, partition: Partition) -> Iterator[Batch]:
        """Return this rank's batches, without end, ``partition.parts`` of them to a step.

        Args:
            start: Samples consumed so far, by all ranks.
            partition: How steps are shared out.

        Raises:
            RecipeError: A step takes more samples than the pools hold.
        """
        self.check_batch(partition.batch)
        steps = (start + step * partition.batch for step in count())
        todo = (positions for first in steps for positions in partition.positions(first))
        if any(pool.pixels.is_streamed for pool in self.pools):
            return self._read_ahead(todo)
        return (self._make(positions, self._fetch(positions)) for positions in todo)

    def check_batch(self, batch: int) -> None:
        """Raise when a step takes more samples than the pools hold; asked before a run directory is made.

        Raises:
            RecipeError: It does.
        """
        if batch > self.order.epoch_length:
            raise RecipeError(f"train.batch must be <= {self.order.epoch_length}, the frames of all sources, got {batch}")

    def _read_ahead(self, todo: Iterator[Positions]) -> Iterator[Batch]:
        with ThreadPoolExecutor(1, thread_name_prefix="feed") as reader:
            ahead = deque((p, reader.submit(self._fetch, p)) for p in islice(todo, PREFETCH_BATCHES))
            try:
                while True:
                    positions, shares = ahead.popleft()
                    following = next(todo)
                    ahead.append((following, reader.submit(self._fetch, following)))
                    yield self._make(positions, shares.result())
            finally:
                reader.shutdown(cancel_futures=True)

    def _fetch(self, positions: Positions) -> list[_Share]:
        """Read what the pools give to a batch; the part that runs ahead in a thread."""
        sources, indices = self.order.at(positions)
        shares = []
        for source in np.unique(sources).tolist():
            places = np.flatnonzero(sources == source)
            fetched = self.pools[source].pixels.fetch(indices[places])
            shares.append(_Share(source, places, indices[places], fetched))
        return shares

    def _make(self, positions: Positions, shares: Sequence[_Share]) -> Batch:
        views = [self._views.cut(self.pools[s.source], s.indices, s.fetched, positions[s.places]) for s in shares]
        order = np.argsort(np.concatenate([share.places for share in shares]))
        view = self._views.finish(View.joined(views, order), positions)
        sources = np.repeat([share.source for share in shares], [len(share.places) for share in shares])[order]
        labelled = np.concatenate([self.pools[share.source].is_labelled[share.indices] for share in shares])[order]
        return Batch(
            images_B1HW=view.images_BHW[:, None],
            masks_B1HW=view.masks_BHW[:, None],
            valid_B1HW=view.valid_BHW[:, None],
            is_labelled_B=torch.from_numpy(labelled).to(self._device, non_blocking=True),
            positions=positions,
            sources=sources,
            indices=np.concatenate([share.indices for share in shares])[order],
        )


def _check_pools(pools: Sequence[FramePool], *, needs_targets: bool) -> None:
    depths = sorted({pool.bit_depth for pool in pools})
    if len(depths) > 1:
        shown = ", ".join(f"{pool.name} has {pool.bit_depth}" for pool in pools)
        raise SourceError(
            f"sources must share one bit depth, got {depths} bits ({shown}); set data.max_level for folders of 16-bit files, "
            "convert them, or train apart"
        )
    if needs_targets and not any(pool.num_targets for pool in pools):
        raise SourceError(f"{', '.join(pool.name for pool in pools)}: no target in any labelled frame; give frames with masks")


def _view_size(pools: Sequence[FramePool], config: ViewConfig) -> tuple[int, int]:
    if config.crop_px is not None:
        return config.crop_px, config.crop_px
    sizes = sorted({pool.hw for pool in pools})
    if len(sizes) > 1 or (config.rot90 and sizes[0][0] != sizes[0][1]):
        raise RecipeError(
            f"views.crop_px must be a number where sources have several sizes, or rot90 and no squares, got null with {sizes}"
        )
    if min(sizes[0]) < config.smallest_px:
        raise RecipeError(f"frames must be >= {config.smallest_px} px for views.paste_probability or patch_turn, got {sizes[0]}")
    return sizes[0]
