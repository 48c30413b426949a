"""Where programs write the names of classes that annotations only number.

Ultralytics, Roboflow and FiftyOne write a YAML file (``data.yaml``, ``dataset.yaml``) with
``names`` as a list or by number, in the folder of the data set or, if that is one of its parts,
above it. Others write a name a line: Darknet ``obj.names``, Label Studio ``classes.txt``, labelImg
``labels/classes.txt``, labelme's scripts ``class_names.txt``.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import yaml  # type: ignore[import-untyped]

from steelscan.data.files import Files, open_files
from steelscan.formats.labelled import make_classes
from steelscan.formats.shelf import leads_out
from steelscan.strip import STRICT, Classes, DatasetError, Fault, Watch

_LINES = ("obj.names", "classes.txt", "labels/classes.txt", "class_names.txt", "names.txt")
_PARTS = ("train", "val", "valid", "test")
_LARGEST = 1 << 20
"""Bytes in a YAML file of a few hundred names are far fewer."""

_REMEDY = "Give it the names of the classes, as 'names: [scratch, hole]'"

BESIDE = frozenset((*_LINES, "notes.txt", "labels.txt", *(f"{part}.txt" for part in _PARTS)))
"""Text files that may lie beside those of pictures."""


_USUAL = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")


class _Plain(yaml.BaseLoader):  # type: ignore[misc]
    """Reads YAML as texts, lists and maps, without aliases: few lines of them can fill a memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose what is no alias."""
        if self.check_event(yaml.AliasEvent):
            found, mark = "an alias, which no data set needs", self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, found, mark)
        return super().compose_node(parent, index)


def class_names(files: Files, watch: Watch = STRICT) -> Classes:
    """The classes of a data set, in the order of their numbers.

    Raises DatasetError when no file names them, when one cannot be read, and when two name them
    in different orders; other contradictions are noted.
    """
    described = dict(_described(files))
    naming = [name for name, content in described.items() if "names" in content]
    naming += [name for name in _LINES if files.exists(name)]
    if naming:
        first, *others = naming
        classes = _named(files, first, described)
        _compare_count(described.get(first, {}), classes, files.where(first), watch)
        for other in others:
            try:
                second = _named(files, other, described)
            except DatasetError:  # what is no list of classes contradicts none
                continue
            _compare(classes, second, first, files.where(other), watch)
        return classes
    above = _above(files)
    if above is not None:
        return class_names(above, watch)
    for name in described:
        raise DatasetError(files.where(name), "names no classes", _REMEDY)
    found = "is missing, and no other file names the classes"
    remedy = "Write it with their names in the order of their numbers, as 'names: [scratch, hole]'"
    raise DatasetError(files.where("data.yaml"), found, remedy)


def _named(files: Files, name: str, described: dict[str, dict[str, Any]]) -> Classes:
    """The classes that a file names. Raises DatasetError."""
    if name in described:
        return _of_yaml(described[name]["names"], files.where(name))
    lines = [line.strip() for line in text_lines(files, name)]
    return make_classes([line for line in lines if line], files.where(name))


def _compare(classes: Classes, second: Classes, first: str, where: str, watch: Watch) -> None:
    """Refuse another order of the classes that both files name; note other classes."""
    both = [name for name in second.names if name in classes.names]
    if both != [name for name in classes.names if name in both]:
        found = f"names the classes in another order than {first}"
        remedy = "Keep the file whose order the annotations follow, and remove the other"
        raise DatasetError(where, found, remedy, Fault.UNCLEAR)
    if second != classes:
        found = f"names other classes than {first}, which is read"
        watch.note(Fault.CLASS_NAME, where, found)


def _compare_count(content: dict[str, Any], classes: Classes, where: str, watch: Watch) -> None:
    count = content.get("nc", str(len(classes)))
    if not isinstance(count, str) or count.strip() != str(len(classes)):
        found = f"says nc: {str(count)[:20]}, and names {len(classes)} classes"
        watch.note(Fault.CLASS_NAME, where, found)


def lists_of_pictures(files: Files) -> list[str]:
    """Names of the text files that list pictures, by the YAML file or as Darknet's.

    Raises DatasetError when one that the YAML file names is missing.
    """
    found: list[str] = []
    if files.exists("obj.names"):
        found += [f"{part}.txt" for part in _PARTS if files.exists(f"{part}.txt")]
    for name, content in _described(files):
        for part in filter(lambda part: part.lower().endswith(".txt"), _parts(content)):
            path = PurePosixPath(part)
            out = leads_out(part) or ".." in path.parts
            places = [path.name] if out else [path.as_posix(), path.name]
            there = [place for place in places if files.exists(place)]
            if not there:
                said = f"names a list of pictures that is missing, {part[:80]}"
                remedy = f"Put it at {files.where(path.name)}, or name the pictures' folder there"
                raise DatasetError(files.where(name), said, remedy)
            found += there[:1]
    return list(dict.fromkeys(found))


def text_lines(files: Files, name: str) -> list[str]:
    """Lines of a text file. Raises DatasetError for what is no UTF-8."""
    try:
        return files.read(name).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DatasetError(files.where(name), "is no text", "Save it as UTF-8") from None


def _described(files: Files) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and contents of the YAML files at the top, the usual ones first.

    Raises DatasetError where one of those cannot be read; the others may be anything.
    """
    found = [name for name in files.names() if name.lower().endswith((".yaml", ".yml"))]
    for name in sorted(found, key=lambda name: (name not in _USUAL, name)):
        try:
            content = _read_yaml(files, name)
        except DatasetError:
            if name in _USUAL:
                raise
            continue
        if isinstance(content, dict) and (name in _USUAL or "names" in content):
            yield name, content


def _read_yaml(files: Files, name: str) -> Any:
    where = files.where(name)
    try:
        if files.size(name) > _LARGEST:
            raise ValueError(f"over {_LARGEST} bytes")
        return yaml.load(files.read(name), Loader=_Plain)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else "nested too deep"
        if isinstance(error, yaml.MarkedYAMLError) and error.problem:
            reason = error.problem
        raise DatasetError(where, f"cannot be read as YAML ({reason[:80]})", _REMEDY) from None


def _of_yaml(names: Any, where: str) -> Classes:
    if isinstance(names, dict):
        numbered = {at.strip(): name for at, name in names.items() if isinstance(at, str)}
        if set(numbered) != set(map(str, range(len(names)))):
            raise DatasetError(where, "does not number its classes from 0 up", _REMEDY)
        names = [numbered[str(at)] for at in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DatasetError(where, "names no classes", _REMEDY)
    return make_classes([name.strip() for name in names], where)


def _above(files: Files) -> Files | None:
    """The folder above, if its YAML file says that this one is a part of it."""
    if not files.root.is_dir():
        return None
    parent = open_files(files.root.resolve().parent)
    try:
        parts = [part for name, content in _described(parent) for part in _parts(content)]
    except DatasetError:
        return None
    own = files.root.resolve().name
    return parent if any(own in PurePosixPath(part).parts for part in parts) else None


def _parts(content: dict[str, Any]) -> list[str]:
    """Where the parts for training and the others lie, as a YAML file says."""
    given = [content.get(part, []) for part in _PARTS]
    paths = (path for each in given for path in (each if isinstance(each, list) else [each]))
    return [path.replace("\\", "/") for path in paths if isinstance(path, str)]
