"""Tables as plain text, and values as plain JSON."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from steelscan.strip import printable


def plain_table(rows: Sequence[Sequence[str]]) -> str:
    """Align rows of equal length in columns; the first row is the header.

    Each cell takes one line: line breaks in it are escaped.
    """
    rows = [[printable(cell).replace("\n", "\\n") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


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
