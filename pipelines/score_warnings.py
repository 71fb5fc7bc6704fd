"""What makes a comparison unfair: split, size, threshold, exposure. Said beside the scores, never left to the reader."""

from __future__ import annotations

from pipelines.score_counts import Counts
from pipelines.score_inputs import Predictions
from pipelines.score_truth import Truth
from synth.corpora.families import FOLDER_FAMILY
from synth.corpora.layouts import layout_named, shorten

PUBLISHED_THRESHOLD = 0.5


def find_warnings(
    truth: Truth, predictions: Predictions, counts: Counts, *, asked_split: str | None, threshold: float
) -> tuple[str, ...]:
    """Return one line a reason.

    Args:
        truth: Frames that were scored.
        predictions: Their maps.
        counts: What was counted.
        asked_split: Split named on the command line, or None.
        threshold: Threshold in use.
    """
    return (
        *_about_split(truth, asked_split),
        *_about_maps(predictions, counts, threshold),
        *_about_threshold(threshold),
        *_about_mode(counts),
        *_about_extra(truth, predictions),
    )


def _about_split(truth: Truth, asked_split: str | None) -> list[str]:
    found: list[str] = []
    family = truth.corpus.split_list
    if truth.split is None:
        found.append("every frame of the folder was scored, as it has no test list in use: published rows use a test split")
    elif truth.split != "test":
        found.append(f"split {truth.split} was scored: its frames may have trained the detector, published rows use test")
    official = layout_named(truth.corpus.layout).official_lists
    beside = [name for name in truth.corpus.list_names if name in official]
    if truth.split is not None and beside and family not in (*official, FOLDER_FAMILY):
        found.append(f"lists {family} are not the official ones of this folder ({', '.join(beside)}): compare within them only")
    for name, num in truth.trained_elsewhere().items():
        found.append(
            f"{num} of {len(truth.ids)} frames are training or validation frames of the lists {name}:"
            " a detector trained on those must not be scored here"
        )
    return found


def _about_maps(predictions: Predictions, counts: Counts, threshold: float) -> list[str]:
    found = list(predictions.notes)
    if counts.highest <= threshold:
        found.append(f"no map exceeds the threshold {threshold:g}, the highest value is {counts.highest:g}: is the scale right?")
    if counts.num_binary == len(counts.hashes):
        found.append("maps are binary: curves, AUC and HSE-r repeat the one decision that was made before")
    if not sum(len(counts.native.row(frame_id).targets) for frame_id in counts.native.ids) and len(counts.native):
        found.append("no mask holds a target: Pd, recall and IoU are undefined or say nothing; read Fa only")
    return found


def _about_threshold(threshold: float) -> list[str]:
    if threshold == PUBLISHED_THRESHOLD:
        return []
    return [f"threshold {threshold:g}: published rows use 0.5, and one chosen on these frames is optimistic (choose it on val)"]


def _about_mode(counts: Counts) -> list[str]:
    if counts.legacy is None:
        return []
    mode, found = counts.legacy.config["mode"], []
    if counts.legacy.num_resized:
        found.append(
            f"mode {mode}: {counts.legacy.geometry}; a resized map is not the map of a resized image, which published rows have"
        )
    if not counts.is_native_complete:
        found.append(f"maps are not at native size: no canonical scores, only those of mode {mode}")
    if mode == "irsam":
        found.append("mode irsam divides Fa by 512x512 a frame: too small by 4 on 256x256 frames")
    return found


def _about_extra(truth: Truth, predictions: Predictions) -> list[str]:
    extra = sorted({*predictions.ids} - {*truth.ids})
    return [f"{len(extra)} predictions belong to no scored frame and were ignored ({shorten(extra)})"] if extra else []
