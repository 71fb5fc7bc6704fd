"""Probe a network that nobody tunes for it: what it finds without labels, and what its frozen features tell about pixels.

    python -m pipelines.probe RUN --data DIR --out FOLDER                  a pretraining or a fine-tuned run, on the val list
    python -m pipelines.probe random:acm_nano --data DIR --out FOLDER      an untrained network, for reference
    python -m pipelines.probe RUN --data DIR --split test --out FOLDER     the test list, opened only when named

Detection without labels: the network's own maps at probability 0.5, and at the threshold of highest IoU on other frames of DIR.
Linear probe: a classifier of frozen features, taught by the train list. Neighbours: 20 nearest among targets and hard
background of the train list. The test list never chooses or teaches: with --split test the threshold comes from the val list.
FOLDER gets {name}.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from finetune.detectors import Detector, create_detector, detector_names
from finetune.probe_pixels import PixelProbe
from finetune.probes import classify_pixels, compare_neighbours, find_without_labels
from finetune.train import load_run
from pipelines.command import EXIT_OK, Parser, run_command, seed_number
from pipelines.evaluate_trained import Run, find_exposure, read_run
from pipelines.output_folder import refuse_other_files
from pipelines.score_truth import Truth
from pretrain.runtime.distributed import resolve_device
from pretrain.runtime.learner import use_fast_layout
from synth.corpora import open_corpus
from synth.errors import LeakageError
from synth.sample import Frame
from synth.store.files import write_json

RESULT_NAME = "probe.json"
RANDOM = "random:"
"""What stands before the name of an untrained network."""
_CHOSEN_ON = {"val": "train", "test": "val"}
"""Split that is scored -> split whose frames choose the threshold."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="probe", description=(__doc__ or "").format(name=RESULT_NAME))
    parser.add_argument("run", metavar="RUN", help=f"folder of a finished run, or {RANDOM}NAME ({', '.join(detector_names())})")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="labelled frames with split lists")
    parser.add_argument("--split", choices=list(_CHOSEN_ON), default="val", help="list that is scored")
    parser.add_argument("--split-list", metavar="NAME", help="family of lists of DIR; else the official one")
    parser.add_argument(
        "--max-level", type=int, metavar="L", help="level that stands for 1.0 in 16-bit files; else data.max_level of RUN"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help=f"folder for {RESULT_NAME}")
    parser.add_argument(
        "--seed", type=seed_number, default=0, metavar="S", help="seed of the choice of pixels, and of untrained weights"
    )
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="cpu", help="where to compute")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    refuse_other_files(arguments.out, RESULT_NAME, "a probe")
    device = resolve_device(arguments.device, asked_by="--device")
    model, about, own = _load(arguments.run, arguments.seed)
    use_fast_layout(model.to(device), device)
    run = None if arguments.run.startswith(RANDOM) else read_run(Path(arguments.run))
    own_level = None if run is None else run.max_level
    max_level = own_level if arguments.max_level is None else arguments.max_level
    reading: dict[str, Any] = {"split_list": arguments.split_list, "max_level": max_level}
    truth = Truth(arguments.data, arguments.split, layout=None, mask_scale="strict", **reading)
    if run is not None:
        about |= _exposure(run, truth)
    frames = _frames(arguments.data, arguments.split, reading)
    teaching = _frames(arguments.data, "train", reading)
    choosing_split = _CHOSEN_ON[arguments.split]
    choosing = teaching if choosing_split == "train" else _frames(arguments.data, choosing_split, reading)
    print(f"{arguments.run} on {truth.about}; taught by {len(teaching)} frames of train")
    probe = PixelProbe(model, device, arguments.seed)
    known, asked = probe.sample(teaching), probe.sample(frames)
    content: dict[str, Any] = {
        "format": 1,
        "network": about,
        "data": {"about": truth.about, "split": arguments.split, "ids_sha256": truth.ids_sha256, "num_frames": len(frames)}
        | ({} if truth.max_level is None else {"max_level": truth.max_level}),
        "threshold_chosen_on": choosing_split,
        "seed": arguments.seed,
        "detection": find_without_labels(model, choosing, frames, device, own=own),
        "linear": classify_pixels(probe, known, frames),
        "neighbours": compare_neighbours(known, asked),
    }
    write_json(arguments.out / RESULT_NAME, content)
    _print_table(content)
    print(f"wrote {arguments.out / RESULT_NAME}")
    return EXIT_OK


def _load(name: str, seed: int) -> tuple[Detector, dict[str, Any], float | None]:
    """Return the network, what identifies it, and the threshold it brings along."""
    if name.startswith(RANDOM):
        torch.manual_seed(seed)  # the weights
        return create_detector(name.removeprefix(RANDOM)).eval(), {"kind": "random", "name": name, "seed": seed}, None
    model, result = load_run(Path(name))
    keys = ("init", "objectives", "weights_sha256", "recipe_sha256", "step")
    kind = str(result.get("kind", "finetuned"))
    about = {"kind": kind, "name": Path(name).resolve().name} | {key: result[key] for key in keys if key in result}
    return model, about, float(result["threshold"]) if kind == "finetuned" else None


def _exposure(run: Run, truth: Truth) -> dict[str, Any]:
    """Return what a run has seen of the scored frames; those that trained it are refused."""
    exposure = find_exposure(run, truth)
    if exposure.num_trained:
        raise LeakageError(
            f"{run.path}: {exposure.num_trained} of the {len(truth.ids)} frames of {truth.corpus.root.name} ({truth.split}) "
            f"trained it ({', '.join(exposure.lists)}); probe it on another list, or a run with data.split train"
        )
    if exposure.num_validated:
        print(f"note: {exposure.num_validated} of the scored frames chose weights and threshold of {run.path.name}: optimistic")
    return {"trained_on": exposure.about, "num_validated": exposure.num_validated}


def _frames(data: Path, split: str, reading: Mapping[str, Any]) -> list[Frame]:
    corpus = open_corpus(data, split, **reading)
    return [corpus.read(ref) for ref in corpus.frames]


def _print_table(content: dict[str, Any]) -> None:
    detection, linear, neighbours = content["detection"], content["linear"], content["neighbours"]
    print(f"{'own maps, threshold':24}{'IoU %':>9}{'nIoU %':>9}{'Pd %':>9}{'Fa 1e-6':>12}")
    for name, row in detection["thresholds"].items():
        label = f"{name}, {row['threshold']:.4f}"
        print(f"{label:24}{row['iou']:9.2f}{row['niou']:9.2f}{row['pd']:9.2f}{row['fa']:12.2f}")
    at_fa = ", ".join(f"{pd:.1f} at {fa}" for fa, pd in detection["curves"]["best_pd_at_fa"].items())
    print(f"best Pd % at Fa 1e-6: {at_fa}; pixel AP {detection['curves']['average_precision']:.2f} %")
    print(
        f"linear probe of {linear['num_features']} features: pixel AP {linear['average_precision']:.2f} % "
        f"(chance {linear['prevalence']:.2f} %)"
    )
    print(
        f"neighbours: AUROC {neighbours['auroc']:.2f} % of {neighbours['asked_targets']} targets against "
        f"{neighbours['asked_background']} hard background"
    )


if __name__ == "__main__":
    sys.exit(main())
