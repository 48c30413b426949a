"""Outputs lie apart from the pictures that are read: in their folder they would be pictures too."""

from collections.abc import Iterable
from pathlib import Path

from steelscan.data.files import open_files
from steelscan.strip import InputError

_NAMED = ("images", "train_images", "test_images", "JPEGImages")


def check_apart(out: Path, folders: Iterable[Path]) -> None:
    """Refuse an output folder that is one of some folders of pictures, or in one.

    Raises InputError.
    """
    real = out.resolve()
    for folder in folders:
        if real.is_relative_to(folder.resolve()):
            same = real == folder.resolve()
            found = "is the folder of the pictures itself" if same else "is in a folder of pictures"
            remedy = f"Name a folder outside of {folder}: what is written there is a picture too"
            raise InputError(out, found, remedy)


def folders_read(data: Path, *others: Path | str | None) -> list[Path]:
    """The folders of the pictures of a data set, and those of ``others`` that are folders.

    Raises DatasetError for a folder that cannot be listed.
    """
    named = (Path(other) for other in others if other is not None)
    return [*picture_folders(data), *filter(_is_folder, named)]


def picture_folders(data: Path) -> list[Path]:
    """The folders that are there for pictures by their names, in a data set or one folder down.

    ``data`` is a folder, or a file of annotations beside or below which they lie; a zip has none.
    Raises DatasetError for a folder that cannot be listed.
    """
    if _is_folder(data):
        if data.resolve().name in _NAMED:
            return [data]
        levels = [[data], [data / name for name in open_files(data).folders()]]
    else:
        levels = [] if data.suffix.lower() == ".zip" else [[data.parent], [data.parent.parent]]
    for level in levels:
        found = [base / name for base in level for name in _NAMED if _is_folder(base / name)]
        if found:
            return found
    return []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # behind a folder that may not be entered: reading says so
        return False
