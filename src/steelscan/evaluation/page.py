"""Pages of tables and drawings, each one HTML file that needs nothing beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

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
    write_text(path, render_page(page))


def render_page(page: Page) -> str:
    """The page as text: styles and drawings are all in it."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files("steelscan.evaluation").joinpath("page.html.jinja").read_text("utf-8")
    drawings = [Markup(section.drawing) for section in page.sections]
    template = environment.from_string(source)
    return template.render(page=page, drawings=drawings, style=Markup(page_style()))


@cache
def page_style() -> str:
    """The style sheet of every page."""
    return files("steelscan.evaluation").joinpath("page.css").read_text("utf-8")
