"""The pictures of a data set, found by the names that its annotations give them.

All formats use this one look-up. A name is tried as it is written, below each folder where the
programs of the format put pictures; then in another Unicode form, in another case, without its
ending; then below any folder of the data set. A name that leads out of the data set (an absolute
path, a path of another machine, an address, too many ``..``) is never followed: its last parts are
looked up in the data set.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from steelscan.data.files import Files, fault_of, is_picture, key, open_files
from steelscan.formats.picture_folder import header_frame
from steelscan.formats.picture_names import NameParts, outside, split_name
from steelscan.strip import Frame
from steelscan.strip.errors import DatasetError, Fault, MaskError, PictureError

_LONGEST = 4096
"""Most characters of a path on any system."""

_ELSEWHERE = "Put the picture there, correct its name, or name the pictures' folder with --images"


class PictureIndex:
    """The pictures below the folder of a data set; all file names are relative to it."""

    def __init__(
        self, files: Files, inside: Sequence[str] = ("",), base: str = "", complete: bool = False
    ) -> None:
        """Set where names start.

        ``inside`` are the folders where names may start, "" or with a ``/`` at the end, tried in
        order. ``base`` is the folder of the annotations, where ``..`` starts. ``complete`` is
        whether the annotations list all pictures, so that a picture that they lack was forgotten.
        """
        self.files, self.complete = files, complete
        self._inside, self._base = inside, base

    @classmethod
    def around(cls, annotations: Path) -> "PictureIndex":
        """Return the index of the pictures around a file of annotations."""
        top, inside, base = around(annotations)
        return cls(open_files(top), inside, base)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(filter(is_picture, self.files.walk(links=True)))

    @cached_property
    def _by_key(self) -> dict[str, list[str]]:
        return _grouped((key(name), name) for name in sorted(self._names))

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        return _grouped((_fold(name), name) for name in sorted(self._names))

    @cached_property
    def _by_file_name(self) -> dict[str, list[str]]:
        """Pictures by their names without folders, with their endings and (plus "/") without."""
        last = ((_fold(PurePosixPath(name).name), name) for name in sorted(self._names))
        return _grouped(
            pair for full, name in last for pair in ((full, name), (_stem(full) + "/", name))
        )

    @cached_property
    def _folders(self) -> frozenset[str]:
        """Names of the folders that hold pictures, without the folders above them."""
        return frozenset(_fold(PurePosixPath(name).parent.name) for name in self._names)

    @cached_property
    def own(self) -> list[str]:
        """Names of the pictures in the usual folder, or of all if it does not exist."""
        names = sorted(self._names)
        return [name for name in names if name.startswith(self._usual)] or names

    @cached_property
    def _usual(self) -> str:
        """The first folder, except the top, that holds pictures; else where they should be."""
        for inside in filter(None, self._inside):
            if any(name.startswith(inside) for name in self._names):
                return inside
        return "images/" if self._inside[0] and "images/" in self._inside else self._inside[0]

    def __len__(self) -> int:
        return len(self._names)

    def name(self, written: str, where: object) -> str:
        """Return a name, safe below any folder, for a name in annotations.

        Raises DatasetError for a text that cannot be a file name, and for a name that leads out of
        the data set and is not found in it.
        """
        given = split_name(written, self._base)
        fault = fault_of(written)
        if len(written) > _LONGEST:
            fault = f"is longer than {_LONGEST} letters"
        if not given.parts:
            fault = fault or "is the name of a folder"
        if fault:
            problem = f"names the picture {written[:200]!r}, which {fault}"
            raise DatasetError(where, problem, "Correct the name", Fault.UNSAFE_NAME)
        if not (given.leads_out or given.from_top):
            return "/".join(given.parts)
        file = self._find(given)
        if file is not None:
            return self.own_name(file)
        if given.leads_out:
            problem = f"{outside(written)}, and no picture there is named {given.parts[-1]}"
            raise DatasetError(where, problem, _ELSEWHERE, Fault.UNSAFE_NAME)
        return self.own_name("/".join(given.parts))

    def find(self, written: str) -> str | None:
        """Return the file that a name in annotations means, None if there is none.

        Raises DatasetError if it may mean several files, and none exactly.
        """
        given = split_name(written, self._base)
        return self._find(given) if given.parts else None

    def frame(
        self, image: str, height: int | None = None, width: int | None = None, where: object = None
    ) -> Frame:
        """Return the size of a picture: as annotations at ``where`` give it, or from its header.

        Raises MaskError for a size that no picture has, and if the picture is missing as well as
        its size; PictureError if its header cannot be read.
        """
        if height is not None and width is not None:
            return Frame(height, width).checked(where)
        file = self.find(image)
        if file is None:
            problem = "does not exist, and its annotations do not give its size"
            raise MaskError(self.where(image), problem, _ELSEWHERE, Fault.NO_PICTURE)
        return header_frame(self.files, file)

    def own_name(self, file: str) -> str:
        """Return a file's name without the folder where names start."""
        inside = next((each for each in self._inside if each and file.startswith(each)), "")
        return file.removeprefix(inside)

    def missing(self, image: str) -> PictureError:
        """Return the error for an annotated picture that does not exist."""
        return PictureError(self.where(image), "does not exist", _ELSEWHERE, Fault.NO_PICTURE)

    def where(self, image: str) -> str:
        """Return the path at which messages expect a picture."""
        return self.files.where(self._usual + image)

    def _find(self, given: NameParts) -> str | None:
        image = "/".join(given.parts)
        paths = [inside + image for inside in self._inside]
        if given.from_top:
            paths.insert(0, image)
        for path in paths:
            if path in self._names:
                return path
        looser: tuple[tuple[dict[str, list[str]], Callable[[str], str], str], ...] = (
            (self._by_key, key, "Unicode form"),
            (self._folded, _fold, "case or Unicode form"),
        )
        for names, fold, differ in looser:
            for path in paths:
                files = names.get(fold(path), [])
                if len(files) > 1:
                    raise self._several(path, files, f"differ only in {differ}")
                if files:
                    return files[0]
        return self._below_any(image, given.leads_out) or self._decoded(given)

    def _decoded(self, given: NameParts) -> str | None:
        """Look up a name in which blanks and accents are written as %20 and the like."""
        parts = tuple(unquote(part) for part in given.parts)
        if parts == given.parts or any("/" in part or "\\" in part for part in parts):
            return None
        return self._find(given._replace(parts=parts))

    def _below_any(self, image: str, leads_out: bool) -> str | None:
        """Return the picture of this file name whose path has most of the other folders."""
        *folders, last = _fold(image).split("/")
        files = self._by_file_name.get(last, []) or self._by_file_name.get(last + "/", [])
        shared = [_shared(folders, name) for name in files]
        best = [name for name, count in zip(files, shared, strict=True) if count == max(shared)]
        if not best:
            return None
        above = _fold(best[0]).split("/")[:-1]
        if folders and not leads_out and folders[-1] in self._folders and folders[-1] not in above:
            return None  # its own folder is here without it: this is another picture
        if len(best) > 1:
            raise self._several(image, best, "are in different folders")
        return best[0]

    def _several(self, path: str, files: Sequence[str], how: str) -> DatasetError:
        shown = " and ".join(files[:2]) + (", ..." if len(files) > 2 else "")
        problem = f"may mean {len(files)} files that {how}: {shown}"
        remedy = "Rename all but one of them, or name the folder of the right ones with --images"
        return DatasetError(self.files.where(path), problem, remedy, Fault.SAME_NAME)


