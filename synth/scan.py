"""The scan: read every source frame once, find its targets, fill the noise bank, and enforce the split rule.

Frames of the test list never become sources: their ids are not on the list in use, and their pixels are refused wherever
they come from. Validation frames enter only under ``split: trainval``. Near-duplicates of test frames (32x32 normalised
cross-correlation) are excluded from a foreign noise folder, stay among the sources and plates of a published train list, and
are counted and listed in all of them. A noise folder and one of plates are held against test lists of their own, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from synth.canvas import resize_frame
from synth.corpora import Corpus, FileHashes, FrameRef, open_corpus, open_training_part, require_known_tests
from synth.corpora.leakage import NEAR_DUPLICATE_NCC, near_duplicates, thumbnail
from synth.corpora.lists import hash_ids
from synth.errors import LeakageError, SourceError
from synth.legacy import boxes_around, keep_last_window, read_centres
from synth.noise import NoiseBank, Reservoir, Windows, accept_windows
from synth.noise.fluctuation import fluctuation_std
from synth.recipe import CorpusSource, SynthesisRecipe
from synth.sample import Frame, TargetKind
from synth.scene import SceneConfig
from synth.scene.plates import PlateLibrary
from synth.sources import SourceRecord, SourceTable, pixels_sha256, render_source_frame
from synth.targets import find_targets

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
Progress = Callable[[int, int], None]
"""Called with (frames done, frames in all)."""

FOREIGN = 1
"""Source code in the noise bank of windows from ``noise.source``; 0 stands for the source frames themselves."""


def scan_sources(recipe: SynthesisRecipe, *, threads: int, progress: Progress) -> tuple[SourceTable, NoiseBank]:
    """Read every source frame once.

    Args:
        recipe: What to make; its source names the folder.
        threads: Frames decoded side by side.
        progress: Called as frames are done.

    Returns:
        The table of frames and the noise bank.

    Raises:
        SourceError: A folder or file cannot be used, masks are missing, or no noise window is quiet enough.
        LeakageError: A source frame, noise frame or plate has the pixels of a frame of the test list in use, or nothing tells
            the test frames of a folder.
    """
    noise = recipe.noise
    scan = _Scan(recipe, Reservoir(recipe.seed, noise.window_px, noise.max_windows))
    guard = None
    if isinstance(recipe.source, CorpusSource):
        guard = _scan_corpus(scan, recipe.source, threads, progress)
    elif recipe.renders_scenes:
        return _scenes_table(recipe, threads), scan.reservoir.bank()
    else:
        _scan_rendered(scan, recipe.source, threads, progress)
    if noise.source != "same":
        _scan_foreign_noise(scan, guard, threads, progress)
    bank = scan.reservoir.bank()
    if not len(bank) and recipe.num_synthetic != 0:
        raise SourceError(
            f"noise: no window of the frames passes noise.var_max = {noise.var_max:g} and the other bounds; raise it, lower "
            "noise.window_px, or sample another folder with noise.source"
        )
    return scan.table(bank), bank


@dataclass(slots=True)
class _Scan:
    """What a scan gathers; ``own_std`` is NaN where a frame has no quiet window."""

    recipe: SynthesisRecipe
    reservoir: Reservoir
    target_kind: TargetKind = TargetKind.REAL
    records: list[dict[str, Any]] = field(default_factory=list)
    own_std: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    leakage: dict[str, Any] = field(default_factory=dict)
    plates: tuple[dict[str, str], ...] = ()

    def windows(self, frames: list[Frame]) -> list[Windows]:
        """Sample one sequence as the recipe says."""
        legacy = self.recipe.legacy
        noise = self.recipe.noise
        if legacy.include_targets:
            noise = noise.model_copy(update={"exclude_targets": False})
        accepted = accept_windows(frames, noise, released_grid=legacy.grid)
        return [keep_last_window(w) for w in accepted] if legacy.overwrite else accepted

    def add(self, frame: Frame, windows: Windows, record: dict[str, Any]) -> None:
        """Take in one source frame: its windows, its targets in the fitted frame, its hashes."""
        code = len(self.records)
        if self.recipe.noise.source == "same":
            self.reservoir.add(0, code, windows)
        self.own_std.append(self.median_std(windows.patch))
        fitted = resize_frame(frame, self.recipe.canvas_hw) if self.recipe.fit == "resize" else frame
        if fitted.mask is None:
            raise SourceError(
                f"source frame {frame.id}: has no mask, and originals need one; add a masks folder, or give unlabelled frames "
                "as noise.source"
            )
        centres, boxes = find_targets(fitted.mask)
        targets = {"centres": tuple(map(tuple, centres.tolist())), "boxes": tuple(map(tuple, boxes.tolist()))}
        self.records.append({"id": frame.id, "hw": frame.hw} | record | targets)

    def median_std(self, patches: npt.NDArray[np.uint8]) -> float:
        """Return the median noise of windows, as the recipe tells noise from structure; NaN without windows."""
        return float(np.median(fluctuation_std(patches, self.recipe.noise.detrend))) if len(patches) else float("nan")

    def table(self, bank: NoiseBank) -> SourceTable:
        """Close the scan."""
        self._refuse_small_frames()
        fallback = self.median_std(bank.patch) if len(bank) else 0.0
        stds = [fallback if np.isnan(s) else s for s in self.own_std]
        records = tuple(SourceRecord(**r, noise_std_dn=s) for r, s in zip(self.records, stds, strict=True))
        return SourceTable(records, self.target_kind, tuple(self.notes), self.leakage, plates=self.plates)

    def _refuse_small_frames(self) -> None:
        """Refuse frames with targets that the largest square to rotate does not fit into."""
        side = 0 if self.recipe.num_synthetic == 0 or self.recipe.fit == "resize" else max(p.side for p in self.recipe.passes)
        for small in (r for r in self.records if r["centres"] and min(r["hw"]) < side):
            raise SourceError(
                f"source frame {small['id']}: is {small['hw'][0]}x{small['hw'][1]} px, smaller than the {side}-px square of "
                "passes; take smaller sides, or leave the frame out"
            )


def _scenes_table(recipe: SynthesisRecipe, threads: int) -> SourceTable:
    """Describe rendered scenes: they are not looked at beforehand, only the real frames that may stand behind them are."""
    assert isinstance(recipe.source, SceneConfig)
    return replace(_plates_table(recipe.source, threads), num_rendered=recipe.source.num_frames)


def _plates_table(source: SceneConfig, threads: int) -> SourceTable:
    """Describe the plates of scenes and no scene, refusing those with the pixels of a test frame of their folder."""
    if source.plates is None:
        return SourceTable((), TargetKind.SCENE)
    corpus, rows, thumbs = PlateLibrary(source.plates).corpus, [], []
    guard = _read_guard(corpus, threads)
    for ref, (frame, hashes) in zip(corpus.frames, _parallel(corpus.read_hashed, corpus.frames, threads), strict=True):
        _refuse_test_pixels(guard, corpus, ref, hashes)
        thumbs.append(thumbnail(frame))
        rows.append({"id": ref.id, "image": ref.image, "image_sha256": hashes.image_sha256})
    leakage, notes = _likeness("plates", corpus, guard, [ref.id for ref in corpus.frames], np.stack(thumbs))
    return SourceTable((), TargetKind.SCENE, notes, {"plates": leakage}, plates=tuple(rows))


def _scan_rendered(scan: _Scan, source: SceneConfig, threads: int, progress: Progress) -> None:
    scan.target_kind = TargetKind.SCENE
    table = _plates_table(source, threads)
    scan.plates, scan.leakage = table.plates, dict(table.leakage)
    scan.notes += table.notes
    for index in range(source.num_frames):
        frame = render_source_frame(source, scan.recipe.seed, index)
        record = dict.fromkeys(("image", "mask", "sequence", "image_sha256", "mask_sha256"), "")
        scan.add(frame, scan.windows([frame])[0], record | {"pixels_sha256": pixels_sha256(frame)})
        progress(index + 1, source.num_frames)


@dataclass(frozen=True, slots=True)
class _Guard:
    """The frames that must never become sources: pixel hashes and thumbnails of the test list in use."""

    ids: list[str]
    pixels: frozenset[str]
    thumbs: npt.NDArray[np.float32]

    def near(self, thumbs: npt.NDArray[np.float32]) -> list[tuple[int, int, float]]:
        """Return (source, test, NCC) of the near-duplicate pairs."""
        if not len(self.ids) or not len(thumbs):
            return []
        return near_duplicates(thumbs, self.thumbs, NEAR_DUPLICATE_NCC)


def _scan_corpus(scan: _Scan, source: CorpusSource, threads: int, progress: Progress) -> _Guard:
    if source.path is None:
        raise SourceError("source.path: not given; pass --source DIR with the frames and masks, or use the recipe demo")
    corpus = open_corpus(
        source.path, scan.recipe.split, layout=source.layout, split_list=source.split_list, max_level=source.max_level,
        mask_scale=source.mask_scale,
    )  # fmt: skip
    require_known_tests(corpus, what="source.path", list_key="source.split_list")
    guard = _read_guard(corpus, threads)
    thumbs = []
    done = 0
    for frames, hashes, windows in _read_sequences(scan, corpus, threads):
        for frame, ref, file_hashes, accepted in zip(frames, _refs(corpus, frames), hashes, windows, strict=True):
            _refuse_test_pixels(guard, corpus, ref, file_hashes)
            thumbs.append(thumbnail(frame))
            scan.add(frame, accepted, _file_record(ref, file_hashes))
            done += 1
            progress(done, len(corpus))
    _use_centres_file(scan)
    scan.leakage, notes = _likeness("source frames", corpus, guard, [row["id"] for row in scan.records], np.stack(thumbs))
    scan.notes += notes
    return guard


def _file_record(ref: FrameRef, hashes: FileHashes) -> dict[str, Any]:
    return {
        "image": ref.image, "mask": ref.mask or "", "sequence": ref.sequence, "image_sha256": hashes.image_sha256,
        "mask_sha256": hashes.mask_sha256 or "", "pixels_sha256": hashes.pixels_sha256,
    }  # fmt: skip


def _refs(corpus: Corpus, frames: list[Frame]) -> list[FrameRef]:
    by_id = {ref.id: ref for ref in corpus.frames}
    return [by_id[frame.id] for frame in frames]


def _read_guard(corpus: Corpus, threads: int) -> _Guard:
    ids, pixels, thumbs = [], set(), [np.empty((0, 32, 32), np.float32)]
    for frame, hashes in _parallel(corpus.read_hashed, corpus.test_frames(), threads):
        ids.append(frame.id)
        pixels.add(hashes.pixels_sha256)
        thumbs.append(thumbnail(frame)[None])
    return _Guard(ids, frozenset(pixels), np.concatenate(thumbs))


def _refuse_test_pixels(guard: _Guard, corpus: Corpus, ref: FrameRef, hashes: FileHashes) -> None:
    if hashes.pixels_sha256 in guard.pixels:
        raise LeakageError(
            f"{corpus.root / ref.image}: has exactly the pixels of a frame of the test list in use, so it must not become a "
            "source; remove it from the list or folder"
        )


def _likeness(
    what: str, corpus: Corpus, guard: _Guard, ids: list[str], thumbs: npt.NDArray[np.float32]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Hold a folder's frames against its test list; return what the manifest records and what is said."""
    pairs, notes = guard.near(thumbs), []
    leakage = {
        "criterion": f"32x32 normalised cross-correlation >= {NEAR_DUPLICATE_NCC}",
        "split": corpus.split, "split_list": corpus.split_list, "layout": corpus.layout, "num_test_frames": len(guard.ids),
        "kept_from": [hash_ids(guard.ids)] if guard.ids else [],
        "near_duplicates_of_test": [[ids[i], guard.ids[j], round(ncc, 4)] for i, j, ncc in pairs],
        "test_in_other_lists": sorted(corpus.foreign_test_ids()),
    }  # fmt: skip
    if pairs:
        affected = len({j for _, j, _ in pairs})
        notes.append(f"{affected} of {len(guard.ids)} test frames have a near-duplicate among the {what} (kept, listed)")
    if corpus.foreign_test_ids():
        notes.append(f"{len(corpus.foreign_test_ids())} {what} are test frames of another published list")
    if corpus.split is None:
        notes.append(f"the folder of {what} has no lists in use: nothing protects test frames that may be among them")
    return leakage, tuple(notes)


