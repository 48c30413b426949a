"""Names of pictures in file systems and in tables."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from steelscan.strip.errors import DatasetError, Fault


def key(name: str) -> str:
    """Return a file name in one Unicode form: Macs store accents in another form."""
    return unicodedata.normalize("NFC", name)


def stem(name: str) -> str:
    """Return the file name without folder and suffix: a picture and its mask have the same stem."""
    return key(PurePosixPath(name).stem)


def plain(name: str) -> str:
    """Return a name without its suffix: a picture and its annotation have the same one."""
    return key((PurePosixPath(name).parent / stem(name)).as_posix())


def fault_of(name: str) -> str:
    """Return why a text cannot be a file name, as the end of a sentence; empty if it can."""
    if not name.strip():
        return "is empty"
    if name.isprintable():
        return ""
    control = any(unicodedata.category(letter) == "Cc" for letter in name)
    return "has a control character" if control else "has a character that cannot be displayed"


class ByStem:
    """Files by the names of their pictures without suffix, in any case that is unambiguous."""

    def __init__(self, names: Iterable[str]) -> None:
        self._exact = {plain(name): name for name in names}
        self._folded: dict[str, list[str]] = {}
        for stem_, name in self._exact.items():
            self._folded.setdefault(stem_.casefold(), []).append(name)

    def find(self, name: str) -> str | None:
        """Return the file of a name; None if there is none, or several in another case."""
        exact = self._exact.get(plain(name))
        alike = self._folded.get(plain(name).casefold(), []) if exact is None else []
        return alike[0] if len(alike) == 1 else exact


def matched(listed: Iterable[str], names: Sequence[str], where: object) -> dict[str, str]:
    """Return, for each picture that a table lists, the name in the table.

    A table may store accents in another Unicode form, leave out suffixes, and use another case if
    only one picture matches. Raises DatasetError, with ``where``, if it names a picture in two of
    these ways: one of the rows would be lost.
    """
    given: dict[str, list[str]] = {}
    folded: dict[str, set[str]] = {}
    for each in dict.fromkeys(listed):
        given.setdefault(key(each), []).append(each)
        folded.setdefault(key(each).casefold(), set()).add(each)
    pictures = Counter(each for name in names for each in {*_folded(name)})
    listed_as: dict[str, str] = {}
    for name in names:
        exact = [each for form in {key(name), stem(name)} for each in given.get(form, ())]
        if len(exact) > 1:
            one, other = sorted(exact)[:2]
            problem = f"names {name} twice, as {one!r} and as {other!r}"
            raise DatasetError(where, problem, "Keep one of the names", Fault.SAME_NAME)
        alike = [
            each
            for folded_name in _folded(name)
            if pictures[folded_name] == 1
            for each in folded.get(folded_name, ())
        ]
        if exact or len(set(alike)) == 1:
            listed_as[name] = (exact or alike)[0]
    return listed_as


def called_otherwise(one: Iterable[str], other: Iterable[str]) -> tuple[str, str] | None:
    """Return the first two names, one of each list, that differ but mean the same picture.

    They differ in the Unicode form, the case, the suffix, or in that one has no folder. The caller
    leaves out names that are in both lists.
    """
    by_stem: dict[str, list[str]] = {}
    for name in other:
        by_stem.setdefault(stem(name).casefold(), []).append(name)
    for name in one:
        for alike in by_stem.get(stem(name).casefold(), ()):
            folders = {"/" in name, "/" in alike}
            if False in folders or plain(name).casefold() == plain(alike).casefold():
                return name, alike
    return None


def _folded(name: str) -> tuple[str, str]:
    return key(name).casefold(), stem(name).casefold()
