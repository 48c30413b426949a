"""Tables as plain text, nouns that fit their counts, and values as plain JSON."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from io import StringIO
from math import isfinite
from pathlib import Path

from steelscan.strip.errors import printable

_NO_LIMIT = 10_000
"""Columns of a table whose cells are not wrapped."""

_NARROW = 8
"""Cells of at most so many characters are never wrapped."""

_unwrapped = ContextVar("unwrapped", default=False)


@contextmanager
def unwrapped_tables() -> Iterator[None]:
    """Make each row of a `plain_table` one line while the block runs, as in a file."""
    token = _unwrapped.set(True)
    try:
        yield
    finally:
        _unwrapped.reset(token)


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of one length as a table; the first row is the head.

    In a terminal, long cells are wrapped to its width, except within `unwrapped_tables`; elsewhere
    each row is one line.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    wrapped = sys.stdout.isatty() and not _unwrapped.get()
    width = shutil.get_terminal_size().columns if wrapped else _NO_LIMIT
    table = Table(box=None, pad_edge=False, padding=(0, 1 if width < 100 else 2, 0, 0))
    head, *body = [[Text(printable(cell).replace("\n", "\\n")) for cell in row] for row in rows]
    for column in zip(head, *body, strict=True):
        parts = [*column[0].split(), *column[1:]]
        least = max((len(part) for part in parts if len(part) <= _NARROW), default=0)
        table.add_column(column[0], overflow="fold", min_width=least)
    for row in body:
        table.add_row(*row)
    console = Console(file=StringIO(), width=width, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def plural(count: int, noun: str, verb: str = "") -> str:
    """Return a noun, and maybe a verb, for a count of things: "strip was" or "strips were"."""
    nouns = noun if count == 1 else f"{noun}s"
    verbs = verb if count == 1 else {"is": "are", "was": "were", "has": "have"}.get(verb, verb)
    return f"{nouns} {verbs}".rstrip()


def plain_value(value: object) -> object:
    """Convert a value for JSON: paths to text, tuples to lists, NaN and infinity to None."""
    match value:
        case Path():
            return str(value)
        case float() if not isfinite(value):
            return None
        case dict():
            return {name: plain_value(inner) for name, inner in value.items()}
        case list() | tuple():
            return [plain_value(inner) for inner in value]
        case _:
            return value
