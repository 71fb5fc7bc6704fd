"""Collect evaluations of classical methods into one page, beside the published rows.

    python -m pipelines.evaluate_table FOLDER... --out results/classical.md

FOLDER holds results of pipelines.evaluate, at any depth. Rows that are not there are named at the end of the page.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.classical import classical_names, method_class
from pipelines.command import EXIT_OK, Parser, run_command
from pipelines.evaluate_folder import ABOUT_NAME
from pipelines.evaluate_published import BASICIRSTD, IRSAM, NOTES, TITLES
from pipelines.evaluate_scores import SCORES_NAME
from synth.errors import RefusalError, SourceError
from synth.store.files import read_json, write_durably

AGREES_WITHIN = 0.2
"""Points of IoU and Pd within which a published row counts as met (our choice: what rounding moves iterative methods by)."""


@dataclass(frozen=True, slots=True)
class DataSet:
    """One table of the page.

    Attributes:
        name: Folder of the data set.
        lists: Family of lists.
        title: Heading.
        option: What the command needs to take these lists.
        modes: Legacy modes shown.
    """

    name: str
    lists: str
    title: str
    option: str
    modes: tuple[str, ...]


SETS = (
    DataSet("sirst-v1", "v1", "NUAA-SIRST, official list", "", ("irsam", "dnanet256")),
    DataSet("sirst-v1", "nuaa_213_214", "NUAA-SIRST, 213/214 list", " --split-list nuaa_213_214", ("basicirstd", "dnanet256")),
    DataSet("nudt-sirst", "50_50", "NUDT-SIRST, 50_50 list", "", ("basicirstd", "dnanet256")),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluation.

    Attributes:
        method: Name of the method.
        changes: Settings that are not the defaults, as text, or "".
        label: What the method adds to its name.
        scores: Rule -> mode -> scores as JSON values.
        cpu_ms: Median CPU time of a frame, ms.
        path: Its file.
    """

    method: str
    changes: str
    label: str
    scores: Mapping[str, Mapping[str, Mapping[str, Any]]]
    cpu_ms: float
    path: Path


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="evaluate_table", description=__doc__ or "")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folder with results of pipelines.evaluate")
    parser.add_argument("--out", type=Path, required=True, metavar="PAGE.md", help="page to write; an older one is replaced")
    parser.add_argument("--dry-run", action="store_true", help="print which rows there are; write nothing")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    tables = {dataset: _sorted_rows(dataset, arguments.folders) for dataset in SETS}
    num_rows = sum(map(len, tables.values()))
    missing = [(dataset, name) for dataset, rows in tables.items() for name in _missing(rows)]
    if not num_rows:
        raise SourceError(
            f"{arguments.folders[0]}: holds no evaluation of these sets; make one with python -m pipelines.evaluate"
        )
    print(f"{num_rows} evaluations, {len(missing)} rows missing")
    for dataset, name in missing:
        print(f"  missing: {name} on {dataset.title}")
    if arguments.dry_run:
        print("nothing written (--dry-run)")
        return EXIT_OK
    if arguments.out.suffix != ".md":
        raise RefusalError(f"--out {arguments.out}: must end in .md")
    if arguments.out.exists() and not arguments.out.read_bytes().startswith(_TITLE.encode()):
        raise RefusalError(f"--out {arguments.out}: is another page and would be replaced; give another name")
    write_durably(arguments.out, ["\n".join(page_of(tables, missing)).encode()])
    print(f"wrote {arguments.out}")
    return EXIT_OK


def page_of(tables: Mapping[DataSet, Sequence[Row]], missing: Sequence[tuple[DataSet, str]]) -> Iterator[str]:
    """Yield the lines of the page.

    Args:
        tables: Set -> its rows.
        missing: Rows that are not there.
    """
    yield from _HEAD.splitlines()
    for dataset, rows in tables.items():
        if rows:
            yield from ("", *_table(dataset, rows))
    yield from ("", "## Beside the published rows", "")
    yield from (f"- **{TITLES[name]}**: {text}" for name, text in NOTES.items())
    if missing:
        yield from ("", "## Not run yet", "")
        for dataset in SETS:
            if names := [TITLES[name] for found, name in missing if found is dataset]:
                yield f"- {dataset.title}: {', '.join(names)}"
    yield from ("", "## Commands", "")
    for dataset in SETS:
        data = f"--data $SIRST_DATA/{dataset.name}{dataset.option}"
        yield f"    python -m pipelines.evaluate METHOD {data} --out RUNS/{dataset.lists}/METHOD"
    yield from ("    python -m pipelines.evaluate_table RUNS --out results/classical.md", "")


_TITLE = "# The nine classical detectors"
_HEAD = f"""{_TITLE}

Made by `python -m pipelines.evaluate_table` from runs of `python -m pipelines.evaluate`; nothing here is typed in but the
published columns. Frames at native size, double precision, one thread. IoU, nIoU, Pd, F1 in percent, Fa in 1e-6.

**Rules.** *adaptive* is the rule of the published rows, T = max(0.7 max(G), 0.5 std(G) + mean(G)); *mean10* is
T = mean(G) + 10 std(G), ours. Both are relative to the frame, so they fire on frames without target as well. Published rows
stand beside *adaptive*.
**Modes.** *canonical*: exact one-to-one matching, Fa over unmatched objects; the others repeat the named codes with their
quirks (`finetune/metrics/legacy.py` has the table of differences). Intervals over frames are in the runs' scores.json.
**Met**: whether IoU and Pd of the published row are met within 0.2 points (by canonical or a legacy mode).
**CPU**: median time a frame, one thread, on a machine with other work on it: an order of magnitude."""