def _scan_foreign_noise(scan: _Scan, guard: _Guard | None, threads: int, progress: Progress) -> None:
    """Fill the bank from another folder, leaving out near-duplicates of the test frames in use: the sources' and its own."""
    corpus = _open_noise_folder(scan.recipe)
    guards = [g for g in (_read_guard(corpus, threads), guard) if g is not None]
    excluded: list[str] = []
    done = 0
    codes = {ref.id: code for code, ref in enumerate(corpus.frames)}
    for frames, hashes, windows in _read_sequences(scan, corpus, threads):
        thumbs = np.stack([thumbnail(frame) for frame in frames])
        for g in guards:
            for ref, file_hashes in zip(_refs(corpus, frames), hashes, strict=True):
                _refuse_test_pixels(g, corpus, ref, file_hashes)
        near = any(g.near(thumbs) for g in guards)
        done += len(frames)
        progress(done, len(corpus))
        if near:
            excluded += [frame.id for frame in frames]  # the whole sequence shows the scene
            continue
        for frame, accepted in zip(frames, windows, strict=True):
            scan.reservoir.add(FOREIGN, codes[frame.id], accepted)
    scan.leakage["noise_frames_excluded"] = excluded
    scan.leakage["noise_frames"] = [ref.image for ref in corpus.frames]
    scan.leakage["noise_kept_from"] = sorted({hash_ids(g.ids) for g in guards if g.ids})
    if excluded:
        scan.notes.append(f"{len(excluded)} noise frames left out as near-duplicates of test frames")


