"""Rows of cells as plain text."""

from collections.abc import Sequence
from io import StringIO
from math import isfinite
from pathlib import Path

from steelscan.strip import printable

_LARGEST = 10_000
"""Columns of a table at the most."""


def plain_table(rows: Sequence[Sequence[str]], width: int = _LARGEST) -> str:
    """Return rows as a table in plain text, without lines; the first row is the head.

    Cells are wrapped between words to fit ``width`` columns; a table whose words are too long for
    that is wider. All rows have one length. Line breaks in a cell, as in the name of a file, are
    escaped.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [[printable(cell).replace("\n", "\\n") for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for column in zip(*rows, strict=True):
        longest = max((len(word) for cell in column for word in cell.split()), default=0)
        table.add_column(Text(column[0]), min_width=longest, overflow="fold")
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    output = StringIO()
    Console(file=output, width=width, color_system=None).print(table, crop=False)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def plain_value(value: object) -> object:
    """A value as JSON has it: paths as text, tuples as lists, None where undefined or infinite."""
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
