"""Where the annotations and pictures of a data set are, and their format."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, NamedTuple
from xml.etree import ElementTree

from steelscan.data.files import ByStem, Files, is_picture, open_files
from steelscan.formats import coco, labelme, yolo
from steelscan.formats.annotated_picture import Pictures
from steelscan.formats.json_pieces import pieces
from steelscan.formats.parsing import refuse_doctype
from steelscan.formats.picture_folder import picture_names
from steelscan.formats.picture_index import PictureIndex, around
from steelscan.formats.registry import FORMATS, Format
from steelscan.strip.errors import DatasetError, FaultPolicy

_APART = ("annotations", "labels")
"""Folders that hold only files of annotations."""

_MOST_FILES = 50
"""Number of files of a folder that are opened to detect the format."""

_Candidates = dict[str, list[Path]]
"""Names of formats that a data set may have, with the annotation files of those that have one."""

_JSON_FIELDS = {
    "coco": {"images", "annotations", "categories"},
    "label_studio": {"data", "annotations"},
    "labelme": {"shapes", "imagePath"},
}
"""Fields by which the JSON formats are detected; Label Studio has them in each task of a list."""

_COCO_ELEMENTS = {
    "images": {"id", "file_name", "height", "width"},
    "annotations": {"id", "image_id", "category_id"},
}
"""Fields of one element that suffice, so that no more of a large file is read."""


class DatasetLocation(NamedTuple):
    """A data set on disk: its format, its annotations and its pictures."""

    format: Format
    annotations: Path
    top: Path
    """The folder that contains all pictures, at any depth."""

    inside: tuple[str, ...] = ("",)
    """Where names of pictures start below ``top``; see `PictureIndex`."""

    base: str = ""
    """Folder below ``top`` from which names with ``..`` start."""

    parts: tuple[Path, ...] = ()
    """The annotation files, if each part of the data set has a folder with its own file."""

    def picture_index(self) -> PictureIndex:
        """Return the index of the pictures."""
        complete = self.format.names_pictures
        return PictureIndex(open_files(self.top), self.inside, self.base, complete)

    def read(self, policy: FaultPolicy, index: PictureIndex) -> Pictures:
        """Read the annotations; pictures of a part are named below its folder."""
        if not self.parts:
            yield from self.format.read(self.annotations, policy, index)
        for part in self.parts:
            for picture in self.format.read(part, policy):
                yield replace(picture, image=f"{part.parent.name}/{picture.image}")


def locate(
    root: Path, given: Format | None, source: Path, images: Path | None = None
) -> DatasetLocation:
    """Find a data set in a folder, in the only folder there, or at an annotation file.

    ``source`` is the path that the user named; ``root`` differs from it for an unpacked zip.
    ``images`` is a folder or zip of the pictures, if they are elsewhere. Raises DatasetError if the
    format cannot be detected, or if several files could be meant.
    """
    location = _locate(root, given, source, images is not None)
    if images is None:
        return location
    if location.parts:
        problem = f"has {len(location.parts)} parts, but --images names the pictures of one"
        raise DatasetError(
            source, problem, f"Choose one of its files, for example {location.parts[0]}"
        )
    return DatasetLocation(location.format, location.annotations, images)


def _locate(root: Path, given: Format | None, source: Path, elsewhere: bool) -> DatasetLocation:
    if root.is_file():
        name = _format_of(root)
        return _at_file(given or _only_one({name: [root]} if name else {}, source)[0], root)
    candidates = _candidates(root, elsewhere)
    files = open_files(root)
    while not candidates and len(files.folders()) == 1 and not files.names():
        root = root / files.folders()[0]
        candidates, files = _candidates(root, elsewhere), open_files(root)
    candidates = candidates or _in_parts(root) or _labelme_below(root)
    if given is not None:
        _refuse_other(given, candidates, root)
        candidates = {given.name: candidates.get(given.name, [])}
    chosen, paths = _only_one(candidates, source)
    if any(path.name.lower().startswith("instances") for path in paths):
        paths = [path for path in paths if not coco.is_of_other_task(path)]
    if chosen.name == "labelme":
        return DatasetLocation(chosen, root, *_around_labelme(root, source))
    if chosen.name == "yolo":
        return DatasetLocation(chosen, root, root, yolo.INSIDE)
    if not chosen.file:
        return DatasetLocation(chosen, root, root / chosen.pictures)
    folders = {path.parent for path in paths} - {root / name for name in ("", *_APART)}
    if len(folders) == len(paths) > 1 and len({path.name for path in paths}) == 1:
        return DatasetLocation(chosen, root, root, parts=tuple(paths))
    return _at_file(chosen, _one_file(paths, root, chosen))


def _around_labelme(root: Path, source: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of the pictures of LabelMe files, and where names start.

    They are below the files, or in a folder ``images/`` next to theirs. An unpacked zip has no
    folder next to it that belongs to it.
    """
    images = root.parent / "images"
    named = root == source and root.resolve().name in ("labels", "annotations", "json", "jsons")
    if named and images.is_dir() and not any(map(is_picture, open_files(root).walk(links=True))):
        return images, ("",)
    return root, labelme.INSIDE


def _refuse_other(given: Format, candidates: _Candidates, root: Path) -> None:
    """Refuse index pictures if there are run lengths, because those would be read instead."""
    if given.name == "index_pngs" and "run_lengths" in candidates:
        problem = "holds run lengths too (train_images/ and train.csv), which would be read instead"
        raise DatasetError(root, problem, "Move one of the two to a folder of its own")


