"""Names of pictures as annotation files write them: taken apart, and refused if unsafe."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath, PureWindowsPath
from typing import NamedTuple

from steelscan.data.files import fault_of, key, plain
from steelscan.strip.errors import STRICT, DatasetError, Fault, FaultPolicy

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


class NameParts(NamedTuple):
    """The folders and the file name of a picture, as an annotation file gives them."""

    parts: tuple[str, ...]
    leads_out: bool
    """Whether the name leads out of the data set."""

    from_top: bool
    """Whether the name contained ``..``; ``parts`` then start at the folder of the data set."""


def split_name(written: str, base: str) -> NameParts:
    """Split a name from an annotation file; ``parts`` are empty if it names a folder.

    ``base`` is the folder of the annotations below that of the data set: ``..`` starts there.
    """
    out = leads_out(written)
    if _ADDRESS.match(written):
        written = re.split(r"[?#]", written.partition("://")[2])[0]
    given = written.removeprefix(PureWindowsPath(written).drive).replace("\\", "/").split("/")
    from_top = ".." in given
    parts = [part for part in base.split("/") if part] if from_top and not out else []
    for part in given:
        if part == "..":
            out = out or not parts
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    if given[-1] in ("", ".", ".."):
        parts = []
    return NameParts(tuple(parts), out, from_top)


def leads_out(written: str) -> bool:
    """Return whether a name is an internet address or an absolute path of any system."""
    return bool(
        _ADDRESS.match(written)
        or PureWindowsPath(written).drive
        or written.replace("\\", "/").startswith("/")
    )


def outside(written: str) -> str:
    """Return the message for a name that leads out of the data set."""
    return f"names the picture {written[:200]!r}, which may be outside the data set"


def check_name(name: str, where: object) -> str:
    """Return a picture's name if it is safe to use below a folder, else raise DatasetError."""
    if fault_of(name):
        problem = f"names the picture {name[:200]!r}, which {fault_of(name)}"
        raise DatasetError(where, problem, "Correct the name", Fault.UNSAFE_NAME)
    unsafe = any(part in ("", ".", "..") for part in name.split("/"))
    if unsafe or "\\" in name or PureWindowsPath(name).drive:
        remedy = "Name pictures relative to their folder, with / between folders and without .."
        raise DatasetError(where, outside(name), remedy, Fault.UNSAFE_NAME)
    return name


def check_distinct(names: Iterable[str], where: object, policy: FaultPolicy = STRICT) -> None:
    """Raise DatasetError for a name that occurs twice."""
    first: set[str] = set()
    for name in names:
        if key(name) in first:
            problem = f"names the picture {name} twice"
            policy.error(DatasetError(where, problem, "Keep one of the two", Fault.SAME_NAME))
        first.add(key(name))


def differ_in_case(file: str, image: str) -> bool:
    """Return whether the file names of two paths differ only in upper and lower case."""
    last, other = (plain(PurePosixPath(name).name) for name in (file, image))
    return last != other and last.casefold() == other.casefold()
