"""What a report is made of: sections of texts, tables, figures and pictures.

All of it is text and numbers, so that page, JSON and CSV are three views of one thing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What the reader sees.
        value: The same for machines: text, number, JSON values, or None where there is none.
        is_strong: Whether it stands out: an interval without zero.
        shade: Depth of the ground of a matrix cell, 0 to 1, or None.
    """

    text: str
    value: Any = None
    is_strong: bool = False
    shade: float | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is flush left."""
        return isinstance(self.value, str)


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph.

    Attributes:
        text: The paragraph.
        is_warning: Whether it stands in a frame.
    """

    kind: ClassVar[str] = "text"
    text: str
    is_warning: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"kind": self.kind, "text": self.text}


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines to be read or copied as they are.

    Attributes:
        title: What they are.
        lines: The lines.
        is_code: Commands in a fixed pitch; else a list.
    """

    kind: ClassVar[str] = "lines"
    title: str
    lines: tuple[str, ...]
    is_code: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"kind": self.kind, "title": self.title, "lines": list(self.lines)}


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        title: What it shows.
        heads: Heads of the columns.
        rows: One cell a column each.
        note: How to read it.
    """

    kind: ClassVar[str] = "table"
    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.heads) for row in self.rows), self.title

    @property
    def columns(self) -> list[tuple[str, bool]]:
        """Head of each column, and whether it is flush left."""
        return [(head, any(row[place].is_text for row in self.rows)) for place, head in enumerate(self.heads)]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        rows = [[cell.value for cell in row] for row in self.rows]
        return {"kind": self.kind, "title": self.title, "heads": list(self.heads), "rows": rows, "note": self.note}


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, one of some panels.

    Attributes:
        title: What it shows.
        svg: The drawing, an ``<svg>`` element whose texts are escaped.
        data: What is drawn, as JSON values.
        note: How to read it.
    """

    title: str
    svg: str
    data: Any
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"title": self.title, "data": self.data, "note": self.note}


@dataclass(frozen=True, slots=True)
class Panels:
    """Figures side by side, as many as the page is wide.

    Attributes:
        title: What they have in common.
        figures: The figures.
        note: How to read them.
        is_folded: Whether the reader opens them.
    """

    kind: ClassVar[str] = "panels"
    title: str
    figures: tuple[Figure, ...]
    note: str = ""
    is_folded: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"kind": self.kind, "title": self.title, "figures": [figure.to_dict() for figure in self.figures]}


@dataclass(frozen=True, slots=True)
class Picture:
    """A sheet of pictures.

    Attributes:
        title: What it shows.
        png: The file.
        sha256: Its hash.
        is_folded: Whether the reader opens it.
    """

    kind: ClassVar[str] = "picture"
    title: str
    png: bytes
    sha256: str
    is_folded: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; the picture itself by its hash."""
        return {"kind": self.kind, "title": self.title, "sha256": self.sha256}


Block = Text | Lines | Table | Panels | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """A section.

    Attributes:
        key: Its anchor.
        title: Its title.
        lead: What it answers and how to read it.
        blocks: What it shows.
    """

    key: str
    title: str
    lead: str
    blocks: tuple[Block, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"key": self.key, "title": self.title, "blocks": [block.to_dict() for block in self.blocks]}


@dataclass(frozen=True, slots=True)
class Omitted:
    """What is not shown.

    Attributes:
        what: Title of what is missing.
        why: Why, and what would give it.
    """

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report says.

    Attributes:
        title: Its title.
        headline: What it comes to, in a few sentences.
        is_smoke: Whether something rests on two seeds or fewer.
        sections: What is shown, in order.
        omitted: What is not.
        points: One tested model each: column -> value.
        inputs: One folder each: name, kind, and the hashes of its files that were read.
    """

    title: str
    headline: tuple[str, ...]
    is_smoke: bool
    sections: tuple[Section, ...]
    omitted: tuple[Omitted, ...]
    points: tuple[Mapping[str, Any], ...]
    inputs: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "format": 1,
            "units": "iou, niou, pd in percent; fa in 1e-6 of all pixels; canonical scores at native size",
            "title": self.title,
            "headline": list(self.headline),
            "is_smoke": self.is_smoke,
            "inputs": [dict(entry) for entry in self.inputs],
            "sections": [section.to_dict() for section in self.sections],
            "omitted": [{"what": entry.what, "why": entry.why} for entry in self.omitted],
            "points": [dict(point) for point in self.points],
        }


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]], note: str = "") -> Table:
    """Return a table of any sequences."""
    return Table(title, tuple(heads), tuple(tuple(row) for row in rows), note)
