"""Put studies, evaluations, audits and cards together on one page for a reader.

    python -m pipelines.report STUDY --out report.html
    python -m pipelines.report STUDY RESULTS SCORES CARD AUDIT RUN PROBE --out report.html
    python -m pipelines.report STUDY --cost label=2.5,synthetic=0.01,unit=EUR --out report.html

DIR is a folder that another command wrote: a study of pipelines.scale, an evaluation, an output of score, probe, census or audit,
or a training run; it is recognised by its files. A study's study.json alone does too, under any name, as results/ keeps them. The
page is one file that needs no network and no script; report.json and report.csv, called after it, hold the same for machines. The
same inputs give the same bytes. Inputs that name the same data set or list but hold other frames are refused. Nothing is fitted
anew: what a study did not find or refused to say is not on the page, which lists it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.command import EXIT_OK, Parser, run_command
from pipelines.report.build import build_report
from pipelines.report.cost_sections import FORM, Prices
from pipelines.report.inputs import read_sources
from pipelines.report.page import files_of
from synth.errors import RecipeError, RefusalError
from synth.store.files import read_json, write_durably


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="report", description=__doc__ or "")
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="folder that another command wrote, or a study.json")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.html", help="the page; FILE.json and FILE.csv lie beside it"
    )
    parser.add_argument("--cost", metavar=FORM, help="prices of a labelled and of a synthetic frame: shows accuracy over money")
    parser.add_argument("--dry-run", action="store_true", help="write nothing; print what would be shown")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    out: Path = arguments.out
    if out.suffix != ".html":
        raise RecipeError(f"--out must end in .html, got {out}")
    if out.is_dir():
        raise RecipeError(f"--out must be a file, got the folder {out}")
    prices = None if arguments.cost is None else Prices.parse(arguments.cost)
    sources = read_sources(arguments.folders)
    report = build_report(sources, prices)
    for source in sources:
        print(f"{source.name}: {source.kind.about}")
    print(f"shown: {', '.join(section.title for section in report.sections)}")
    print(f"not shown: {', '.join(entry.what for entry in report.omitted)}")
    found = files_of(report, out.name)
    _refuse_other_files([out.parent / name for name in found])
    if arguments.dry_run:
        sizes = ", ".join(f"{name} ({len(data):,} bytes)" for name, data in found.items())
        print(f"would write {sizes}\nnothing written (--dry-run)")
        return EXIT_OK
    for name, data in found.items():
        write_durably(out.parent / name, [data])
        print(f"wrote {out.parent / name}")
    return EXIT_OK


def _refuse_other_files(paths: Sequence[Path]) -> None:
    """Refuse to replace files that are no report's: the study.json that a page was drawn from, above all.

    Raises:
        RefusalError: One is there, and the JSON among them, which is written first, is no report.
    """
    existing = [path for path in paths if path.exists()]
    record = next((path for path in existing if path.suffix == ".json"), None)
    content = None if record is None else read_json(record)
    if existing and not (isinstance(content, dict) and {"inputs", "sections", "points"} <= content.keys()):
        raise RefusalError(f"--out: {existing[0]} is no file of a report and would be replaced; give another name")


if __name__ == "__main__":
    sys.exit(main())
