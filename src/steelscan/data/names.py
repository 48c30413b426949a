"""Names of pictures, as files have them and as tables may write them."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from steelscan.strip import DatasetError, Fault


def key(name: str) -> str:
    """A file name as tables may write it: Macs store the same accents in another form."""
    return unicodedata.normalize("NFC", name)


def stem(name: str) -> str:
    """The part that a picture and its mask share."""
    return key(PurePosixPath(name).stem)


def plain(name: str) -> str:
    """A name without its ending: what a picture and its annotation share."""
    return key((PurePosixPath(name).parent / stem(name)).as_posix())


def fault_of(name: str) -> str:
    """Why a text is no name of a file, as the end of a sentence; empty where it may be one."""
    if not name.strip():
        return "is empty"
    if name.isprintable():
        return ""
    control = any(unicodedata.category(letter) == "Cc" for letter in name)
    return "holds a control character" if control else "holds a letter that cannot be shown"


class ByStem:
    """Files by the names of their pictures without endings; another case will do if one has it."""

    def __init__(self, names: Iterable[str]) -> None:
        self._exact = {plain(name): name for name in names}
        self._folded: dict[str, list[str]] = {}
        for stem_, name in self._exact.items():
            self._folded.setdefault(stem_.casefold(), []).append(name)

    def find(self, name: str) -> str | None:
        """The file that goes with a name; None if there is none, or several of another case."""
        found = self._exact.get(plain(name))
        alike = self._folded.get(plain(name).casefold(), []) if found is None else []
        return alike[0] if len(alike) == 1 else found


def matched(listed: Iterable[str], names: Sequence[str], where: object) -> dict[str, str]:
    """For each picture that a table means, what the table calls it.

    A table may store accents in the other Unicode form, leave endings out, and, where only one
    picture can be meant, write another case. Raises DatasetError, naming ``where``, if it names a
    picture in two of these ways: one of them would be lost.
    """
    given: dict[str, list[str]] = {}
    folded: dict[str, set[str]] = {}
    for each in dict.fromkeys(listed):
        given.setdefault(key(each), []).append(each)
        folded.setdefault(key(each).casefold(), set()).add(each)
    pictures = Counter(each for name in names for each in {*_folded(name)})
    found: dict[str, str] = {}
    for name in names:
        exact = [each for form in {key(name), stem(name)} for each in given.get(form, ())]
        if len(exact) > 1:
            first, second = sorted(exact)[:2]
            problem = f"names {name} twice, as {first!r} and as {second!r}"
            raise DatasetError(where, problem, "Keep one of the names", Fault.SAME_NAME)
        alike = [
            each
            for folded_name in _folded(name)
            if pictures[folded_name] == 1
            for each in folded.get(folded_name, ())
        ]
        if exact or len(set(alike)) == 1:
            found[name] = (exact or alike)[0]
    return found


def called_otherwise(one: Iterable[str], other: Iterable[str]) -> tuple[str, str] | None:
    """The first two names, one of each, that differ and can only mean the same picture.

    That is where they differ in the Unicode form, the case, the ending, or in that one lacks the
    folder. Names that are in both are to be left out before.
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
