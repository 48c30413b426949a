"""Pages of tables and drawings, each a self-contained HTML file or plain text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steelscan.pages.page import render_page
from steelscan.pages.plain import plain_table
from steelscan.strip.files import write_text


@dataclass(frozen=True)
class Table:
    """Rows of text with a header; the first column names each row."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    colors: Sequence[str] = ()
    """A CSS colour for each row, shown before its name; none if empty."""


@dataclass(frozen=True)
class Section:
    """A section of a page: sentences, then a drawing, then tables.

    ``about`` is an explanation that only the page shows.
    """

    title: str
    lead: Sequence[str] = ()
    drawing: str = ""
    """An ``<svg>`` element, or empty."""
    key: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """The legend of the drawing: CSS colour and dashes by the name of each line."""
    tables: Sequence[Table] = ()
    about: str = ""


@dataclass(frozen=True)
class Page:
    """The content of a page."""

    brand: str
    title: str
    sections: Sequence[Section]
    notes: Sequence[str] = ()


def plain_page(page: Page) -> str:
    """Return a page as plain text, without its drawings and its brand."""
    blocks = []
    for section in page.sections:
        blocks.append("\n".join([f"{section.title}:", *section.lead]))
        for table in section.tables:
            text = plain_table([table.head, *table.rows])
            if table.title:
                blocks.append(f"{table.title}:\n{text}")
            else:
                blocks[-1] += f"\n{text}"
    return "\n\n".join([*blocks, *(f"Note: {note}" for note in page.notes)])


def write_page(path: Path, page: Page) -> None:
    """Write a page as one HTML file, whole or not at all. Raises OutputError."""
    write_text(path, page_text(page))


def page_text(page: Page) -> str:
    """Return a page as HTML, with styles and drawings included."""
    from markupsafe import Markup

    content = {
        "brand": page.brand,
        "title": page.title,
        "notes": page.notes,
        "sections": page.sections,
        "drawings": [Markup(section.drawing) for section in page.sections],
    }
    return render_page("steelscan.pages", "tables.html.jinja", content)
