"""The pictures of a data set, found by the names that its annotations give them.

One look-up for all formats. A name is tried as it stands, below the folders where the format's
programs put pictures; then in another Unicode form, in another case, without its missing ending;
then below any folder of the data set. What leads out of the data set (an absolute path, a path of
another machine, an address, too many ``..``) is never followed: its last parts are looked up here.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple
from urllib.parse import unquote

from steelscan.data import key, picture_frame, plain
from steelscan.data.files import Files, fault_of, is_picture, open_files
from steelscan.strip import DatasetError, Fault, Frame, MaskError, PictureError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SUBSET = re.compile(r"^(instances|_?annotations)[_.]?|\.coco$")
_LONGEST = 4096
"""Characters in a path; no system allows more."""

_ELSEWHERE = "Put the picture there, correct its name, or name the pictures' folder with --images"


class _Parts(NamedTuple):
    """A name as annotations give it, taken apart."""

    parts: tuple[str, ...]
    out: bool
    """Whether it leads out of the data set."""

    up: bool
    """Whether it leads up, and ``parts`` begin at the data set's folder."""


class Shelf:
    """The pictures below a data set's folder; all names are relative to it."""

    def __init__(
        self, files: Files, inside: Sequence[str] = ("",), base: str = "", lists: bool = False
    ) -> None:
        """Take the folders where names begin, "" or with their ``/``, in the order of trying.

        ``base`` is the folder that ``..`` starts from: that of the annotations.
        """
        self.files = files
        self._inside, self._base = inside, base
        self.lists_pictures = lists
        """Whether annotations say which pictures there are, so that others were forgotten."""

    @classmethod
    def beside(cls, path: Path) -> "Shelf":
        """The pictures of a file of annotations, or of a folder of them."""
        if not path.is_file():
            return cls(open_files(path))
        top, inside, base = around(path)
        return cls(open_files(top), inside, base)

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(filter(is_picture, self.files.walk(links=True)))

    @cached_property
    def _alike(self) -> dict[str, list[str]]:
        return _grouped((key(name), name) for name in sorted(self._exact))

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        return _grouped((_fold(name), name) for name in sorted(self._exact))

    @cached_property
    def _by_last(self) -> dict[str, list[str]]:
        """Names by their last parts, with their endings and without."""
        last = ((_fold(PurePosixPath(name).name), name) for name in sorted(self._exact))
        return _grouped(
            pair for full, name in last for pair in ((full, name), (_stem(full) + "/", name))
        )

    @cached_property
    def _folders(self) -> frozenset[str]:
        """Last parts of the folders that hold pictures."""
        return frozenset(_fold(PurePosixPath(name).parent.name) for name in self._exact)

    @cached_property
    def own(self) -> list[str]:
        """Names of the pictures in the usual folder, or of all if it does not exist."""
        return sorted(name for name in self._exact if name.startswith(self._usual)) or sorted(
            self._exact
        )

    @cached_property
    def _usual(self) -> str:
        """The first of the folders, but the top, that holds pictures; else what it should be."""
        for inside in filter(None, self._inside):
            if any(name.startswith(inside) for name in self._exact):
                return inside
        return "images/" if self._inside[0] and "images/" in self._inside else self._inside[0]

    def __len__(self) -> int:
        return len(self._exact)

    def name(self, written: str, where: object) -> str:
        """A picture's name, safe below any folder, from that in annotations.

        Raises DatasetError for a name that is none, and for one that leads out and is found
        nowhere in the data set.
        """
        given = _take_apart(written, self._base)
        fault = fault_of(written)
        if len(written) > _LONGEST:
            fault = f"is longer than {_LONGEST} letters"
        if not given.parts:
            fault = fault or "is the name of a folder"
        if fault:
            found_that = f"names the picture {written[:200]!r}, which {fault}"
            raise DatasetError(where, found_that, "Correct the name", Fault.UNSAFE_NAME)
        if not (given.out or given.up):
            return "/".join(given.parts)
        found = self._find(given)
        if found is not None:
            return self.own_name(found)
        if given.out:
            found_no = f"{_unsafe(written)}, where no picture is called {given.parts[-1]}"
            raise DatasetError(where, found_no, _ELSEWHERE, Fault.UNSAFE_NAME)
        return self.own_name("/".join(given.parts))

    def find(self, written: str) -> str | None:
        """The file that a name in annotations means.

        Raises DatasetError where the name may mean several files, and none exactly.
        """
        given = _take_apart(written, self._base)
        return self._find(given) if given.parts else None

    def frame(self, image: str) -> Frame:
        """Size of a picture, from its header. Raises PictureError; MaskError if it is missing."""
        found = self.find(image)
        if found is None:
            said = "does not exist, and nothing says its size"
            raise MaskError(self.where(image), said, _ELSEWHERE, Fault.NO_PICTURE)
        with self.files.open(found) as file:
            return picture_frame(file, self.files.where(found))

    def own_name(self, file: str) -> str:
        """A file's name as annotations might give it: without the usual folder."""
        inside = next((each for each in self._inside if each and file.startswith(each)), "")
        return file.removeprefix(inside)

    def missing(self, image: str) -> PictureError:
        """What to say of an annotated picture that is not there."""
        return PictureError(self.where(image), "does not exist", _ELSEWHERE, Fault.NO_PICTURE)

    def where(self, image: str) -> str:
        """How messages call a picture that is looked for."""
        return self.files.where(self._usual + image)

    def _find(self, given: _Parts) -> str | None:
        image = "/".join(given.parts)
        ways = [inside + image for inside in self._inside]
        if given.up:
            ways.insert(0, image)
        for way in ways:
            if way in self._exact:
                return way
        for alike, fold, differ in (
            (self._alike, key, "Unicode form"),
            (self._folded, _fold, "case or Unicode form"),
        ):
            for way in ways:
                found = alike.get(fold(way), [])
                if len(found) > 1:
                    raise self._several(way, found, f"differ in {differ} only")
                if found:
                    return found[0]
        return self._below_any(image, given.out) or self._decoded(given)

    def _decoded(self, given: _Parts) -> str | None:
        """Addresses hold blanks and accents as %20 and the like."""
        parts = tuple(unquote(part) for part in given.parts)
        if parts == given.parts or any("/" in part or "\\" in part for part in parts):
            return None
        return self._find(given._replace(parts=parts))

    def _below_any(self, image: str, out: bool) -> str | None:
        """The picture of the last part's name that lies below most of the other parts."""
        *folders, last = _fold(image).split("/")
        found = self._by_last.get(last, []) or self._by_last.get(last + "/", [])
        shared = [_shared(folders, name) for name in found]
        best = [name for name, count in zip(found, shared, strict=True) if count == max(shared)]
        if not best:
            return None
        above = _fold(best[0]).split("/")[:-1]
        if folders and not out and folders[-1] in self._folders and folders[-1] not in above:
            return None  # its own folder is here, without it: another one's is another picture
        if len(best) > 1:
            raise self._several(image, best, "lie below several folders")
        return best[0]

    def _several(self, way: str, found: Sequence[str], how: str) -> DatasetError:
        shown = " and ".join(found[:2]) + (", ..." if len(found) > 2 else "")
        said = f"may mean {len(found)} files that {how}: {shown}"
        remedy = "Rename all but one of them, or name the folder of the right ones with --images"
        return DatasetError(self.files.where(way), said, remedy, Fault.SAME_NAME)


