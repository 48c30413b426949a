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


def test_the_table_is_long_and_every_row_names_a_part_or_says_that_there_is_none():
    assert len(ROWS) > 80
    assert len(PARTS) > 60
    for technique, parts in ROWS:
        assert re.search(r"`[\w.]+\.\w+`", parts) or parts.strip().startswith("none"), technique


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_the_table_names_exists(part):
    room, _, name = part.rpartition(".")
    offered = import_module(f"steelscan.{room}")
    found = getattr(offered, name)
    assert name in getattr(offered, "__all__", [name])
    assert callable(found) or get_origin(found) is not None
