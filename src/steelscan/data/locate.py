"""In which format the annotations of a data set are, and where they lie."""

from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree

from steelscan.data.files import open_files
from steelscan.data.formats import FORMATS, Format
from steelscan.data.formats.pieces import pieces
from steelscan.strip import DatasetError, InputError

_BY_NAME = {each.name: each for each in FORMATS}
_KNOWN = f"Known are {', '.join(_BY_NAME)}"
_LOOKED_INTO = 50
"""So many files of one folder are looked into while a format is guessed."""

_Candidates = dict[str, list[Path]]
"""Formats that a data set may be of, and the annotations' files of those that have one."""

_JSON_MARKS = {
    "coco": {"images", "annotations", "categories"},
    "label_studio": {"data", "annotations"},
    "labelme": {"shapes", "imagePath"},
}
"""Fields that tell the JSON formats apart; those of Label Studio stand in each task of a list."""

_COCO_ELEMENTS = {
    "images": {"id", "file_name", "height", "width"},
    "annotations": {"id", "image_id", "category_id"},
}
"""By them one element tells the format, so that no more of a large file is read."""


class Place(NamedTuple):
    """Where a data set lies."""

    format: Format
    annotations: Path
    top: Path
    """Folder below which all pictures lie."""

    inside: tuple[str, ...]
    """Where names of pictures begin, below ``top``: "" or a folder with its /; tried in order."""


def format_named(option: str, name: str) -> Format:
    """The format of a name that an option gave. Raises InputError when there is none."""
    if name not in _BY_NAME:
        raise InputError(option, f"names no format: {name!r}", _KNOWN)
    return _BY_NAME[name]


def locate(root: Path, given: Format | None, source: Path) -> Place:
    """Find a data set in a folder, in the one folder there, or at an annotations' file."""
    if root.is_file():
        kind = _kind(root)
        return _at_file(given or _one({kind: [root]} if kind else {}, source)[0], root)
    candidates = _candidates(root)
    files = open_files(root)
    if not candidates and len(files.folders()) == 1 and not files.names():
        root = root / files.folders()[0]
        candidates = _candidates(root)
    candidates = candidates or _labelme_below(root)
    if given is not None:
        _refuse_second(given, candidates, root)
        candidates = {given.name: candidates.get(given.name, [])}
    chosen, found = _one(candidates, source)
    if not chosen.file:
        return Place(chosen, root, root / chosen.pictures, ("",))
    return _at_file(chosen, _one_file(found, root, chosen))


def _refuse_second(given: Format, candidates: _Candidates, root: Path) -> None:
    """Refuse index pictures beside run lengths, because the latter would be read."""
    if given.name == "index_pngs" and "run_lengths" in candidates:
        found = "holds run lengths too (train_images/ and train.csv), which would be read instead"
        raise DatasetError(root, found, "Move one of the two to a folder of its own")


def _one(candidates: _Candidates, source: Path) -> tuple[Format, list[Path]]:
    names = sorted(candidates)
    if len(names) == 1:
        return _BY_NAME[names[0]], candidates[names[0]]
    found = f"may be {' or '.join(names)}" if names else "is of no format that could be told"
    remedy = f"Name it with --from: {', '.join(_BY_NAME)}"
    raise DatasetError(source, found, remedy)


def _one_file(found: list[Path], root: Path, chosen: Format) -> Path:
    usual = root / chosen.file
    if usual in found or not found:
        return usual
    if len(found) > 1:
        shown = ", ".join(path.name for path in found[:5])
        said = f"holds {len(found)} files of {chosen.name}: {shown}"
        raise DatasetError(root, said, "Name one of the files")
    return found[0]


def _at_file(chosen: Format, path: Path) -> Place:
    if not chosen.file:
        found = f"is one file, {chosen.name} is a folder or zip of many"
        raise DatasetError(path, found, "Name the folder")
    apart = path.parent.name == "annotations"
    top = path.parent.parent if apart else path.parent
    inside = (f"{chosen.pictures}/", "", *((f"{path.parent.name}/",) if apart else ()))
    return Place(chosen, path, top, inside)


def _candidates(root: Path) -> _Candidates:
    """Formats whose signs lie in a folder, with the annotations' files of those that have one."""
    files = open_files(root)
    folders, masks = set(files.folders()), files.under("masks")
    paired = {"images", "masks"} <= folders
    signs = {
        "class_pngs": paired and bool(masks.folders()),
        "index_pngs": paired and bool(masks.names()),
        "run_lengths": "train_images" in folders and files.exists("train.csv"),
        "voc": {"JPEGImages", "SegmentationClass"} <= folders,
        "yolo": {"images", "labels"} <= folders,
    }
    found: _Candidates = {name: [] for name, there in signs.items() if there}
    names = [*files.names(), *(f"annotations/{name}" for name in files.names("annotations"))]
    told = [name for name in names if name.lower().endswith((".json", ".xml"))][:_LOOKED_INTO]
    for name in told:
        kind = _kind(root / name)
        if kind is not None:
            found.setdefault(kind, []).append(root / name)
    return found


def _labelme_below(root: Path) -> _Candidates:
    """LabelMe, whose files may lie at any depth, by the first JSON file found there."""
    first = next((name for name in open_files(root).walk() if name.endswith(".json")), None)
    return {"labelme": []} if first is not None and _kind(root / first) == "labelme" else {}


def _kind(path: Path) -> str | None:
    """Format of an annotations' file by its beginning; None where it is of none, or broken."""
    try:
        with path.open("rb") as file:
            if file.read(100).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
                file.seek(0)
                _, first = next(ElementTree.iterparse(file, events=("start",)))
                return "cvat" if first.tag == "annotations" else None
            file.seek(0)
            return _kind_of_json(file, path)
    except (
        OSError, ValueError, LookupError, StopIteration, ElementTree.ParseError, DatasetError
    ):  # fmt: skip
        return None


def _kind_of_json(file: BinaryIO, path: Path) -> str | None:
    seen: set[str] = set()
    for piece in pieces(file, path):
        fields = piece.value.keys() if isinstance(piece.value, dict) else set()
        if not piece.name and piece.at >= 0:
            return "label_studio" if _JSON_MARKS["label_studio"] <= fields else None
        if fields >= _COCO_ELEMENTS.get(piece.name, {""}):
            return "coco"
        seen.add(piece.name)
        for name in ("coco", "labelme"):
            if seen >= _JSON_MARKS[name]:
                return name
    return None
