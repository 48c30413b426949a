"""Check that outputs are not written among input pictures: they would be read as input."""

from collections.abc import Iterable
from pathlib import Path

from steelscan.data.files.search import open_files
from steelscan.strip.errors import InputError

_PICTURE_FOLDERS = ("images", "train_images", "test_images", "JPEGImages")


def check_apart(out: Path, data: Path, *others: Path | str | None) -> None:
    """Raise InputError if an output folder is a data set, or in one of its folders of pictures.

    ``others`` that are folders are folders of pictures, too. Raises DatasetError if a folder cannot
    be listed.
    """
    if out.resolve() == data.resolve():
        raise InputError(out, "is the data set", "Choose another folder for the results")
    named = (Path(other) for other in others if other is not None)
    check_outside(out, [*picture_folders(data), *filter(_is_folder, named)])


def check_outside(out: Path, folders: Iterable[Path]) -> None:
    """Raise InputError if an output folder is one of the picture folders, or inside one."""
    real = out.resolve()
    for folder in folders:
        if real.is_relative_to(folder.resolve()):
            same = real == folder.resolve()
            problem = "is the folder of the pictures" if same else "is inside a folder of pictures"
            remedy = f"Choose a folder outside {folder}: outputs in it would be read as pictures"
            raise InputError(out, problem, remedy)


def picture_folders(data: Path) -> list[Path]:
    """Return the folders in a data set, or one level below, whose names mean pictures.

    ``data`` is a folder, or an annotation file next to them; a zip has none. Raises DatasetError if
    a folder cannot be listed.
    """
    if _is_folder(data):
        if data.resolve().name in _PICTURE_FOLDERS:
            return [data]
        depths = [[data], [data / name for name in open_files(data).folders()]]
    else:
        depths = [] if data.suffix.lower() == ".zip" else [[data.parent], [data.parent.parent]]
    for bases in depths:
        paths = [base / name for base in bases for name in _PICTURE_FOLDERS]
        if folders := list(filter(_is_folder, paths)):
            return folders
    return []


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # inside a folder without permission: reading reports it
        return False