def _open_noise_folder(recipe: SynthesisRecipe) -> Corpus:
    """Open it at the split in use when it has lists, whole when it has none; its levels are by default the source's."""
    noise, source = recipe.noise, recipe.source
    max_level = source.max_level if noise.max_level is None and isinstance(source, CorpusSource) else noise.max_level
    return open_training_part(
        noise.source, recipe.split, what="noise.source", list_key="noise.split_list", split_list=noise.split_list,
        max_level=max_level,
    )  # fmt: skip


def _use_centres_file(scan: _Scan) -> None:
    """Replace the mask's targets by those of a released coordinate file."""
    legacy = scan.recipe.legacy
    if legacy.centres_file is None:
        return
    lines = read_centres(Path(legacy.centres_file), len(scan.records), drop_duplicate_lines=legacy.duplicate_lines)
    for record, centres in zip(scan.records, lines, strict=True):
        record["centres"] = tuple(centres)
        record["boxes"] = tuple(boxes_around(centres, record["hw"]))


def _read_sequences(scan: _Scan, corpus: Corpus, threads: int) -> Iterator[tuple[list[Frame], list[FileHashes], list[Windows]]]:
    """Read a corpus sequence by sequence (a frame without a sequence is its own), with its accepted windows."""
    by_sequence: dict[str, list[FrameRef]] = {}
    for ref in corpus.frames:
        by_sequence.setdefault(ref.sequence or f"/{ref.id}", []).append(ref)
    groups = list(by_sequence.values())

    def read(refs: list[FrameRef]) -> tuple[list[Frame], list[FileHashes], list[Windows]]:
        """Return the frames of one sequence, their hashes and their windows."""
        frames, hashes = map(list, zip(*(corpus.read_hashed(ref) for ref in refs), strict=True))
        sizes = {frame.hw for frame in frames}
        if len(sizes) > 1:
            raise SourceError(
                f"{corpus.root}: the frames of sequence {refs[0].sequence!r} have {len(sizes)} different sizes; a sequence is "
                "one scene at one size: put other frames into another sub-folder"
            )
        return frames, hashes, scan.windows(frames)

    return _parallel(read, groups, threads)


def _parallel(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Iterator[_Result]:
    """Map in order with a few threads (decoding releases the GIL), never holding more than a few results."""
    with ThreadPoolExecutor(max_workers=threads) as pool:
        pending: list[Any] = []
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * threads:
                yield pending.pop(0).result()
        yield from (future.result() for future in pending)
