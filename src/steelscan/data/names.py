"""Names of pictures, as files have them and as tables may write them."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath


def key(name: str) -> str:
    """A file name as tables may write it: Macs store the same accents in another form."""
    return unicodedata.normalize("NFC", name)


def stem(name: str) -> str:
    """The part that a picture and its mask share."""
    return key(PurePosixPath(name).stem)


def matched(listed: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """For each picture that a table means, what the table calls it.

    A table may store accents in the other Unicode form, leave endings out, and, where only one
    picture can be meant, write another case.
    """
    given: dict[str, str] = {}
    folded: dict[str, set[str]] = {}
    for each in listed:
        given.setdefault(key(each), each)
        folded.setdefault(key(each).casefold(), set()).add(each)
    pictures = Counter(each for name in names for each in {*_folded(name)})
    found: dict[str, str] = {}
    for name in names:
        exact = [given[each] for each in (key(name), stem(name)) if each in given]
        alike = [
            each
            for folded_name in _folded(name)
            if pictures[folded_name] == 1
            for each in folded.get(folded_name, ())
        ]
        if exact or len(set(alike)) == 1:
            found[name] = (exact or alike)[0]
    return found


def _folded(name: str) -> tuple[str, str]:
    return key(name).casefold(), stem(name).casefold()
