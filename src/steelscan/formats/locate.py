"""In which format the annotations of a data set are, and where they lie."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree

from steelscan.data.files import ByStem, Files, is_picture, open_files
from steelscan.formats import coco, labelme, yolo
from steelscan.formats.content import picture_names, refuse_doctype
from steelscan.formats.labelled import Labelled
from steelscan.formats.pieces import pieces
from steelscan.formats.registry import FORMATS, Format
from steelscan.formats.shelf import Shelf, around
from steelscan.strip import DatasetError, InputError, Watch

_BY_NAME = {each.name: each for each in FORMATS}
_KNOWN = f"Known are {', '.join(_BY_NAME)}"
_APART = ("annotations", "labels")
"""Folders that hold files of annotations alone."""

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

    inside: tuple[str, ...] = ("",)
    """Where names of pictures begin, below ``top``: "" or a folder with its /; tried in order."""

    base: str = ""
    """The folder, below ``top``, that names with ``..`` start from."""

    parts: tuple[Path, ...] = ()
    """The annotations' files, if each part of the data set lies in a folder with its own."""

    def shelf(self) -> Shelf:
        """The pictures."""
        files = open_files(self.top)
        return Shelf(files, self.inside, self.base, lists=self.format.names_pictures)

    def read(self, watch: Watch, shelf: Shelf) -> Iterator[Labelled]:
        """Read the annotations; pictures of a part are named below its folder."""
        if not self.parts:
            yield from self.format.read(self.annotations, watch, shelf)
        for part in self.parts:
            for each in self.format.read(part, watch, Shelf.beside(part)):
                yield replace(each, image=f"{part.parent.name}/{each.image}")


def format_named(option: str, name: str) -> Format:
    """The format of a name that an option gave. Raises InputError when there is none."""
    if name not in _BY_NAME:
        raise InputError(option, f"names no format: {name!r}", _KNOWN)
    return _BY_NAME[name]


def locate(root: Path, given: Format | None, source: Path, images: Path | None = None) -> Place:
    """Find a data set in a folder, in the one folder there, or at an annotations' file.

    ``source`` is what the user named, ``images`` a folder or zip of its pictures elsewhere.
    """
    place = _locate(root, given, source, images is not None)
    if images is None:
        return place
    if place.parts:
        found = f"has {len(place.parts)} parts, and --images names the pictures of one"
        raise DatasetError(source, found, f"Name one of its files, as {place.parts[0]}")
    return Place(place.format, place.annotations, images)


def _locate(root: Path, given: Format | None, source: Path, elsewhere: bool) -> Place:
    if root.is_file():
        kind = _kind(root)
        return _at_file(given or _one({kind: [root]} if kind else {}, source)[0], root)
    candidates = _candidates(root, elsewhere)
    files = open_files(root)
    while not candidates and len(files.folders()) == 1 and not files.names():
        root = root / files.folders()[0]
        candidates, files = _candidates(root, elsewhere), open_files(root)
    candidates = candidates or _in_parts(root) or _labelme_below(root)
    if given is not None:
        _refuse_second(given, candidates, root)
        candidates = {given.name: candidates.get(given.name, [])}
    chosen, found = _one(candidates, source)
    if any(path.name.lower().startswith("instances") for path in found):
        found = [path for path in found if not coco.says_no_masks(path)]
    if chosen.name == "labelme":
        return Place(chosen, root, *_beside_labelme(root, source))
    if chosen.name == "yolo":
        return Place(chosen, root, root, yolo.INSIDE)
    if not chosen.file:
        return Place(chosen, root, root / chosen.pictures)
    folders = {path.parent for path in found} - {root / name for name in ("", *_APART)}
    if len(folders) == len(found) > 1 and len({path.name for path in found}) == 1:
        return Place(chosen, root, root, parts=tuple(found))
    return _at_file(chosen, _one_file(found, root, chosen))


