"""The folder of an evaluation: what it is about, and who may go on with it."""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from finetune.classical import create_classical
from pipelines.evaluate_job import Job
from pipelines.output_folder import refuse_other_files
from pipelines.score_truth import Truth
from synth.errors import RefusalError
from synth.store.files import is_leftover, is_vacant, read_json, write_json
from synth.store.manifest import leaf_differences, short_json

ABOUT_NAME = "evaluation.json"
COMPARISON_NAMES = ("scores.json", "table.md")
"""Files of a comparison, beside the folders of its evaluations."""
_VERSIONS_OF = ("sirst-foundry", "torch", "numpy", "pillow")


def describe(job: Job, truth: Truth) -> dict[str, Any]:
    """Return what decides the results of an evaluation, as JSON values; two runs of one description may share a folder."""
    settings = json.loads(job.settings)
    if job.run is None:
        label = create_classical(job.method, **settings).label
        detector = {"kind": "classical", "method": job.method, "settings": settings, "label": label}
    else:
        detector = {"kind": "run", "method": job.method, "settings": settings, "label": job.method}
    return {
        "detector": detector,
        "rules": list(job.rules),
        "data": {
            "name": truth.corpus.root.name,
            "layout": truth.corpus.layout,
            "split": truth.split,
            "split_list": truth.corpus.split_list,
            "mask_scale": truth.corpus.mask_scale,
            "num_frames": len(truth.ids),
            "ids_sha256": truth.ids_sha256,
        }
        | ({} if truth.max_level is None else {"max_level": truth.max_level}),
    }


def check_folder(out: Path, about: dict[str, Any]) -> None:
    """Refuse a folder that holds something else, before any work.

    Raises:
        RefusalError: It is a file, holds other files, or an evaluation of something else; the differences go to stderr.
    """
    refuse_other_files(out, ABOUT_NAME, "an evaluation")
    if not (out / ABOUT_NAME).is_file():
        return
    found = read_json(out / ABOUT_NAME)
    begun = found.get("about") if isinstance(found, dict) else None
    differences = list(leaf_differences(begun, about))
    for key, mine, theirs in differences:
        print(f"  differs: {key}: {short_json(mine)} in the folder, {short_json(theirs)} now", file=sys.stderr)
    if differences:
        raise RefusalError(f"--out {out}: holds another evaluation; give another --out, or remove it")


def check_comparison_folder(out: Path) -> None:
    """Refuse a folder that holds something else than evaluations in folders of their own, before any work.

    Raises:
        RefusalError: It does, or it is a file, or one evaluation fills it.
    """
    if out.exists() and not out.is_dir():
        raise RefusalError(f"--out {out}: is a file; name a folder")
    if (out / ABOUT_NAME).is_file():
        raise RefusalError(f"--out {out}: one evaluation fills it, several need a folder each; give another --out")
    for entry in sorted(out.iterdir()) if out.is_dir() else ():
        is_evaluation = entry.is_dir() and (is_vacant(entry) or (entry / ABOUT_NAME).is_file())
        is_ours = entry.name in COMPARISON_NAMES or is_evaluation or is_leftover(entry)
        if not is_ours:
            raise RefusalError(f"--out {out}: holds other files than evaluations ({entry.name}); name an empty or new folder")


def begin_folder(out: Path, about: dict[str, Any]) -> None:
    """Make the folder, unless it was begun: what it is about, and the versions it was begun with."""
    if not (out / ABOUT_NAME).is_file():
        versions = {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS_OF}
        write_json(out / ABOUT_NAME, {"format": 1, "about": about, "versions": versions})
