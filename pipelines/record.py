"""Put the results of record into README.md: the tables between its markers are made from results/*.json alone.

    python -m pipelines.record                     rewrite them
    python -m pipelines.record --check             write nothing; exit 3 when they are not what the results say

A study (study.json of pipelines.scale, under any name) gives a row an arm: test IoU of the reference, differences of the others.
A comparison (scores.json of pipelines.evaluate over several runs) gives a row for each mean over seeds. Other JSON is named and
left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.command import EXIT_OK, EXIT_VERIFICATION, Parser, run_command
from pipelines.scale_table import MIN_SEEDS, answer_text, difference_text, mean_text
from synth.errors import RefusalError
from synth.store.files import read_json, write_durably

BEGIN, END = "<!-- results of record: python -m pipelines.record -->", "<!-- end of the results of record -->"

Json = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser(prog="record", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="folder of the results of record")
    parser.add_argument("--into", type=Path, default=Path("README.md"), metavar="FILE", help="page with the two markers")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 3 when the page is not what the results say")
    return run_command(_run, parser, argv)


def _run(arguments: argparse.Namespace) -> int:
    if not arguments.results.is_dir():
        raise RefusalError(f"--results {arguments.results}: no such folder; give the folder of the results of record")
    if not arguments.into.is_file():
        raise RefusalError(f"--into {arguments.into}: no such page")
    page = arguments.into.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise RefusalError(f"--into {arguments.into}: must hold the line {BEGIN} once, and after it {END} once")
    before, rest = page.split(BEGIN)
    wanted = "\n".join([before + BEGIN, "", *_tables(arguments.results), END + rest.split(END)[1]])
    if arguments.check:
        is_equal = wanted == page
        print(f"{arguments.into} {'says' if is_equal else 'does not say'} what {arguments.results} holds")
        return EXIT_OK if is_equal else EXIT_VERIFICATION
    write_durably(arguments.into, [wanted.encode()])
    print(f"wrote the tables of {arguments.results} into {arguments.into}")
    return EXIT_OK


def _tables(results: Path) -> Iterator[str]:
    """Yield the lines between the markers."""
    comparisons, studies = [], []
    for path in sorted(results.glob("*.json")):
        content = read_json(path)
        if "comparisons" in content and "groups" in content:
            studies.append((path, content))
        elif "sets" in content:
            comparisons.append((path, content))
        else:
            print(f"{path}: is neither a study nor a comparison of detectors; left out", file=sys.stderr)
    if comparisons:
        yield from _detectors(comparisons)
    for path, content in studies:
        yield from _study(path, content)


def _detectors(comparisons: Sequence[tuple[Path, Json]]) -> Iterator[str]:
    """Yield one row for each mean over seeds and each test list."""
    yield "| trained as | test list | seeds | IoU | nIoU | Pd | Fa (1e-6) | IoU without near duplicates |"
    yield "|---|---|---|---|---|---|---|---|"
    for path, content in comparisons:
        for tested in content["sets"]:
            data = tested["data"]
            where = f"{data['name']} ({data['num_frames']})" + (", trained on the other set" if tested["is_other"] else "")
            for mean in tested["means"]:
                clean = mean["scores"].get("native, de-duplicated", {})
                scores = [_score(mean["scores"]["native"], name) for name in ("iou", "niou", "pd", "fa")]
                cells = [f"[`{path.stem}`]({_page(path)})", where, str(mean["num_seeds"]), *scores, _score(clean, "iou")]
                yield "| " + " | ".join(cells) + " |"
    yield ""


def _score(scores: Json, name: str) -> str:
    if name not in scores:
        return "-"
    mean, half = scores[name]["mean"], scores[name]["half_width_95"]
    return f"{mean:.1f}" if half is None else f"{mean:.1f} ± {half:.1f}"


def _study(path: Path, content: Json) -> Iterator[str]:
    """Yield what fresh seeds decided, and a table over arms and each data set, label count and budget that three seeds have."""
    runs, recipe = content["runs"], content["recipe"]
    seeds = sorted({seed for group in content["groups"] for seed in group["seeds"]})
    shown = _shown(content)
    yield f"**[{content['name']}]({_page(path)})**, {len(seeds)} seeds, {runs['finished']} of {runs['planned']} runs."
    yield ""
    yield from _endpoint(content["endpoint"])
    if not shown:
        yield from ("No place of its grid has three seeds yet.", "")
        return
    reference = recipe["arms"][0]["name"] if recipe["endpoint"] is None else recipe["endpoint"]["reference"]
    yield f"Test IoU of {reference}, differences of the others paired by seed, 95 % t intervals, bold where they exclude zero;"
    yield f"exploratory, not corrected for their number{_unequal_steps(content, shown)}:"
    yield ""
    yield from _differences(content, shown, reference)
    yield ""


def _differences(content: Json, shown: Sequence[Place], reference: str) -> Iterator[str]:
    """Yield a row an arm and a column a place, or the other way round where places are more."""
    has_labels = any(len(dataset["labels"]) > 1 for dataset in content["recipe"]["sets"])
    rows = [
        ["arm", *(_head(place, has_labels) for place in shown)],
        [reference, *(mean_text(_group(content, place, reference)["scores"]["iou"]) for place in shown)],
    ]
    for arm in dict.fromkeys(c["arm"] for c in content["comparisons"] if c["low"] is not None):
        rows.append([arm, *(_difference(content, place, arm) for place in shown)])
    if len(shown) >= len(rows):
        rows = [list(column) for column in zip(*rows, strict=True)]
        rows[0][0] = "place"
    head, *body = rows
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    yield from (f"| {' | '.join(row)} |" for row in body)


def _endpoint(endpoint: Json | None) -> Iterator[str]:
    if endpoint is None or not endpoint["results"]:
        return
    for result in endpoint["results"]:
        if result["low"] is not None:
            labels = "all" if result["labels"] is None else result["labels"]
            what = f"{endpoint['chosen']} minus {endpoint['reference']} on {result['dataset']} at {labels} labels"
            p_holm = result["p_holm"]
            corrected = "" if p_holm is None else f", Holm p {p_holm:.3f}"
            answer = f"{answer_text(result['low'], result['high'], p_holm)} ({len(result['seeds'])} pairs{corrected})"
            yield f"- Fixed beforehand, decided by fresh seeds: {what}: {answer}."
    yield ""


Place = tuple[str, int | None, str]


def _place(entry: Json) -> Place:
    return entry["dataset"], entry["labels"], entry["budget"]


def _head(place: Place, has_labels: bool) -> str:
    dataset, labels, budget = place
    return ", ".join([dataset, *([f"{labels or 'all'} labels"] if has_labels else []), budget])


def _shown(content: Json) -> list[Place]:
    """Return the places where an arm can be compared; in a study of a single arm, those with seeds enough for an interval."""
    if len(content["recipe"]["arms"]) > 1:
        found = [_place(entry) for entry in content["comparisons"] if entry["low"] is not None]
    else:
        found = [_place(group) for group in content["groups"] if len(group["seeds"]) >= MIN_SEEDS]
    return list(dict.fromkeys(found))


def _unequal_steps(content: Json, shown: Sequence[Place]) -> str:
    """Return what to keep in mind where arms at one place did not train equally long."""
    unequal: dict[str, set[int]] = {}
    for place in shown:
        steps = {group["steps"] for group in content["groups"] if _place(group) == place and group["seeds"]}
        if len(steps) > 1:
            unequal.setdefault(place[2], set()).update(steps)
    return "".join(f"; {budget} compares arms of {min(steps)} to {max(steps)} steps" for budget, steps in unequal.items())


def _group(content: Json, place: Place, arm: str) -> Json:
    found: Json = next(g for g in content["groups"] if _place(g) == place and g["arm"] == arm)
    return found


def _difference(content: Json, place: Place, arm: str) -> str:
    found = next(c for c in content["comparisons"] if _place(c) == place and c["arm"] == arm)
    return "-" if found["low"] is None else difference_text(found["low"], found["high"])


def _page(path: Path) -> str:
    """Return the page of a result, relative to the repository: the Markdown beside it, or the folder's table of runs."""
    page = path.with_suffix(".md")
    return f"{path.parent.name}/{page.name if page.is_file() else path.name}"


if __name__ == "__main__":
    sys.exit(main())
