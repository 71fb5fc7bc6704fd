"""What evaluations found: detectors compared, what each hits, misses and makes up, and what a frame costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.report.blocks import Block, Cell, Figure, Lines, Omitted, Panels, Picture, Section, Table, Text, table
from pipelines.report.cells import NOTHING, bounded, count, estimate, finite, word
from pipelines.report.charts import Axis, Row, strip_chart
from pipelines.report.inputs import Source
from pipelines.report.study import SMOKE_SEEDS

NATIVE, CLEAN = "native", "native, de-duplicated"
_METRICS = ("iou", "niou", "pd", "fa")
_HEADS = (
    "detector",
    "rule",
    "init",
    "trained on",
    "IoU",
    "nIoU",
    "Pd",
    "Fa",
    "targets hit",
    "false objects",
    "collapsed",
    "remark",
)


@dataclass(frozen=True, slots=True)
class Tested:
    """Detectors on one test list.

    Attributes:
        source: The evaluation.
        data: What the frames are.
        num_near: Frames with near duplicates, or None.
        rows: One a detector and rule.
        means: Of runs that are seeds of one experiment.
        floor: Lines against the classical floor.
    """

    source: Source
    data: Mapping[str, Any]
    num_near: int | None
    rows: tuple[Mapping[str, Any], ...]
    means: tuple[Mapping[str, Any], ...]
    floor: tuple[str, ...]

    @property
    def title(self) -> str:
        """The test list, for the reader."""
        return f"{self.data['name']}, {self.data['split'] or 'all frames'}: {self.data['num_frames']} frames"

    @property
    def smoke(self) -> frozenset[str]:
        """Names of trained runs that are no part of a mean over three seeds or more."""
        many = {name for entry in self.means if entry["num_seeds"] > SMOKE_SEEDS for name in entry["runs"]}
        return frozenset(row["name"] for row in self.rows if "init" in row and row["name"] not in many)


def tested_sets(sources: Sequence[Source]) -> tuple[Tested, ...]:
    """Return the test lists of evaluations, a comparison's or a single detector's."""
    return tuple(tested for source in sources for tested in _tested(source))


def _tested(source: Source) -> Iterator[Tested]:
    if "sets" not in source.content:
        about = source.content["about"]
        name = detector_name(about["detector"])
        operating = source.content.get("operating", {})  # older evaluations kept none
        rows = tuple(
            {"name": name, "rule": rule, "scores": modes, "operating": operating.get(rule), **_init(about)}
            for rule, modes in source.content["scores"].items()
        )
        yield Tested(source, about["data"], source.content.get("num_near_duplicates"), rows, (), ())
        return
    for entry in source.content["sets"]:
        floor = tuple(line.replace("+-", "\u00b1") for line in entry["floor"])
        yield Tested(
            source,
            entry["data"],
            entry["num_near_duplicates"],
            tuple(entry["rows"]),
            tuple(entry["means"]),
            floor,
        )


def _init(about: Mapping[str, Any]) -> dict[str, Any]:
    init = about["detector"]["settings"].get("init")
    return {} if init is None else {"init": init["kind"]}


def detector_name(about: Mapping[str, Any]) -> str:
    """Return the name of a run, or of a classical method with the settings that are not its defaults."""
    method, settings = str(about["method"]), str(about["label"])
    return method if settings in ("", method) else f"{method} {settings}"


def detectors(sources: Sequence[Source]) -> Section | Omitted:
    """Return detectors compared on each test list."""
    title = "Detectors compared"
    if not sources:
        return Omitted(title, "no folder of pipelines.evaluate was given")
    blocks: list[Block] = []
    for tested in tested_sets(sources):
        blocks.append(Panels(f"{tested.source.name}: {tested.title}", tuple(_figure(tested, score) for score in _METRICS)))
        blocks.append(_table(tested, NATIVE, f"{tested.title}, whole list"))
        if any(CLEAN in row["scores"] for row in tested.rows):
            blocks.append(_table(tested, CLEAN, f"{tested.title}, without the {tested.num_near} that have near duplicates"))
        elif tested.num_near is None:
            blocks.append(Text("Near duplicates were not searched for: no score without them."))
        if tested.floor:
            blocks.append(Lines("Against the classical floor", tested.floor))
    for source in sources:
        if warnings := tuple(source.content.get("warnings", ())):
            blocks.append(Lines(f"Warnings of {source.name}", tuple(map(str, warnings))))
    lead = (
        "Percent; Fa in 10\u207b\u2076; canonical scores at native size (metric variant: native). Bands and brackets: 95 % "
        "over frames, one model each; means over seeds: Student's t. Runs decide at the threshold that validation chose, "
        "classical methods by the rule named."
    )
    return Section("detectors", title, lead, tuple(blocks))


def _figure(tested: Tested, score: str) -> Figure:
    names = list(dict.fromkeys(row["name"] for row in tested.rows))
    rows = [_row(row, names.index(row["name"]), score) for row in tested.rows]
    label = {"iou": "IoU, %", "niou": "nIoU, %", "pd": "Pd, %", "fa": "Fa, 10\u207b\u2076 of all pixels"}[score]
    data = [{"name": row["name"], "rule": row["rule"], score: finite(row["scores"][NATIVE][score])} for row in tested.rows]
    axis = Axis(label, within=None if score == "fa" else (0.0, 100.0))
    return Figure(label, strip_chart(rows, axis, title=f"{label}, {tested.title}"), data)


def _row(row: Mapping[str, Any], ink: int, score: str) -> Row:
    found = row["scores"][NATIVE]
    low, high = interval_in(found, score)
    text = bounded(found[score], low, high, digits=1).text
    return Row(f"{row['name']}, {row['rule']}", ink, finite(found[score]), low, high, text=text)


def interval_in(scores: Mapping[str, Any], score: str) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a score over frames, (None, None) where there is none."""
    low, high = (scores.get("intervals") or {}).get(score) or (None, None)
    return finite(low), finite(high)


