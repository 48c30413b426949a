"""Names of pictures in the data set that a conversion writes."""

import csv
import io
from pathlib import PurePosixPath

from steelscan.data.annotations import read_table
from steelscan.data.files import is_picture, key, plain

_GROUPS = ("image", "group")
_OMITTED = ("images", "data")
"""Folders that only separate pictures from annotations, and are omitted in a flat name."""


class TargetNames:
    """Names of pictures in the target: with their endings, and flat if it has no folders.

    ``train/a.jpg`` becomes ``train__a.jpg``; if two names become equal or differ only in their
    endings, the later one gets a number.
    """

    def __init__(self, flat: bool) -> None:
        self._flat = flat
        self._taken: set[str] = set()
        self._new: dict[str, str] = {}
        self._flattened: list[str] = []
        self._numbered = 0

    def of(self, image: str, file: str | None) -> str:
        """Return the new name of a picture: ``image`` in the annotations, ``file`` on disk."""
        name = image
        if file is not None and not is_picture(name):
            name += PurePosixPath(file).suffix
        if self._flat and "/" in name:
            name = self._free(flat_name(name))
            self._flattened.append(f"{image} to {name}")
        self._taken.add(plain(name))
        self._new[key(image)] = self._new[plain(image)] = name
        return name

    def notes(self) -> list[str]:
        """Return how many names were flattened, and how many of them got a number."""
        count, more = len(self._flattened), f", {self._numbered} of them with a number"
        return [
            f"{count} names of pictures in folders were flattened, for example {each}"
            + (more if self._numbered else "")
            for each in self._flattened[:1]
        ]

    def in_groups(self, content: bytes, where: object) -> bytes:
        """Return a table ``image,group`` with the new names. Raises TableError."""
        if not self._flattened:
            return content
        rows = read_table(content, _GROUPS, where)
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(_GROUPS)
        table.writerows((self._new.get(key(image), image), group) for image, group in rows)
        return out.getvalue().encode()

    def _free(self, name: str) -> str:
        path, number = PurePosixPath(name), 2
        while plain(name) in self._taken:
            name = f"{path.stem}_{number}{path.suffix}"
            number += 1
        self._numbered += number > 2
        return name


def flat_name(name: str) -> str:
    """Return a name without folders: they are put before it, with ``__`` between."""
    folders = list(PurePosixPath(name).parts)
    while len(folders) > 1 and folders[0] in _OMITTED:
        del folders[0]
    return "__".join(folders)
