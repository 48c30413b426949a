"""The table of techniques names parts that exist."""

import re
from importlib import import_module
from pathlib import Path
from typing import get_origin

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "techniques.md"
ROWS = [
    line.strip("|").rpartition(" | ")[::2]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| technique")
]
PARTS = sorted({part for _, parts in ROWS for part in re.findall(r"`([\w.]+)`", parts)})


def test_every_row_of_the_table_names_a_part_or_none():
    assert len(ROWS) > 80
    assert len(PARTS) > 60
    for technique, parts in ROWS:
        assert re.search(r"`[\w.]+\.\w+`", parts) or parts.strip().startswith("none"), technique


@pytest.mark.parametrize("part", PARTS)
def test_the_parts_of_the_table_exist(part):
    room, _, name = part.rpartition(".")
    package = import_module(f"steelscan.{room}")
    found = getattr(package, name)
    assert name in getattr(package, "__all__", [name])
    assert callable(found) or get_origin(found) is not None