def _table(tested: Tested, mode: str, title: str) -> Table:
    rows = [_cells(row, row["scores"][mode], tested) for row in tested.rows if mode in row["scores"]]
    for entry in tested.means:
        if mode in entry["scores"]:
            scores = [estimate(entry["scores"][mode].get(metric)) for metric in _METRICS]
            label = f"mean of {entry['num_seeds']} seeds ({', '.join(entry['runs'])})"
            num = entry["num_collapsed"]
            collapsed = word("unknown" if num is None else f"{num} of {len(entry['runs'])}")
            remark = word("smoke, not evidence" if entry["num_seeds"] <= SMOKE_SEEDS else "")
            rows.append([word(label), NOTHING, NOTHING, NOTHING, *scores, NOTHING, NOTHING, collapsed, remark])
    return table(title, _HEADS, rows)


def _cells(row: Mapping[str, Any], scores: Mapping[str, Any], tested: Tested) -> list[Cell]:
    collapsed = {True: "yes", False: "no", None: "unknown"}[row["is_collapsed"]] if "is_collapsed" in row else ""
    cells = [word(row["name"]), word(row["rule"]), word(row.get("init")), word(row.get("trained_on"))]
    cells += [bounded(scores[metric], *interval_in(scores, metric)) for metric in _METRICS]
    cells += [Cell(f"{scores['num_matched']} of {scores['num_truth']}", [scores["num_matched"], scores["num_truth"]])]
    is_single = row["name"] in tested.smoke
    return [
        *cells,
        count(scores["num_false"]),
        word(collapsed),
        word("one or two seeds: smoke, not evidence" if is_single else ""),
    ]


def pictures(sources: Sequence[Source]) -> Section | Omitted:
    """Return sheets of hits, misses and false alarms."""
    title = "Hits, misses and false alarms"
    blocks = [picture for tested in tested_sets(sources) for picture in _sheets(tested)]
    if not blocks:
        return Omitted(title, "no evaluation with picture sheets was given")
    lead = (
        "Drawn at random with a fixed seed from all hits, misses and false alarms, not chosen. Of each test list: the first run "
        "of every experiment, and the classical method of highest IoU. Green: target; orange: predicted; pink: false object."
    )
    return Section("pictures", title, lead, tuple(blocks))


def _sheets(tested: Tested) -> Iterator[Picture]:
    for row in _shown(tested):
        path = _sheet_path(tested, row)
        if path is not None:
            name = f"{row['name']}, {row['rule']}, on {tested.data['name']}"
            yield Picture(name, tested.source.files[path], tested.source.sha256(path))


def _shown(tested: Tested) -> Iterator[Mapping[str, Any]]:
    later = {name for entry in tested.means for name in entry["runs"][1:]}
    yield from (row for row in tested.rows if "init" in row and row["name"] not in later)
    classical = [row for row in tested.rows if "init" not in row and finite(row["scores"][NATIVE]["iou"]) is not None]
    if classical:
        yield max(classical, key=lambda row: float(row["scores"][NATIVE]["iou"]))


def _sheet_path(tested: Tested, row: Mapping[str, Any]) -> str | None:
    """Return where the sheet of a rule lies: beside the evaluation.json of this detector on these frames."""
    source = tested.source
    for path in source.paths(r"(.*/)?evaluation\.json"):
        about = source.json(path)["about"]
        sheet = path.removesuffix("evaluation.json") + f"{row['rule']}.png"
        is_detector = row["name"] in (detector_name(about["detector"]), about["detector"]["method"], path.partition("/")[0])
        if is_detector and about["data"]["ids_sha256"] == tested.data["ids_sha256"] and sheet in source.files:
            return sheet
    return None


def cpu_times(sources: Sequence[Source]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return evaluation, detector on a set, and CPU time a frame in ms."""
    found = []
    for source in sources:
        for path in source.paths(r"(.*/)?scores\.json"):
            content = source.json(path)
            if "cpu_ms_per_frame" in content:
                about = content["about"]
                found.append(
                    (source.name, f"{detector_name(about['detector'])} on {about['data']['name']}", content["cpu_ms_per_frame"])
                )
    return found
