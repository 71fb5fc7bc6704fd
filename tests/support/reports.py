"""Folders as commands leave them, small and made by hand, for tests of the report."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZES = (8, 17, 34, 85, 256)
ARMS = ("random", "random-matched", "ssl")
WORTH = {"random": 1.0, "random-matched": 1.15, "ssl": 2.2}
"""Times the labels that each start of the fixture is worth."""
SETS = {"nuaa": "sirst-v1", "nudt": "nudt-sirst"}
BUDGETS = ({"name": "equal-steps", "kind": "steps", "like": None}, {"name": "equal-passes", "kind": "epochs", "like": "random"})
REFUSAL = "not enough sizes to state an exponent: 4 over 1.2 decades, needed: 5 over 1.5"
TEST_IDS = "52465041275dc5bd93e165feae1e0bf7404bd047244390eefe8aed8ec92b6e98"


def write(path: Path, content: Any) -> Path:
    """Write JSON; NaN stays NaN, as Python writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, sort_keys=True))
    return path


def write_png(path: Path, side_px: int = 24) -> Path:
    """Write a small picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(side_px * side_px, dtype=np.uint8).reshape(side_px, side_px)).save(path)
    return path


def _noise(*key: object) -> float:
    """Return a number in [-1, 1] that depends on the key alone."""
    return zlib.crc32(repr(key).encode()) / 2**31 - 1.0


def _error(arm: str, size: int, seed: int, dataset: str, budget: str) -> float:
    spread = (0.008 + 0.1 / math.sqrt(size)) * 0.6
    law = 0.25 + 1.1 * (size * WORTH.get(arm, 1.0)) ** -0.4 + (0.06 if budget == "equal-passes" and size < 100 else 0.0)
    return min(law + spread * _noise(arm, size, seed, dataset, budget), 0.99)


def study(
    *,
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    arms: tuple[str, ...] = ARMS,
    done: int | None = None,
    sizes: tuple[int, ...] = SIZES,
) -> dict[str, Any]:
    """Return study.json of format 2: errors fall by a known law; ``done``: seeds of the last arm that are finished."""
    content: dict[str, Any] = {
        "format": 2,
        "name": "labels_effect",
        "command": "python -m pipelines.scale labels_effect --data $SIRST_DATA --out STUDY",
        "recipe": {
            "name": "labels_effect",
            "sets": [{"name": name, "folder": folder, "labels": list(sizes)} for name, folder in SETS.items()],
            "arms": [{"name": name, "about": f"starts from {name}"} for name in arms],
            "budgets": list(BUDGETS),
            "seeds": list(seeds),
            "steps": 600,
        },
        "stores": {"nuaa-scenes.zarr": "ab" * 32},
        "identity": {"steps": 600, "arms": dict.fromkeys(arms, "cd" * 32)},
        "known": [{"name": "labels_effect.json", "sha256": "ef" * 32, "runs": 12}],
        "data": {name: {"folder": folder, "train": 256, "test_ids_sha256": name[::-1] * 16} for name, folder in SETS.items()},
        "environments": [{"device": "cpu", "versions": {"python": "3.11.7", "torch": "2.15.0"}}],
        "groups": [], "comparisons": [], "curves": [], "ratios": [], "endpoint": None,
        "zero_labels": [_zero_label(dataset, seeds) for dataset in SETS] if "ssl" in arms else [],
    }  # fmt: skip
    content["data"]["nuaa"]["test_ids_sha256"] = TEST_IDS
    for dataset in SETS:
        for budget in ("equal-steps", "equal-passes"):
            for arm in arms:
                own = seeds[:done] if arm == arms[-1] and done is not None else seeds
                errors = {size: [_error(arm, size, seed, dataset, budget) for seed in own] for size in sizes}
                steps = 800 if budget == "equal-passes" and arm == "ssl" else 600
                content["groups"] += [_group(dataset, budget, arm, size, own, errors[size]) | {"steps": steps} for size in sizes]
                content["curves"].append(_curve(dataset, budget, arm, own, errors))
                if arm != "random-matched" and "random-matched" in arms and len(own) == len(seeds):
                    content["comparisons"] += [_comparison(dataset, budget, arm, size, own, errors[size]) for size in sizes]
            if "ssl" in arms:
                content["ratios"] += [_ratio(dataset, budget, size) for size in sizes]
    return content


def _group(dataset: str, budget: str, arm: str, size: int, seeds: tuple[int, ...], errors: list[float]) -> dict[str, Any]:
    iou = [100.0 * (1.0 - error) for error in errors]
    other = "nudt" if dataset == "nuaa" else "nuaa"
    return {
        "dataset": dataset, "budget": budget, "arm": arm, "labels": size, "num_frames": size, "steps": 600, "seeds": list(seeds),
        "validation_iou": [value + 4.0 for value in iou],
        "scores": {
            "iou": iou, "niou": [v + 3.0 for v in iou], "pd": [min(v + 25.0, 99.5) for v in iou], "fa": [1e4 / v for v in iou]
        },
        "clean_iou": [value - 1.0 for value in iou], "other_iou": {other: [0.6 * value for value in iou]}, "num_collapsed": 0,
        "loss_slopes": [0.01] * len(seeds), "is_limited": size == 8 and arm == "random",
        "convergence": "limited" if size == 8 and arm == "random" else "reached",
        "init": "ssl seg" if arm == "ssl" else "random",
    }  # fmt: skip


def _curve(dataset: str, budget: str, arm: str, seeds: tuple[int, ...], errors: dict[int, list[float]]) -> dict[str, Any]:
    if not all(errors.values()):
        empty = {"seeds": [], "sizes": [], "errors": [], "law": None, "intervals": {}, "refusals": [], "extrapolation": {}}
        return {"dataset": dataset, "budget": budget, "arm": arm} | empty
    scale = 1.1 * WORTH.get(arm, 1.0) ** -0.4
    at_largest = 0.25 + scale * max(errors) ** -0.4
    refused = [REFUSAL] if budget == "equal-passes" else []
    law = None if arm == "random-matched" and refused else {"name": "P3", "floor": 0.25, "exponent": 0.4, "scale": scale}
    return {
        "dataset": dataset, "budget": budget, "arm": arm, "seeds": list(seeds), "sizes": list(errors),
        "errors": list(errors.values()), "law": law, "prediction": None if refused else [0.97 * at_largest, 1.05 * at_largest],
        "intervals": {"floor": None if refused else [0.21, 0.28], "exponent": None if refused else [0.33, 0.48]},
        "refusals": refused, "extrapolation": {"P3": 0.02, "BD": 0.024, "last value": 0.11},
        "frames_for_one_point": None if refused else 41.7, "price_interval": None if refused else [30.2, 61.0],
        "price_refusal": None,
    }  # fmt: skip


def _comparison(dataset: str, budget: str, arm: str, size: int, seeds: tuple[int, ...], errors: list[float]) -> dict[str, Any]:
    pairs = zip(seeds, errors, strict=True)
    differences = [100.0 * (_error("random-matched", size, seed, dataset, budget) - error) for seed, error in pairs]
    middle = sum(differences) / len(differences)
    is_enough = len(seeds) >= 3
    return {
        "dataset": dataset, "budget": budget, "labels": size, "arm": arm, "reference": "random-matched", "seeds": list(seeds),
        "differences": differences, "low": middle - 3.0 if is_enough else None, "high": middle + 3.0 if is_enough else None,
        "p": 0.0004 if abs(middle) > 3.0 else 0.31, "could_see": 4.2 if is_enough else None,
    }  # fmt: skip


def _ratio(dataset: str, budget: str, size: int) -> dict[str, Any]:
    bound = ">=" if size >= 85 else "="
    about = {"dataset": dataset, "budget": budget, "arm": "ssl", "reference": "random-matched", "labels": size}
    return about | {
        "ratio": 256.0 / size if bound == ">=" else 1.9, "bound": bound,
        "low": None if bound == ">=" else 0.9 if size == 8 else 1.4, "high": None if bound == ">=" else 2.7,
    }  # fmt: skip


def _zero_label(dataset: str, seeds: tuple[int, ...]) -> dict[str, Any]:
    iou = [10.0 + seed for seed in seeds]
    scores = {"iou": iou, "niou": [value + 2.0 for value in iou], "pd": [70.0 + v for v in iou], "fa": [9e3 / v for v in iou]}
    chosen = {name: [1.1 * value for value in values] for name, values in scores.items()}
    return {"dataset": dataset, "arm": "ssl", "seeds": list(seeds), "scores": scores, "chosen": chosen}


def fresh_groups(*, num_collapsed: int = 0) -> dict[str, Any]:
    """Return the groups of fresh seeds of an answer of ENDPOINT; ``num_collapsed``: of the chosen arm."""
    seeds = tuple(ENDPOINT["seeds_b"])
    reference, chosen = (
        _group("nuaa", "equal-steps", arm, 34, seeds, [_error(arm, 34, seed, "nuaa", "equal-steps") for seed in seeds])
        for arm in ("random-matched", "ssl")
    )
    return {"reference": reference, "chosen": chosen | {"num_collapsed": num_collapsed, "convergence": "limited"}}


def write_pretraining(folder: Path) -> Path:
    """Write a finished pretraining of a study."""
    write_run(folder)
    lines = [{"step": step, "epoch": step / 4, "loss": 1.0 / step, "images_per_s": 20.0} for step in (20, 40)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


ENDPOINT: dict[str, Any] = {
    "reference": "random-matched", "sets": {"nuaa": 34, "nudt": 34}, "chosen": "ssl",
    "seeds_a": [0, 1, 2, 3, 4], "seeds_b": [10, 11, 12],
    "results": [
        {"dataset": "nuaa", "labels": 34, "differences": [4.0, 6.0, 5.0], "low": 2.5, "high": 7.5, "p": 0.011, "p_holm": 0.022,
         "p_flips": 0.0078},
        {"dataset": "nudt", "labels": 34, "differences": [1.0, -2.0, 3.0], "low": -5.6, "high": 6.9, "p": 0.69, "p_holm": 0.69},
    ],
}  # fmt: skip


def write_study(folder: Path, content: dict[str, Any] | None = None) -> Path:
    """Write a study with the record of one of its runs."""
    content = study() if content is None else content
    write(folder / "study.json", content)
    first = content["groups"][0]
    run = folder / "runs" / first["dataset"] / first["arm"] / "labels-8" / "600" / "seed-0"
    write_run(run, validation="c" * 64, choice=8)
    cell = {key: first[key] for key in ("dataset", "arm", "steps")} | {"labels": 8, "seed": 0, "num_frames": 8}
    write(run / "test.json", {"format": 1, "cell": cell, "result": json.loads((run / "result.json").read_text()), "tests": {}})
    return folder


def write_run(
    folder: Path, *, validation: str = "e" * 64, ids: str = "d" * 64, pixels: str = "f" * 64, choice: int | None = None
) -> Path:
    """Write a finished fine-tuning run."""
    recipe = {"name": "acm_nano", "train": {"seed": 0, "steps": 20, "batch": 4}, "data": {"num_frames": choice, "subset_seed": 0}}
    sources = {
        "train": [{"frames": 8, "ids_sha256": ids, "pixels_sha256": pixels}],
        "validation": {"frames": 4, "ids_sha256": validation},
    }
    write(folder / "recipe.json", {"recipe": recipe, "sources": sources, "init": {"kind": "random"}})
    write(folder / "env.json", {"device": "cpu", "threads": 1, "versions": {"python": "3.11.7", "torch": "2.15.0"}})
    found = {"val_best_iou": 55.0, "val_iou": 54.0}
    result = {"format": 1, "init": {"kind": "random"}, "is_collapsed": False, "threshold": 0.5, "validation": found, "step": 20}
    write(folder / "result.json", result | {"recipe_sha256": "1" * 64, "weights_sha256": "2" * 64})
    lines = [{"step": step, "epoch": step / 2, "loss": 1.0 / step, "images_per_s": 10.0} for step in (5, 10, 15, 20)]
    lines.append({"step": 20, "validation": found})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 25, "lo')
    return folder


def _scores(iou: float, *, num_truth: int = 20) -> dict[str, Any]:
    return {
        "mode": "native", "iou": iou, "niou": iou + 2.0, "pd": 90.0, "fa": 12.5, "threshold": 0.5, "num_truth": num_truth,
        "num_matched": 18, "num_false": 3, "intervals": {"iou": [iou - 9.0, iou + 8.0], "pd": [70.0, 99.0], "fa": [2.0, 30.0]},
    }  # fmt: skip


def write_evaluation(folder: Path, *, name: str = "acm-s0", ids: str = TEST_IDS) -> Path:
    """Write a comparison of one run with one classical method on one set."""
    data = {"name": "sirst-v1", "layout": "sirst_v1", "split": "test", "split_list": "v1", "num_frames": 86, "ids_sha256": ids}
    rows = [
        {"name": name, "rule": "validation", "init": "random", "seed": 0, "is_collapsed": False,
         "trained_on": "this set (v1/train)", "num_trained": 0,
         "scores": {"native": _scores(60.0), "native, de-duplicated": _scores(58.0, num_truth=18)}},
        {"name": "tophat", "rule": "mean10", "scores": {"native": _scores(40.0), "native, de-duplicated": _scores(math.nan)}},
    ]  # fmt: skip
    floor = [
        f"{name} (one run): +20.00 IoU from the classical floor (tophat, mean10: IoU 40.00 %); below three seeds that is no claim"
    ]
    entry = {"data": data, "is_other": False, "num_near_duplicates": 6, "rows": rows, "means": [], "floor": floor}
    write(folder / "scores.json", {"format": 1, "sets": [entry], "warnings": ["44 of 86 frames are in another list"]})
    for number, row in enumerate(rows):
        own = folder / f"detector-{number}"
        settings = {"init": {"kind": "random"}, "weights_sha256": "2" * 64} if number == 0 else {"side_px": 9}
        kind = "run" if number == 0 else "classical"
        detector = {"kind": kind, "method": row["name"], "settings": settings, "label": row["name"] if number == 0 else ""}
        about = {"detector": detector, "rules": [row["rule"]], "data": data}
        write(own / "evaluation.json", {"format": 1, "about": about, "versions": {"python": "3.11.7"}})
        modes = {row["rule"]: row["scores"]}
        write(
            own / "scores.json",
            {"format": 1, "about": about, "scores": modes, "cpu_ms_per_frame": {"median": 31.4, "mean": 34.0}},
        )
        write_png(own / f"{row['rule']}.png")
    return folder


def write_score(folder: Path) -> Path:
    """Write an output of pipelines.score."""
    strata = [
        {"label": label, "num_truth": truth, "num_matched": matched, "pd": 100.0 * matched / truth if truth else None,
         "interval": [max(100.0 * matched / truth - 20.0, 0.0), 100.0] if truth else [None, None]}
        for label, truth, matched in (("1-4 px", 2, 1), ("5-9 px", 7, 7), ("10-25 px", 0, 0))
    ]  # fmt: skip
    by_scr = [entry | {"label": label} for entry, label in zip(strata, ("0-1", "1-2", ">= 2"), strict=True)]
    limits = {"1": 0.0, "5": 10.0, "100": 93.5}
    content = {
        "format": 1, "scores": {"native": _scores(61.0)}, "pd_by_area": strata, "pd_by_scr": by_scr, "scr50": None,
        "scr_definition": "mean over sigma",
        "inputs": {"truth": "sirst-v1 (sirst_v1, lists v1), test: 86 frames", "split": "test", "ids_sha256": TEST_IDS,
                   "predictions": "/home/user/maps (86 files, .png)"},
        "curves": {"average_precision": 74.0, "best_pd_at_fa": limits, "pd_fa_area": 12.7},
        "noise_floor": {"iou": {"sd": 7.0, "half_width_95": 14.1}},
    }  # fmt: skip
    write(folder / "scores.json", content)
    rows = [(k / 16, 100.0 - 4 * k, 2000.0 / (k + 1) ** 2) for k in range(17)]
    text = "".join(f"{t},{pd},{fa},0,50\n" for t, pd, fa in rows)
    (folder / "curves.csv").write_text("threshold,pd,fa,num_false,iou\n" + text)
    (folder / "targets.csv").write_text("id,target,area_px,scr,matched\na,0,3,0.5,1\na,1,3,1.5,0\nb,0,7,-1.2,1\nc,0,7,,1\n")
    return folder


def write_probe(folder: Path) -> Path:
    """Write a probe."""
    over = {"fa": [400.0, 90.0, 20.0, 0.0], "pd": [98.0, 96.0, 70.0, 0.0], "threshold": [0.0, 0.3, 0.6, 1.0]}
    at = {"iou": 17.0, "niou": 20.0, "pd": 81.0, "fa": 576.0, "threshold": 0.5}
    curves = {"average_precision": 30.0, "best_pd_at_fa": {"1": 0.0, "5": 0.0, "100": 96.0}, "pd_fa_area": 15.0}
    write(folder / "probe.json", {
        "format": 1, "network": {"kind": "ssl", "name": "pre", "init": {"kind": "random"}}, "threshold_chosen_on": "train",
        "data": {
            "about": "sirst-v1 (sirst_v1, lists v1), val: 85 frames", "split": "val", "ids_sha256": "c" * 64, "num_frames": 85
        },
        "detection": {"over_thresholds": over, "thresholds": {"half": at, "chosen": at}, "curves": curves},
        "linear": {"average_precision": 31.6, "prevalence": 0.06, "num_features": 56},
        "neighbours": {"auroc": 99.0, "asked_targets": 97, "asked_background": 680},
    })  # fmt: skip
    return folder


def write_card(folder: Path) -> Path:
    """Write a realism card."""

    def entry(name: str, shift: float) -> dict[str, Any]:
        percents = {str(p): p / 10 + shift for p in (5, 25, 50, 75, 95)}
        psd = {
            "frequency_cycles_per_px": [0.025, 0.05, 0.1, 0.2],
            **{f"p{p}_db": [40.0 - k * 5 + p / 10 + shift for k in range(4)] for p in (25, 50, 75)},
        }
        return {
            "name": name,
            "num_frames": 60,
            "num_frames_found": 341,
            "psd": psd,
            "statistics": {"mean_dn": {"num": 60, "percentiles": percents}},
        }

    outcomes = [
        {"classifier": "linear", "frames": "all", "auc": 0.94, "auc_interval": [0.9, 0.97], "auc_goal": 0.75, "goal_met": False,
         "not_run": None,
         "giveaways": [{"name": "log power 0.35-0.5 cyc/px", "weight": 1.6, "auc_alone": 0.66}]},
        {"classifier": "network", "frames": "procedural", "auc": None, "auc_interval": None, "goal_met": None,
         "not_run": "no frames", "giveaways": []},
    ]  # fmt: skip
    distances = {"mean_dn": {"ks": 0.12, "ks_chance": 0.07, "ks_goal": 0.1, "goal_met": False, "wasserstein": 2.0}}
    comparison = {"classifiers": outcomes, "distances": distances, "psd_distance_db": 2.1, "psd_shape_distance_db": 1.3}
    write(
        folder / "census.json",
        {"format": 1, "subject": entry("scenes.zarr", 0.3), "reference": entry("sirst-v1", 0.0), "comparison": comparison},
    )
    write_png(folder / "census.png")
    return folder


def write_audit(folder: Path) -> Path:
    """Write an audit."""
    write(folder / "audit.json", {
        "format": 1, "threshold": 0.95, "sources": {"sirst-v1": "/home/user/data/sirst-v1 (sirst_v1, lists v1)"},
        "exposures": [{"name": "sirst-v1/test", "num_frames": 86, "equal": [], "affected": ["a"] * 6, "clean": ["b"] * 80}],
        "groups": [{"name": "sirst-v1", "num_frames": 427, "num_groups": 399, "largest": 18, "num_cut": 5}],
        "overlaps": [{"a": "sirst-v1/train", "b": "sirst-v1/test", "shared_ids": [], "equal_pixels": [],
                      "near_duplicates": [{}] * 10}],
    })  # fmt: skip
    write_png(folder / "pairs.png")
    return folder


def write_all(folder: Path) -> list[Path]:
    """Write one folder of every kind and return them."""
    content = study() | {"endpoint": ENDPOINT}
    return [
        write_study(folder / "study", content),
        write_evaluation(folder / "eval"),
        write_score(folder / "score"),
        write_probe(folder / "probe"),
        write_card(folder / "card"),
        write_audit(folder / "audit"),
        write_run(folder / "acm-s0"),
    ]
