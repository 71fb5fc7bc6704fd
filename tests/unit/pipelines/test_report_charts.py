"""Charts of the report: where things stand, what tells series apart, and that no text or odd number breaks the drawing."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from pipelines.report.charts import WIDTH, Axis, Point, Row, Series, strip_chart, xy_chart
from pipelines.report.svg import NUM_INKS, Scale, marker, scale_of, tick_text, wrapped

SIZES = (8.0, 34.0, 256.0)


def parts(svg: str, name: str, class_: str = "") -> list[ElementTree.Element]:
    """Return the elements of a drawing, which must be well-formed, by name and class."""
    found = ElementTree.fromstring(svg).iter(name)
    return [entry for entry in found if class_ in entry.get("class", "").split() or not class_]


def texts(svg: str) -> list[str]:
    return [entry.text or "" for entry in parts(svg, "text")]


def ladder(*names: str, dots: int = 3) -> list[Series]:
    series = []
    for ink, name in enumerate(names):
        points = tuple(
            Point(size, 40.0 + k, 38.0, 44.0, tuple((f"seed {s}", 39.0 + s) for s in range(dots))) for k, size in enumerate(SIZES)
        )
        series.append(Series(name, ink, points))
    return series


@pytest.mark.parametrize(
    ("scale", "value", "place"),
    [
        (Scale(0, 10, 100, 200), 5, 150),
        (Scale(1, 100, 0, 10, True), 10, 5),
        (Scale(0, 10, 200, 100), 10, 100),
        (Scale(0, 1, 0, 10), 7, 10),
    ],
)
def test_scales_place_values_and_keep_those_outside_at_the_edge(scale, value, place):
    assert scale(value) == pytest.approx(place)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (44.6, 65.5), (-0.2, 0.03), (0.001, 0.0013), (3, 30000)])
def test_ticks_are_round_inside_and_few(low, high):
    ticks = Scale(low, high, 0, 400).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    assert all(re.fullmatch(r"0|[125]0*", str(round(abs(b - a) * 1e6))) for a, b in pairwise(ticks))


@pytest.mark.parametrize(("low", "high"), [(0.9, 2.9), (0.1, 1e4), (8, 256), (1e-3, 1e7)])
def test_logarithmic_ticks_are_few(low, high):
    assert 1 <= len(Scale(low, high, 0, 400, True).ticks()) <= 6


def test_a_scale_leaves_room_but_not_beyond_what_a_score_can_be():
    free, bounded = scale_of([10.0, 99.0], 0, 100), scale_of([10.0, 99.0], 0, 100, within=(0.0, 100.0))
    assert free.low < 10.0 < 99.0 < free.high > 100.0
    assert (bounded.low, bounded.high) == (pytest.approx(free.low), 100.0)
    assert scale_of([], 0, 100).low < scale_of([], 0, 100).high
    assert scale_of([5.0], 0, 100).low < 5.0 < scale_of([5.0], 0, 100).high


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.25, "0.25"), (15230, "15,230"), (-5, "\u22125"), (2e6, "2e6"), (1e-4, "1e-4")]
)
def test_ticks_read_as_people_write_them(value, text):
    assert tick_text(value) == text


def test_every_seed_mean_and_interval_is_drawn():
    svg = xy_chart(ladder("a", "b"), Axis("labels", True, ticks=SIZES), Axis("IoU"), title="t")
    assert len(parts(svg, "{*}circle", "dot") or parts(svg, "circle", "dot")) == 2 * 3 * 3
    assert len(parts(svg, "polygon", "band")) == 2
    assert len(parts(svg, "path", "mark")) == 2 * 3 + 2  # and two in the legend
    assert {"8", "34", "256", "labels", "IoU", "a", "b"} <= set(texts(svg))


def test_the_size_axis_is_logarithmic_and_holds_sizes_that_are_not_there_yet():
    points = (Point(1.0, 40.0), Point(10.0, 45.0))
    svg = xy_chart([Series("", 0, points)], Axis("labels", True, ticks=(1.0, 10.0, 100.0)), Axis("IoU"), title="t")
    places = {entry.text: float(entry.get("x")) for entry in parts(svg, "text") if entry.text in ("1", "10", "100")}
    assert places["10"] - places["1"] == pytest.approx(places["100"] - places["10"], abs=0.1)  # px are written to one decimal
    marks = [float(re.search(r"\(([\d.]+),", entry.get("transform"))[1]) for entry in parts(svg, "path", "mark")]
    assert marks == [places["1"], places["10"]]
    assert 0 < places["1"] < places["100"] < WIDTH


def test_an_interval_that_stands_alone_is_a_whisker():
    points = (Point(8, 40.0, 38.0, 42.0), Point(34, 45.0), Point(256, 50.0))
    svg = xy_chart([Series("a", 0, points)], Axis("labels", True), Axis("IoU"), title="t")
    assert len(parts(svg, "polyline", "whisker")) == 1
    assert not parts(svg, "polygon", "band")


def test_many_intervals_are_bars_and_their_lines_stand_further_apart():
    few, many = (xy_chart(ladder(*names), Axis("labels", True), Axis("IoU"), title="t") for names in ("abc", "abcd"))
    assert len(parts(few, "polygon", "band")) == 3 and not parts(few, "polyline", "whisker")
    assert not parts(many, "polygon", "band") and len(parts(many, "polyline", "whisker")) == 4 * 3
    first = [float(line.get("points").split(",")[0]) for line in parts(many, "polyline", "whisker")][::3]
    assert [b - a for a, b in pairwise(first)] == pytest.approx([5.0] * 3, abs=0.2)


def test_a_line_breaks_where_a_value_is_missing():
    points = tuple(Point(float(x), None if x == 3 else 1.0) for x in range(1, 7))
    svg = xy_chart([Series("", 0, points, marks="none")], Axis("x"), Axis("y"), title="t")
    assert sorted(len(line.get("points").split()) for line in parts(svg, "polyline", "line")) == [2, 3]


def test_refused_laws_are_dashed():
    def lines(*, is_dashed):
        law = Series("", 0, (Point(8, 30.0), Point(256, 60.0)), is_dashed=is_dashed, marks="none")
        return parts(xy_chart([law], Axis("x", True), Axis("y"), title="t"), "polyline", "dashed")

    assert len(lines(is_dashed=True)) == 1
    assert not lines(is_dashed=False)


def test_series_differ_by_shape_as_well_as_by_colour():
    shapes = [re.search(r' d="([^"]*)"', marker(0, 0, number))[1] for number in range(2 * NUM_INKS)]
    inks = [re.search(r"ink\d", marker(0, 0, number))[0] for number in range(2 * NUM_INKS)]
    assert len(set(shapes[:NUM_INKS])) == len(set(inks[:NUM_INKS])) == NUM_INKS
    assert len(set(zip(shapes, inks, strict=True))) == 2 * NUM_INKS


def test_smoke_is_watermarked():
    rows = [Row("a", 0, 1.0)]
    assert "smoke, not evidence" in texts(strip_chart(rows, Axis("x"), title="t", is_smoke=True))
    assert "smoke, not evidence" not in texts(strip_chart(rows, Axis("x"), title="t"))
    assert "smoke, not evidence" in texts(xy_chart(ladder("a"), Axis("x"), Axis("y"), title="t", is_smoke=True))


def test_what_training_had_not_finished_is_ringed():
    svg = xy_chart(
        [Series("a", 0, (Point(8, 40.0, flag="optimisation-limited"), Point(9, 41.0)))], Axis("x"), Axis("y"), title="t"
    )
    assert len(parts(svg, "circle", "flag")) == 1
    assert "optimisation-limited" in svg


@pytest.mark.parametrize(("bound", "direction"), [(">=", 1), ("<", -1)])
def test_bounds_point_to_where_the_value_may_be(bound, direction):
    svg = strip_chart([Row("a", 0, 2.0, bound=bound), Row("b", 1, 3.0)], Axis("ratio", True), title="t", level=1.0)
    shaft = parts(svg, "polyline", "line")[0].get("points").split()
    start, end = (float(pair.split(",")[0]) for pair in shaft)
    assert (end - start) * direction > 0


def test_rows_without_a_value_say_so_and_draw_nothing():
    svg = strip_chart([Row("a", 0, None, text="not run"), Row("b", 1, 3.0, 2.0, 4.0)], Axis("x"), title="t")
    assert "not run" in texts(svg)
    assert len(parts(svg, "path", "mark")) == len(parts(svg, "rect", "band")) == 1


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a" onload="x', "a & b", "]]>"])
def test_names_are_texts_and_never_markup(name):
    svg = xy_chart(ladder(name, "b"), Axis(name), Axis(name), title=name) + strip_chart(
        [Row(name, 0, 1.0, text=name)], Axis(name), title=name, level=1.0, level_name=name
    )
    assert "<script" not in svg
    found = ElementTree.fromstring(f"<g>{svg}</g>")
    assert {key for entry in found.iter() for key in dict(entry.items())} <= {
        "class", "d", "transform", "points", "x", "y", "cx", "cy", "r", "rx", "width", "height", "viewBox", "role",
        "aria-label", "text-anchor",
    }  # fmt: skip
    assert name in [entry.text for entry in found.iter("text")]


def test_no_number_that_a_browser_cannot_read_gets_into_a_drawing():
    svg = xy_chart(
        [Series("a", 0, (Point(8, None), Point(9, 41.0, None, None)))], Axis("x", True), Axis("y"), title="t", level=0.0
    )
    svg += strip_chart([], Axis("x"), title="t") + strip_chart([Row("a", 0, None)], Axis("x", True), title="t")
    assert not re.search(r'="[^"]*\b(nan|inf|None)\b', svg)
    assert "-0" not in re.findall(r'(?<=[ ",])-0(?=[ ",])', svg)


def test_legends_wrap_inside_the_drawing():
    found = list(wrapped([150.0] * 5, 440.0))
    assert found == [(0.0, 0), (150.0, 0), (0.0, 1), (150.0, 1), (0.0, 2)]
    names = ("compute-matched random", "a start with a long name", "third", "fourth of them all")
    svg = xy_chart(ladder(*names), Axis("x"), Axis("y"), title="t")
    places = {entry.text: float(entry.get("x")) for entry in parts(svg, "text") if entry.text in names}
    assert len(places) == 4
    assert all(place + 7.8 * len(name) <= WIDTH for name, place in places.items())