def around(path: Path) -> tuple[Path, tuple[str, ...], str]:
    """Return the folder above a file of annotations, where names start, and where ``..`` does.

    COCO's own ``annotations/instances_train2017.json`` goes with ``train2017/``, Datumaro's and
    CVAT's ``annotations/instances_train.json`` with ``images/train/``, FiftyOne's ``labels.json``
    with ``data/``.
    """
    apart = path.parent.name if path.parent.name in ("annotations", "labels") else ""
    top = path.parent.parent if apart else path.parent
    subset = re.sub(r"^(instances|_?annotations)[_.]?|\.coco$", "", path.stem)
    parts = (f"images/{subset}/", f"{subset}/images/", f"{subset}/") if subset else ()
    return top, (*parts, "images/", "", "data/", *((f"{apart}/",) if apart else ())), apart


def check_claim(claimed: dict[str, str], file: str, image: str, index: PictureIndex) -> None:
    """Record the name by which a file was found. Raises DatasetError if it had another name."""
    other = claimed.setdefault(file, image)
    if other != image:
        problem = f"is the only picture found for {other} and for {image}"
        remedy = "Add the missing one, or name the folder of the right ones with --images"
        raise DatasetError(index.files.where(file), problem, remedy, Fault.SAME_NAME)


def _shared(folders: Sequence[str], name: str) -> int:
    """Return how many of some folders are above a file, in this order."""
    above = iter(reversed(_fold(name).split("/")[:-1]))
    return sum(folder in above for folder in reversed(folders))


def _fold(name: str) -> str:
    return key(key(name).casefold())


def _stem(name: str) -> str:
    return name[: -len(PurePosixPath(name).suffix)] if PurePosixPath(name).suffix else name


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for group, name in pairs:
        groups.setdefault(group, []).append(name)
    return groups