def _beside_labelme(root: Path, source: Path) -> tuple[Path, tuple[str, ...]]:
    """Where the pictures of LabelMe files lie: below them, or in ``images/`` beside their folder.

    The neighbours of a zip, which was unpacked anywhere, are none of its.
    """
    images = root.parent / "images"
    named = root == source and root.resolve().name in ("labels", "annotations", "json", "jsons")
    if named and images.is_dir() and not any(map(is_picture, open_files(root).walk(links=True))):
        return images, ("",)
    return root, labelme.INSIDE


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
    if not found and not usual.exists():  # one that is broken tells no format, but was meant
        names = open_files(root).names()
        found = [root / name for name in names if name.lower().endswith(usual.suffix)]
    if usual in found or not found:
        return usual
    if len(found) > 1:
        shown = ", ".join(path.relative_to(root).as_posix() for path in found[:5])
        said = f"holds {len(found)} files of {chosen.name}: {shown}"
        raise DatasetError(root, said, f"Name one of the files, as {found[0]}")
    return found[0]


def _at_file(chosen: Format, path: Path) -> Place:
    if not chosen.file:
        found = f"is one file, {chosen.name} is a folder or zip of many"
        raise DatasetError(path, found, "Name the folder")
    return Place(chosen, path, *around(path))


def _candidates(root: Path, elsewhere: bool) -> _Candidates:
    """Formats whose signs lie in a folder, with the annotations' files of those that have one.

    Folders of pictures are not asked for if the pictures lie ``elsewhere``.
    """
    files = open_files(root)
    folders, masks = set(files.folders()), files.under("masks")
    folders |= {each.pictures for each in FORMATS if each.pictures} if elsewhere else set()
    paired = {"images", "masks"} <= folders
    below = paired and _same_folders(masks, files.under("images"))
    signs = {
        "class_pngs": paired and bool(masks.folders()) and not below,
        "index_pngs": paired and (below or any(map(is_picture, masks.names()))),
        "run_lengths": "train_images" in folders and files.exists("train.csv"),
        "voc": {"JPEGImages", "SegmentationClass"} <= folders,
        "yolo": _holds_labels(files, folders),
    }
    found: _Candidates = {name: [] for name, there in signs.items() if there}
    apart = (f"{folder}/{name}" for folder in _APART for name in files.names(folder))
    found |= _told(root, [*files.names(), *apart])
    return found


def _told(root: Path, names: Iterable[str]) -> _Candidates:
    """Formats of the JSON and XML files among some, each with its files."""
    found: _Candidates = {}
    told = [name for name in names if name.lower().endswith((".json", ".xml"))][:_LOOKED_INTO]
    for name in told:
        kind = _kind(root / name)
        if kind is not None:
            found.setdefault(kind, []).append(root / name)
    return found


def _in_parts(root: Path) -> _Candidates:
    """Formats of files in the folders right below, as Roboflow's train/, valid/ and test/."""
    files = open_files(root)
    return _told(
        root, [f"{folder}/{name}" for folder in files.folders() for name in files.names(folder)]
    )


def _same_folders(masks: Files, images: Files) -> bool:
    """Whether masks lie in the folders of their pictures, and not in folders of their classes."""
    if any(map(is_picture, masks.names())) or not set(masks.folders()) <= set(images.folders()):
        return False
    first = next(filter(is_picture, masks.walk(links=True)), None)
    return first is not None and ByStem(picture_names(images)).find(first) is not None


def _holds_labels(files: Files, folders: Collection[str]) -> bool:
    """Whether YOLO's text files lie in a folder there, or beside Darknet's pictures."""
    if {"images", "labels"} <= set(folders):
        first = next(files.under("labels").walk(links=True), "")
        return not first.lower().endswith(".json")
    if len(folders) == 1 and not files.names():
        return False  # the data set lies below it
    parts = (set(files.under(folder).folders()) for folder in folders)
    return files.exists("obj.names") or any({"images", "labels"} <= part for part in parts)


def _labelme_below(root: Path) -> _Candidates:
    """LabelMe, whose files may lie at any depth, by the first JSON file found there."""
    names = open_files(root).walk()
    first = next((name for name in names if name.lower().endswith(".json")), None)
    return {"labelme": []} if first is not None and _kind(root / first) == "labelme" else {}


def _kind(path: Path) -> str | None:
    """Format of an annotations' file by its beginning; None where it is of none, or broken."""
    try:
        with path.open("rb") as file:
            if file.read(100).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
                refuse_doctype(file, path)
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
