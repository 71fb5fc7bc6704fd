"""Validation of a pretraining: counts of a network that cheats, of one that is blind, and of one that takes the bait."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor, nn

from pipelines.pretrain_sheet import write_views
from pipelines.sheet import IMPOSTOR_INK, MASK_INK
from pretrain.compose import Composed, Composer, InsertionConfig
from pretrain.compose.peaks import discs
from pretrain.frames import open_pool
from pretrain.health import alarms
from pretrain.objectives import ObjectiveSettings
from pretrain.order import Partition
from pretrain.settings import PretrainSettings
from pretrain.sources import open_pretrain_sources
from pretrain.task import PretrainModel, PretrainTask
from pretrain.train import composed_views, held_out_batches, training_composer, training_feed
from synth.errors import LeakageError
from tests.support.builders import scene, write_corpus
from tests.support.composing import batch_of_views, composed_of, tiny_network
from tests.support.pretraining import MIXTURE
from tests.support.pretraining import settings_of as objectives_of
from tests.support.stores import finished_store

CPU = torch.device("cpu")
SEG = TypeAdapter(ObjectiveSettings).validate_python({"kind": "seg"})


class Recalled(nn.Module):
    """A network that knows what was composed: its logits are a function of the frames on record."""

    def __init__(self, logits_of) -> None:
        super().__init__()
        self.inner, self._logits_of = tiny_network(), logits_of
        self.backbone = self.inner.backbone
        self.shown: list[Composed] = []

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.inner.encode(images)

    def decode(self, maps: tuple[Tensor, ...]) -> Recalled.Maps:
        return self.Maps(self._logits_of(self.shown[-1]))

    class Maps:
        auxiliary: tuple[Tensor, ...] = ()

        def __init__(self, logits: Tensor) -> None:
            self.logits_B1HW = logits


class Watched(Composer):
    """Remembers what it composed."""

    def __init__(self, shown: list[Composed]) -> None:
        super().__init__(InsertionConfig(), 1, pairs=False)
        self._shown = shown

    def compose(self, batch):
        self._shown.append(super().compose(batch))
        return self._shown[-1]


def scores_of(logits_of):
    network = Recalled(logits_of)
    composer, held_out = Watched(network.shown), [batch_of_views(8), batch_of_views(8, first=8)]
    for batch in held_out:
        batch.masks_B1HW[:, :, 20:30, 20:30] = 1  # of unlabelled views: what may be a target
    task = PretrainTask(PretrainModel(network, [SEG]).eval(), composer, held_out, composer, amp=False)
    with torch.no_grad():
        return task.validate(), network.shown


def test_a_perfect_network_scores_full():
    found, _ = scores_of(lambda composed: 2 * composed.masks_B1HW - 1)
    assert (found["synthetic_iou"], found["synthetic_pd"], found["synthetic_fa"]) == (100.0, 100.0, 0.0)
    assert found["impostors_taken"] == 0.0 and 1 < found["rank_targets"] <= 20 and 0 < found["spread_background"] < 2


def test_a_blind_network_scores_nothing():
    found, _ = scores_of(lambda composed: -torch.ones_like(composed.masks_B1HW))
    assert [found[name] for name in ("synthetic_iou", "synthetic_pd", "synthetic_fa", "impostors_taken")] == [0.0] * 4


def test_impostors_and_false_alarms_are_counted_apart():
    """One pixel on every impostor that lies off targets, none elsewhere."""

    def bait(composed: Composed) -> Tensor:
        places = composed.centres_BS2.masked_fill(~composed.is_impostor_BS[..., None], torch.nan)
        return 2 * discs(places, composed.hw, 0.75)[:, None].float() - 1

    found, shown = scores_of(bait)
    valid = sum(int(composed.valid_B1HW.sum()) for composed in shown)
    pixels = sum(int((bait(composed)[composed.valid_B1HW] > 0).sum()) for composed in shown)
    assert found["synthetic_pd"] == 0.0 and found["synthetic_fa"] == pytest.approx(1e6 * pixels / valid)
    hit = [(bait(composed) > 0) & composed.valid_B1HW for composed in shown]
    num = sum(int(composed.is_impostor_BS.sum()) for composed in shown)
    assert 50 < found["impostors_taken"] <= 100 and sum(int(h.sum()) for h in hit) <= 4 * num


def test_ignored_pixels_count_nowhere():
    """Predictions on doubtful pixels alone: no hit, no false alarm."""
    found, shown = scores_of(lambda composed: 2 * composed.ignored_B1HW.float() - 1)
    assert sum(int(composed.ignored_B1HW.sum()) for composed in shown) > 1000
    assert found["synthetic_fa"] == 0.0 and found["impostors_taken"] == 0.0


def settings_of(**keys):
    content = {
        "objectives": [{"kind": "seg"}], "views": {"crop_px": 32}, "held_out": {"frames": 2, "crops": 8},
        "train": {"steps": 4, "batch": 4},
    }  # fmt: skip
    return PretrainSettings.model_validate(content | keys)


@pytest.fixture
def folder(tmp_path):
    return write_corpus(tmp_path / "frames", [scene(f"f{i}", (40, 48)) for i in range(10)])


def sources_of(*paths, settings, uses_labels=False):
    return open_pretrain_sources(
        paths, settings.data, settings.doubt, held_out=settings.held_out.frames, uses_labels=uses_labels, device=CPU
    )


def test_held_out_crops_are_the_same_for_every_seed(folder):
    one, other = (settings_of(train={"steps": 4, "batch": 4, "seed": seed}) for seed in (0, 1))
    sources = sources_of(folder, settings=one)
    first, second = (torch.cat([batch.images_B1HW for batch in held_out_batches(s, sources, CPU)]) for s in (one, other))
    assert len(first) == 8 and torch.equal(first, second)


def test_stores_feed_pretraining_without_their_masks(tmp_path):
    store = finished_store(tmp_path, split="train")
    settings = settings_of(held_out={"frames": 3, "crops": 8}, doubt={"peaks": 0})
    sources = sources_of(store, settings=settings)
    (pool,), (held,) = sources.pools, sources.held_out
    assert len(held) == 3 and pool.num_targets == 0 and set(sources.identity["train"][0]) >= {"store", "frames", "held_out"}
    batch = next(training_feed(settings, sources, CPU).batches(0, Partition(4)))
    assert not batch.masks_B1HW.any() and not batch.is_labelled_B.any() and batch.images_B1HW.std() > 0
    assert open_pool(store).num_targets > 0
    composed = Composer(settings.insertion, 0, pairs=False).compose(batch)
    assert composed.masks_B1HW.any() and np.isfinite(composed.first_B1HW.numpy()).all()


def test_the_sheet_shows_what_the_network_sees(tmp_path):
    """Views of lneg as they come, with the masks of their frames; composed ones elsewhere."""
    frames = [scene(f"f{i}", (40, 48), [(5 + i, 8, 8 + i, 12)]) for i in range(10)]
    folder = write_corpus(tmp_path / "frames", frames)
    for kind, inserts in (("lneg", False), ("seg", True)):
        settings = settings_of(objectives=[{"kind": kind}])
        sources = sources_of(folder, settings=settings, uses_labels=settings.uses_labels)
        batch = next(training_feed(settings, sources, CPU).batches(0, Partition(4)))
        shown = composed_views(settings, sources, 4, CPU)
        assert torch.equal(shown.first_B1HW, batch.images_B1HW) is not inserts
        assert torch.equal(shown.masks_B1HW, batch.masks_B1HW) is not inserts and shown.masks_B1HW.any()
        assert bool(shown.is_used_BS.any()) is inserts
        write_views(shown, tmp_path / f"{kind}.png", kind, inserts=settings.uses_insertion)
        with Image.open(tmp_path / f"{kind}.png") as sheet:
            colours = np.unique(np.asarray(sheet.convert("RGB")).reshape(-1, 3), axis=0).tolist()
        assert list(MASK_INK) in colours and (list(IMPOSTOR_INK) in colours) is inserts


def test_noise_windows_are_loaded_where_they_are_read(tmp_path):
    store = finished_store(tmp_path, split="train")
    for kind, is_read in (("seg", False), ("denoise", True)):
        settings = settings_of(objectives=[{"kind": kind}], held_out={"frames": 3, "crops": 8})
        sources = sources_of(store, settings=settings)
        batch = next(training_feed(settings, sources, CPU).batches(0, Partition(4)))
        composed = training_composer(settings, sources, CPU).compose(batch)
        assert len(sources.pools[0].noise_MSS) and (composed.noise is not None) is is_read


def test_without_inserted_targets_nothing_is_an_alarm():
    """Nobody saw a target, so nobody missed one, and features at none have no rank."""
    composer = Composer(InsertionConfig.model_validate({"targets": {"num": (0, 0)}}), 1, pairs=False)
    task = PretrainTask(PretrainModel(tiny_network(), [SEG]).eval(), composer, [batch_of_views(8)], composer, amp=False)
    with torch.no_grad():
        found = task.validate()
    assert (found["rank_targets"], found["synthetic_pd"]) == (0.0, 0.0) and found["rank_background"] > 1
    assert not any("target" in line for line in alarms(found, 20, segments=True))


def test_a_store_with_validation_frames_must_be_named_so(tmp_path):
    store = finished_store(tmp_path)
    with pytest.raises(LeakageError, match=r"was made from validation frames too \(split trainval\)"):
        sources_of(store, settings=settings_of())
    accepted = settings_of(data={"split": "trainval"})
    assert len(sources_of(store, settings=accepted).pools) == 1


def test_compiling_leaves_out_what_objectives_draw_on_the_host():
    """Traced by torch's compiler and run as it stands (no code is generated): the same losses, bit for bit."""
    plain, composed = PretrainModel(tiny_network(), objectives_of(MIXTURE)).eval(), composed_of(batch_of_views(2, 32))
    compiled = copy.deepcopy(plain)
    compiled.compile(backend="eager")
    with torch.no_grad():
        assert plain(composed, 0) == compiled(composed, 0)
    assert list(compiled.state_dict()) == list(plain.state_dict())