def _only_one(candidates: _Candidates, source: Path) -> tuple[Format, list[Path]]:
    names = sorted(candidates)
    if len(names) == 1:
        return FORMATS[names[0]], candidates[names[0]]
    problem = f"may be {' or '.join(names)}" if names else "has no format that could be detected"
    raise DatasetError(source, problem, f"Add --from and a format: {', '.join(FORMATS)}")


def _one_file(paths: list[Path], root: Path, chosen: Format) -> Path:
    usual = root / chosen.file
    if not paths and not usual.exists():  # a broken file has no format, but is probably meant
        names = open_files(root).names()
        paths = [root / name for name in names if name.lower().endswith(usual.suffix)]
    if usual in paths or not paths:
        return usual
    if len(paths) > 1:
        shown = ", ".join(path.relative_to(root).as_posix() for path in paths[:5])
        problem = f"holds {len(paths)} files of {chosen.name}: {shown}"
        raise DatasetError(root, problem, f"Choose one of the files, for example {paths[0]}")
    return paths[0]


def _at_file(chosen: Format, path: Path) -> DatasetLocation:
    if not chosen.file:
        problem = f"is one file, {chosen.name} is a folder or zip of many"
        raise DatasetError(path, problem, "Choose the folder")
    return DatasetLocation(chosen, path, *around(path))


def _candidates(root: Path, elsewhere: bool) -> _Candidates:
    """Return the formats whose files are in a folder.

    If the pictures are ``elsewhere``, the folders of pictures need not exist.
    """
    files = open_files(root)
    folders, masks = set(files.folders()), files.under("masks")
    folders |= {each.pictures for each in FORMATS.values() if each.pictures} if elsewhere else set()
    paired = {"images", "masks"} <= folders
    below = paired and _same_folders(masks, files.under("images"))
    signs = {
        "class_pngs": paired and bool(masks.folders()) and not below,
        "index_pngs": paired and (below or any(map(is_picture, masks.names()))),
        "run_lengths": "train_images" in folders and files.exists("train.csv"),
        "voc": {"JPEGImages", "SegmentationClass"} <= folders,
        "yolo": _has_yolo_labels(files, folders),
    }
    candidates: _Candidates = {name: [] for name, fits in signs.items() if fits}
    apart = (f"{folder}/{name}" for folder in _APART for name in files.names(folder))
    return candidates | _by_content(root, [*files.names(), *apart])


def _by_content(root: Path, names: Iterable[str]) -> _Candidates:
    """Return the formats of some JSON and XML files, each with its files."""
    candidates: _Candidates = {}
    readable = [name for name in names if name.lower().endswith((".json", ".xml"))]
    for name in readable[:_MOST_FILES]:
        format_ = _format_of(root / name)
        if format_ is not None:
            candidates.setdefault(format_, []).append(root / name)
    return candidates


def _in_parts(root: Path) -> _Candidates:
    """Return the formats of files in the folders of the top, as Roboflow's train/ and valid/."""
    files = open_files(root)
    names = [f"{folder}/{name}" for folder in files.folders() for name in files.names(folder)]
    return _by_content(root, names)


def _same_folders(masks: Files, images: Files) -> bool:
    """Return whether the folders of masks are those of their pictures, not of classes."""
    if any(map(is_picture, masks.names())) or not set(masks.folders()) <= set(images.folders()):
        return False
    first = next(filter(is_picture, masks.walk(links=True)), None)
    return first is not None and ByStem(picture_names(images)).find(first) is not None


def _has_yolo_labels(files: Files, folders: Collection[str]) -> bool:
    """Return whether there are YOLO's text files, in ``labels`` or next to Darknet's pictures."""
    if {"images", "labels"} <= set(folders):
        first = next(files.under("labels").walk(links=True), "")
        return not first.lower().endswith(".json")
    if len(folders) == 1 and not files.names():
        return False  # the data set is in that folder
    parts = (set(files.under(folder).folders()) for folder in folders)
    return files.exists("obj.names") or any({"images", "labels"} <= part for part in parts)


def _labelme_below(root: Path) -> _Candidates:
    """Return LabelMe if the first JSON file, at any depth, is one of its files."""
    names = open_files(root).walk()
    first = next((name for name in names if name.lower().endswith(".json")), None)
    is_labelme = first is not None and _format_of(root / first) == "labelme"
    return {"labelme": []} if is_labelme else {}


def _format_of(path: Path) -> str | None:
    """Return the format of a file by its beginning; None for others, and for a broken file."""
    try:
        with path.open("rb") as file:
            if file.read(100).lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
                refuse_doctype(file, path)
                _, first = next(ElementTree.iterparse(file, events=("start",)))
                return "cvat" if first.tag == "annotations" else None
            file.seek(0)
            return _json_format(file, path)
    except (
        OSError, ValueError, LookupError, StopIteration, ElementTree.ParseError, DatasetError
    ):  # fmt: skip
        return None


def _json_format(file: BinaryIO, path: Path) -> str | None:
    names: set[str] = set()
    for piece in pieces(file, path):
        fields = piece.value.keys() if isinstance(piece.value, dict) else set()
        if not piece.name and piece.at >= 0:
            return "label_studio" if _JSON_FIELDS["label_studio"] <= fields else None
        if fields >= _COCO_ELEMENTS.get(piece.name, {""}):
            return "coco"
        names.add(piece.name)
        for name in ("coco", "labelme"):
            if names >= _JSON_FIELDS[name]:
                return name
    return None
