"""The three files of a report: the page, which needs nothing beside it, and the same as JSON and CSV."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from pipelines.report.blocks import Report
from pipelines.report.cells import finite
from pipelines.report.charts import SMOKE
from pipelines.report.points import csv_of
from synth.errors import RecipeError


def files_of(report: Report, page_name: str) -> Mapping[str, bytes]:
    """Return the files of a report.

    Args:
        report: The report.
        page_name: Name of the page; the others are called after it.

    Returns:
        Name -> content, the page last: it stands only beside its data.

    Raises:
        RecipeError: jinja2 is not installed.
    """
    stem = page_name.rpartition(".")[0] or page_name
    text = json.dumps(_without_nan(report.to_dict()), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return {f"{stem}.json": (text + "\n").encode(), f"{stem}.csv": csv_of(report.points), page_name: render(report).encode()}


def render(report: Report) -> str:
    """Return the page; every text is escaped, charts are markup of ours.

    Raises:
        RecipeError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise RecipeError("pipelines.report needs jinja2: pip install 'sirst-foundry[report]'") from error
    loader = PackageLoader("pipelines.report", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["markup"] = Markup  # for our own drawings, whose texts are escaped where they are drawn
    environment.filters["data_uri"] = lambda png: "data:image/png;base64," + base64.b64encode(png).decode()
    style = files("pipelines.report").joinpath("templates", "style.css").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(report=report, style=Markup(style), smoke=SMOKE)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return finite(value) if isinstance(value, float) else value
