"""JSON files larger than memory: the members and list elements of the top level, one at a time.

Own code because positions in the file are needed: annotations of one picture may be anywhere in a
COCO file, so their bytes are found again by their positions. It is also lenient where a strict
parser is not: a NaN, a huge number or a text that is not UTF-8 spoils only the piece that contains
it, and only if a reader needs that field. The text is scanned as Latin-1, in which each byte is a
character: all marks of JSON are ASCII.
"""

import json
import re
from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any, BinaryIO, NamedTuple

from steelscan.strip.errors import DatasetError, Fault

_CHUNK = 1 << 20
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_LITERAL = 16
"""An error this near the end of the text may come from a literal or number that is cut there."""


class Piece(NamedTuple):
    """A member of the object at the top level, or one element of a list there."""

    name: str
    """Name of the member; "" if the whole file is a list."""

    at: int
    """Number of the element in its list; -1 for other members and for the start of each list."""

    value: Any
    """The parsed value; its texts are not decoded."""

    start: int
    """Position of its first byte in the file."""

    content: bytes
    """Its bytes."""


def pieces(file: BinaryIO, where: object) -> Iterator[Piece]:
    """Yield the pieces of an object or a list in their order.

    Holds about a mebibyte of the file, or its largest piece. Raises DatasetError for what is not
    JSON and for a file that ends too early.
    """
    text = _Text(file, where)
    if text.next() == "[":
        yield from _elements(text, "")
    else:
        for _ in text.items("{", "}"):
            name = text.value().value
            if not isinstance(name, str):
                raise text.broken("a name is expected")
            text.take(":")
            if text.next() == "[":
                yield from _elements(text, name)
            else:
                yield text.value()._replace(name=name)
    if text.next():
        raise text.broken("there is text after its end")


def _elements(text: "_Text", name: str) -> Iterator[Piece]:
    yield Piece(name, -1, [], text.position, b"[]")
    for at in text.items("[", "]"):
        yield text.value()._replace(name=name, at=at)


class _Text:
    """The part of the file around the position that was reached."""

    def __init__(self, file: BinaryIO, where: object) -> None:
        self._file, self._where = file, where
        self._text, self._at = "", 0
        self._before = 0
        """Number of bytes of the file before the text."""
        self._read_on()
        if self._text.startswith("\xef\xbb\xbf"):  # byte order mark of UTF-8
            self._at = 3

    @property
    def position(self) -> int:
        """The byte of the file that was reached."""
        return self._before + self._at

    def next(self) -> str:
        """Skip white space and return the next character; "" at the end of the file."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def take(self, mark: str) -> None:
        """Skip a mark. Raises DatasetError if another character is next."""
        character = self.next()
        if character != mark:
            raise self.broken(f"{mark} is expected" if character else "EOF: it ends too early")
        self._at += 1

    def items(self, opening: str, closing: str) -> Iterator[int]:
        """Skip all marks of a list or an object; yield a number where each item begins."""
        self.take(opening)
        count = 0
        while self.next() != closing or count:
            yield count
            count += 1
            if self.next() == closing:
                break
            self.take(",")
        self.take(closing)

    def value(self) -> Piece:
        """Read one whole value."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except JSONDecodeError as error:
                cut = self._may_be_cut(error)
                if not cut or not self._read_on():
                    why = "EOF: it ends too early" if cut else error.msg
                    raise self.broken(why) from None
                continue
            except (ValueError, RecursionError) as error:  # very long numbers; very deep nesting
                raise self.broken(str(error)) from None
            size, whole = end - self._at, end + len("e+1") <= len(self._text)
            if whole or not self._read_on():  # 12 may go on as 123, and 12e+ as 12e+3
                content = self._text[self._at : self._at + size].encode("latin-1")
                start, self._at = self.position, self._at + size
                return Piece("", -1, value, start, content)

    def broken(self, why: str) -> DatasetError:
        """Return the error for the position that was reached."""
        problem = f"is not valid JSON: {why} (byte {self.position})"
        return DatasetError(self._where, problem, "Export it again", Fault.UNREADABLE_FILE)

    def _may_be_cut(self, error: JSONDecodeError) -> bool:
        unended = error.msg.startswith("Unterminated string")
        return unended or error.pos > len(self._text) - _LONGEST_LITERAL

    def _read_on(self) -> bool:
        """Read twice as much each time, so that no value is parsed too often."""
        rest = self._text[self._at :]
        new = self._file.read(max(_CHUNK, len(rest)))
        self._before, self._at = self.position, 0
        self._text = rest + new.decode("latin-1")
        return bool(new)
