"""The rooms stay small: few names each, and files of one idea."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src" / "steelscan"


def test_a_room_offers_at_most_thirty_names():
    rooms = {path: len(re.findall(r" as \w+$", path.read_text(), re.M)) for path in stubs()}
    assert len(rooms) > 15
    assert [str(path) for path, names in rooms.items() if names > 30] == []


def test_no_file_is_long():
    limits = {SOURCES: 300, ROOT / "tests": 500}
    files = {path: limit for folder, limit in limits.items() for path in folder.rglob("*.py")}
    assert len(files) > 500
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert [str(path) for path, limit in files.items() if lengths[path] > limit] == []


def stubs():
    return sorted(SOURCES.rglob("__init__.pyi"))
