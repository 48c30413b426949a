"""Open a folder or zip, and find the pictures that a user names."""

import glob
import os
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from steelscan.data.files.files import (
    NO_FILE,
    Files,
    FolderFiles,
    check_unicode,
    is_picture,
    visible,
)
from steelscan.data.files.zip_files import ZipFiles
from steelscan.data.picture import SUFFIXES
from steelscan.strip.errors import DatasetError

PREDICT_MARKER = "predicted_by.txt"
"""File that ``steelscan predict`` writes into its output: its masks and overlays are no strips."""

_OUTPUT_FOLDERS = ("masks", "overlays")
_CHOOSE = "Choose a folder, a zip, or for check and convert an annotation file (.json, .xml)"


def open_files(path: Path) -> Files:
    """Open a folder or a zip.

    Raises DatasetError if the path is neither. The first access to a zip raises it if the zip has
    names that lead out of it, links, a name twice, or far more bytes than pictures could have.
    """
    if path.is_dir():
        return FolderFiles(path)
    if not path.exists():
        raise DatasetError(path, "does not exist", _CHOOSE)
    if not path.is_file():
        raise DatasetError(path, NO_FILE, _CHOOSE)
    if not zipfile.is_zipfile(path):
        raise DatasetError(path, "is neither a folder nor a zip", _CHOOSE)
    return ZipFiles(path)


@dataclass(frozen=True)
class PictureFile:
    """A picture in a folder or zip; ``name`` is unique among the pictures of one search."""

    name: str
    files: Files = field(repr=False)
    path: str = field(repr=False)
    """Its name in ``files``."""

    def read(self) -> bytes:
        """Return the content of the file. Raises PictureError if it cannot be read."""
        return self.files.picture_bytes(self.path)


def find_pictures(where: Path | str) -> list[PictureFile]:
    """Find the pictures of a folder (at any depth), a zip, one file or a glob pattern.

    They are sorted by name; names are relative to the folder, the zip, or the part of the pattern
    before its first wildcard. Files without the suffix of a picture are left out, and so are masks
    and overlays that ``steelscan predict`` wrote. Links to folders are not followed. Raises
    DatasetError if no picture is found, or a name is not Unicode.
    """
    path = Path(where)
    if path.is_file() and not zipfile.is_zipfile(path):
        files = [PictureFile(path.name, FolderFiles(path.parent), path.name)]
    elif path.exists():
        source = open_files(path)
        files = [PictureFile(name, source, name) for name in source.walk()]
    elif glob.has_magic(str(where)):
        files = _matching(str(where))
    else:
        raise DatasetError(where, "does not exist", "Choose a folder, zip, picture or pattern")
    pictures = sorted((file for file in files if is_picture(file.name)), key=lambda file: file.name)
    check_unicode([picture.name for picture in pictures], where)
    outputs = _PredictOutputs()
    kept = [picture for picture in pictures if not outputs.contains(picture)]
    if pictures and not kept:
        problem = "holds only pictures that steelscan predict wrote"
        raise DatasetError(where, problem, "Choose the folder of the strips")
    if not kept:
        raise DatasetError(where, "holds no pictures", f"Expected {' '.join(sorted(SUFFIXES))}")
    return kept


class _PredictOutputs:
    """Masks and overlays that `steelscan predict` wrote; each folder is checked once on disk."""

    def __init__(self) -> None:
        self._folders: dict[Path, bool] = {}

    def contains(self, picture: PictureFile) -> bool:
        """Return whether a picture, or the target of its link, is a mask or an overlay."""
        if not isinstance(picture.files, FolderFiles):
            return any(
                inner.name in _OUTPUT_FOLDERS
                and picture.files.exists((inner.parent / PREDICT_MARKER).as_posix())
                for inner in PurePosixPath(picture.path).parents
            )
        path = picture.files.root / picture.path
        if path.is_symlink():
            path = Path(os.path.realpath(path))
        folder = path.parent
        if folder not in self._folders:
            self._folders[folder] = _is_output(Path(os.path.realpath(folder)))
        return self._folders[folder]


def _is_output(folder: Path) -> bool:
    return any(
        inner.name in _OUTPUT_FOLDERS and (inner.parent / PREDICT_MARKER).is_file()
        for inner in (folder, *folder.parents)
    )


def _matching(pattern: str) -> list[PictureFile]:
    parts = Path(pattern).parts
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    # pathlib does not follow links below "**", and accepts "**" only as a whole part
    wanted = [part if part == "**" else re.sub(r"\*+", "*", part) for part in parts[fixed:]]
    wanted += ["*"] if wanted[-1] == "**" else []
    hits = [hit.relative_to(base) for hit in base.glob("/".join(wanted)) if not hit.is_dir()]
    linked: dict[Path, bool] = {}

    def through_link(folder: Path) -> bool:
        if folder == Path():
            return False
        if folder not in linked:
            linked[folder] = (base / folder).is_symlink() or through_link(folder.parent)
        return linked[folder]

    names = {hit.as_posix() for hit in hits if not through_link(hit.parent)}
    files = FolderFiles(base)
    return [PictureFile(name, files, name) for name in names if visible(name)]
