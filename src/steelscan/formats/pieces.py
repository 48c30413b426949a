"""JSON files larger than memory: what stands at their top, piece by piece.

The text is scanned as Latin-1, in which each byte is a character: all marks of JSON are ASCII, and
no place in the file needs to be searched for again. What a piece means is for the reader of its
bytes.
"""

import json
import re
from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any, BinaryIO, NamedTuple

from steelscan.strip import DatasetError, Fault

_CHUNK = 1 << 20
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_WORD = 16
"""An error so near the end may come from a word, number or escape that is cut there."""


class Piece(NamedTuple):
    """A member of the object at the top, or one element of a list there."""

    name: str
    """Name of the member; "" where the whole file is a list."""

    at: int
    """Number of the element in its list; -1 for a member that is no list, and for each list as
    it begins."""

    value: Any
    """What it holds; its texts are not decoded yet."""

    start: int
    """First byte in the file."""

    content: bytes
    """Its bytes."""


def pieces(file: BinaryIO, where: object) -> Iterator[Piece]:
    """Read an object or a list, one piece after another.

    Of the file only about a mebibyte, or its largest piece, is held. Raises DatasetError for what
    is no JSON, and where it breaks off.
    """
    text = _Text(file, where)
    if text.next() == "[":
        yield from _elements(text, "")
    else:
        yield from _members(text)
    if text.next():
        raise text.broken("more stands behind its end")


def _members(text: "_Text") -> Iterator[Piece]:
    text.take("{")
    if text.next() == "}":
        text.take("}")
        return
    while True:
        name = text.value().value
        if not isinstance(name, str):
            raise text.broken("a name is expected")
        text.take(":")
        if text.next() == "[":
            yield from _elements(text, name)
        else:
            yield text.value()._replace(name=name)
        if text.next() == "}":
            text.take("}")
            return
        text.take(",")


def _elements(text: "_Text", name: str) -> Iterator[Piece]:
    yield Piece(name, -1, [], text.place, b"[]")
    text.take("[")
    if text.next() == "]":
        text.take("]")
        return
    at = 0
    while True:
        yield text.value()._replace(name=name, at=at)
        at += 1
        if text.next() == "]":
            text.take("]")
            return
        text.take(",")


class _Text:
    """The file's text around the place that was reached."""

    def __init__(self, file: BinaryIO, where: object) -> None:
        self._file, self._where = file, where
        self._text, self._at = "", 0
        self._before = 0
        """How many bytes of the file stand before the text."""
        self._more()
        if self._text.startswith("\xef\xbb\xbf"):  # UTF-8's byte order mark
            self._at = 3

    @property
    def place(self) -> int:
        """The byte that was reached."""
        return self._before + self._at

    def next(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, mark: str) -> None:
        """Go on behind a mark."""
        found = self.next()
        if found != mark:
            raise self.broken(f"{mark} is expected" if found else "EOF: it breaks off")
        self._at += 1

    def value(self) -> Piece:
        """Read one whole value."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except JSONDecodeError as error:
                cut = self._may_be_cut(error)
                if not cut or not self._more():
                    raise self.broken("EOF: it breaks off" if cut else error.msg) from None
                continue
            except (ValueError, RecursionError) as error:  # endless numbers; endless nesting
                raise self.broken(str(error)) from None
            size, whole = end - self._at, end + len("e+1") <= len(self._text)
            if whole or not self._more():  # 12 may go on as 123, and 12e+ as 12e+3
                content = self._text[self._at : self._at + size].encode("latin-1")
                start, self._at = self.place, self._at + size
                return Piece("", -1, value, start, content)

    def broken(self, why: str) -> DatasetError:
        """What to raise here."""
        found = f"is no whole JSON: {why} (byte {self.place})"
        return DatasetError(self._where, found, "Export it again", Fault.UNREADABLE_FILE)

    def _may_be_cut(self, error: JSONDecodeError) -> bool:
        unended = error.msg.startswith("Unterminated string")
        return unended or error.pos > len(self._text) - _LONGEST_WORD

    def _more(self) -> bool:
        """Read on; twice as much each time, so that no value is tried too often."""
        rest = self._text[self._at :]
        new = self._file.read(max(_CHUNK, len(rest)))
        self._before, self._at = self.place, 0
        self._text = rest + new.decode("latin-1")
        return bool(new)
