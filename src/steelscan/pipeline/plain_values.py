"""Values as JSON has them."""

from math import isfinite
from pathlib import Path


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
