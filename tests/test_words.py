"""Docstrings, messages, docs and pages are free of words that only insiders understand.

This is no style checker: the list holds clear cases that were in the code once. CONTRIBUTING.md has
the table of words to use instead. `python tests/test_words.py` prints the number of hits per room.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = (
    # networks and functions are no persons
    r"voters?|polls?",
    r"outliners?",
    r"(is|are|was|were|be|been) (not )?(heard|told(?! apart))",
    r"says?|said",
    r"(tells?|told) (of|nothing|so|that|which|whether|the)|does not tell",
    r"asks?|asked|asking|answers?|answered",
    r"wants?|thinks?|believes?|speaks?",
    r"hears?|heard",
    r"has (a|its|no) (word|say)|have (a|their|no) (word|say)",
    r"taught|teach(es|ing)?",
    r"judges?|judged|judging",
    r"consult(s|ed|ing)?",
    # riddles
    r"what is not network",
    r"made high",
    r"hang together",
    r"stands? for the network",
    r"twins?|likewise|dearer|spares",
    r"beside|laid out",
    r"dealt|deals? folds|dealing",
    r"where there (is|are) (none|no)",
)
PATTERNS = {word: re.compile(rf"\b(?:{word})\b", re.IGNORECASE) for word in WORDS}

SOURCES = sorted((ROOT / "src").rglob("*.py"))
TEXTS = sorted(
    [
        *(ROOT / "README.md", ROOT / "CHANGELOG.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "src").rglob("*.jinja"),
    ]
)


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of all docstrings, messages and comments of a module."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of all lines of a document, without names in backticks."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        yield number, re.sub(r"`[^`]*`", "", line)


@cache
def texts() -> list[tuple[str, str]]:
    """Return the place and the text of each docstring, message, comment and line of a document."""
    parts = [(path, part) for path in SOURCES for part in strings(path)]
    parts += [(path, part) for path in TEXTS for part in lines(path)]
    return [
        (f"{path.relative_to(ROOT)}:{line}", " ".join(text.split())) for path, (line, text) in parts
    ]


def hits(pattern: re.Pattern[str]) -> list[str]:
    """Return the place and the words of each hit."""
    return [f"{at}: {match[0]}" for at, text in texts() if (match := pattern.search(text))]


def test_all_kinds_of_texts_are_read() -> None:
    assert len(SOURCES) > 200
    assert {path.suffix for path in TEXTS} == {".md", ".jinja"}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_does_not_come_back(word: str) -> None:
    assert hits(PATTERNS[word]) == []


def main() -> None:
    """Print the number of hits per room and word."""
    per_room: Counter[tuple[str, str]] = Counter()
    for word, pattern in PATTERNS.items():
        for hit in hits(pattern):
            parts = Path(hit.split(":")[0]).parts
            per_room["/".join(parts[: 4 if "analysis" in parts else 3]), word] += 1
    for (room, word), count in sorted(per_room.items()):
        print(f"{room:40} {count:4} {word}")  # noqa: T201


if __name__ == "__main__":
    main()