def _table(dataset: DataSet, rows: Sequence[Row]) -> Iterator[str]:
    native = next(iter(rows[0].scores.values()))["native"]
    yield f"## {dataset.title}: {native['num_frames']} frames, {native['num_truth']} targets"
    yield ""
    heads = ["method", "rule", "IoU", "nIoU", "Pd", "Fa", "F1", "false objects"]
    heads += [f"{mode} IoU/nIoU/Pd/Fa" for mode in dataset.modes]
    published = _published(dataset)
    yield "| " + " | ".join([*heads, *(f"published: {source}" for source in published), "met", "CPU ms"]) + " |"
    yield "|" + "---|" * (len(heads) + len(published) + 2)
    for row in rows:
        for rule, modes in row.scores.items():
            yield "| " + " | ".join(_cells(dataset, row, rule, modes)) + " |"


def _cells(dataset: DataSet, row: Row, rule: str, modes: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    native, is_published = modes["native"], rule == "adaptive"
    remarks = ", ".join(filter(None, (row.changes, row.label)))
    yield TITLES[row.method] + (f" ({remarks})" if remarks else "")
    yield rule
    yield from (_number(native[key]) for key in ("iou", "niou", "pd", "fa", "f1"))
    yield str(native["num_false"])
    for mode in dataset.modes:
        yield "/".join(_number(modes[mode][key]) for key in ("iou", "niou", "pd", "fa"))
    texts = [table[row.method] if is_published else "" for table in _published(dataset).values()]
    yield from texts
    yield _verdict([modes[mode] for mode in ("native", *dataset.modes)], texts[0]) if is_published else ""
    yield f"{row.cpu_ms:.3g}"


def _verdict(modes: Sequence[Mapping[str, Any]], published: str) -> str:
    """Say whether any mode meets the IoU and Pd of a published row (IoU/[nIoU/]Pd/Fa)."""
    parts = [float(part) for part in published.split("/")]
    iou, pd = parts[0], parts[-2]
    is_met = any(abs(mode["iou"] - iou) <= AGREES_WITHIN and abs(mode["pd"] - pd) <= AGREES_WITHIN for mode in modes)
    return "yes" if is_met else "no"


def _published(dataset: DataSet) -> Mapping[str, Mapping[str, str]]:
    """Return the published columns of a table: heading -> method -> cell; the first one is judged."""
    if dataset.lists == "v1":
        return {"IRSAM IoU/nIoU/Pd/Fa": IRSAM["v1"]}
    columns = {"BasicIRSTD IoU/Pd/Fa": BASICIRSTD[dataset.lists]}
    return columns | ({"IRSAM (other list, 266 frames)": IRSAM["50_50"]} if dataset.lists == "50_50" else {})


def _sorted_rows(dataset: DataSet, folders: Sequence[Path]) -> list[Row]:
    """Return the evaluations of a set in the order of the published tables, defaults first."""
    found: dict[tuple[int, str], Row] = {}
    for row in _read_rows(dataset, folders):
        key = classical_names().index(row.method), row.changes
        if key in found and found[key].path != row.path:
            raise RefusalError(f"{row.path}: is a second evaluation beside {found[key].path}; name one of their folders")
        found[key] = row
    return [found[key] for key in sorted(found)]


def _read_rows(dataset: DataSet, folders: Sequence[Path]) -> Iterator[Row]:
    paths = {path.resolve() for folder in folders for path in folder.rglob(SCORES_NAME) if (path.parent / ABOUT_NAME).is_file()}
    for path in sorted(paths):
        content = read_json(path)
        try:
            data = content["about"]["data"]
            is_classical = content["about"]["detector"]["kind"] == "classical"
            if is_classical and (data["name"], data["split_list"], data["split"]) == (dataset.name, dataset.lists, "test"):
                yield _row(path, content)
        except (KeyError, TypeError) as error:
            raise RefusalError(f"{path}: is not what pipelines.evaluate writes ({error!r}); run it again") from error


def _row(path: Path, content: Mapping[str, Any]) -> Row:
    detector = content["about"]["detector"]
    name, cpu_ms = detector["method"], content["cpu_ms_per_frame"]["median"]
    defaults = method_class(name).config_type(kind=name)
    changes = [f"{key}={value}" for key, value in detector["settings"].items() if value != getattr(defaults, key)]
    return Row(name, ", ".join(changes), detector["label"], content["scores"], cpu_ms, path)


def _missing(rows: Sequence[Row]) -> list[str]:
    there = {row.method for row in rows if not row.changes}
    return [name for name in classical_names() if name not in there]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"


if __name__ == "__main__":
    sys.exit(main())