def differ_in_case(file: str, image: str) -> bool:
    """Whether the last parts of two names differ in the case of letters alone."""
    last, other = (plain(PurePosixPath(name).name) for name in (file, image))
    return last != other and last.casefold() == other.casefold()


def check_claim(claimed: dict[str, str], file: str, image: str, shelf: Shelf) -> None:
    """Remember by which name a file was found. Raises DatasetError when it had another."""
    other = claimed.setdefault(file, image)
    if other != image:
        found = f"is the only picture found for {other} and for {image}"
        remedy = "Add the missing one, or name the folder of the right ones with --images"
        raise DatasetError(shelf.files.where(file), found, remedy, Fault.SAME_NAME)


def around(path: Path) -> tuple[Path, tuple[str, ...], str]:
    """The folder above a file of annotations, where names begin below it, and where ``..`` does.

    COCO's own ``annotations/instances_train2017.json`` goes with ``train2017/``, Datumaro's and
    CVAT's ``annotations/instances_train.json`` with ``images/train/``, FiftyOne's ``labels.json``
    with ``data/``.
    """
    apart = path.parent.name if path.parent.name in ("annotations", "labels") else ""
    top = path.parent.parent if apart else path.parent
    subset = _SUBSET.sub("", path.stem)
    parts = (f"images/{subset}/", f"{subset}/images/", f"{subset}/") if subset else ()
    return top, (*parts, "images/", "", "data/", *((f"{apart}/",) if apart else ())), apart


def leads_out(written: str) -> bool:
    """Whether a name is an address or starts at the root of some machine."""
    return bool(
        _ADDRESS.match(written)
        or PureWindowsPath(written).drive
        or written.replace("\\", "/").startswith("/")
    )


def _take_apart(written: str, base: str) -> _Parts:
    out = leads_out(written)
    if _ADDRESS.match(written):
        written = re.split(r"[?#]", written.partition("://")[2])[0]
    rest = written.removeprefix(PureWindowsPath(written).drive).replace("\\", "/")
    up = ".." in rest.split("/")
    parts = [part for part in base.split("/") if part] if up and not out else []
    for part in rest.split("/"):
        if part == "..":
            out = out or not parts
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    if rest.split("/")[-1] in ("", ".", ".."):
        parts = []  # a folder names no picture
    return _Parts(tuple(parts), out, up)


def _shared(folders: Sequence[str], name: str) -> int:
    """How many of some folders a file lies below, in their order."""
    above = iter(reversed(_fold(name).split("/")[:-1]))
    return sum(folder in above for folder in reversed(folders))


def _fold(name: str) -> str:
    return key(key(name).casefold())


def _stem(name: str) -> str:
    return name[: -len(PurePosixPath(name).suffix)] if PurePosixPath(name).suffix else name


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for which, name in pairs:
        found.setdefault(which, []).append(name)
    return found


def _unsafe(written: str) -> str:
    return f"names the picture {written[:200]!r}, which may lie outside the data set"
