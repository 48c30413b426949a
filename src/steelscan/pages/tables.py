"""Pages of tables and drawings, each one HTML file that needs nothing beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steelscan.pages.page import render_page
from steelscan.strip import write_text


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; the first column is the name of a row."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    colors: Sequence[str] = ()
    """A CSS colour for each row, shown before its name; none where empty."""


@dataclass(frozen=True)
class Section:
    """A part of a page: what is shown, in words, then drawings, then tables."""

    title: str
    lead: Sequence[str] = ()
    drawing: str = ""
    """An ``<svg>`` element, or nothing."""
    key: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """What each line of the drawing is: its CSS colour and dashes by its name."""
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Page:
    """What a page tells."""

    brand: str
    title: str
    sections: Sequence[Section]
    notes: Sequence[str] = ()


def write_page(path: Path, page: Page) -> None:
    """Write the page as one HTML file, whole or not at all. Raises OutputError."""
    write_text(path, page_text(page))


def page_text(page: Page) -> str:
    """The page as text: styles and drawings are all in it."""
    from markupsafe import Markup

    content = {
        "brand": page.brand,
        "title": page.title,
        "notes": page.notes,
        "sections": page.sections,
        "drawings": [Markup(section.drawing) for section in page.sections],
    }
    return render_page("steelscan.pages", "tables.html.jinja", content)
