"""Names of the classes: checked, and found where programs write them apart from annotations.

Ultralytics, Roboflow and FiftyOne write a YAML file (``data.yaml``, ``dataset.yaml``) with
``names`` as a list or by number, in the folder of the data set or, if that is a part of a larger
one, above it. Others write one name per line: Darknet ``obj.names``, Label Studio ``classes.txt``,
labelImg ``labels/classes.txt``, labelme's scripts ``class_names.txt``.
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml  # type: ignore[import-untyped]

from steelscan.data.files import Files, open_files
from steelscan.formats.parsing import text_lines
from steelscan.formats.picture_names import leads_out
from steelscan.strip import Classes
from steelscan.strip.errors import STRICT, DatasetError, Fault, FaultPolicy

_TEXT_FILES = ("obj.names", "classes.txt", "labels/classes.txt", "class_names.txt", "names.txt")
_USUAL = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
_PARTS = ("train", "val", "valid", "test")
_LARGEST = 1 << 20
"""Bytes; a YAML file of a few hundred names has far fewer."""

_REMEDY = "List the names of the classes there, as 'names: [scratch, hole]'"

NOT_OF_A_PICTURE = frozenset(
    (*_TEXT_FILES, "notes.txt", "labels.txt", *(f"{part}.txt" for part in _PARTS))
)
"""Text files that may be in the same folder as the text files of pictures."""


class _Plain(yaml.BaseLoader):  # type: ignore[misc]
    """Reads texts, lists and maps, but no aliases: a few lines of them can fill the memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Raise an error for an alias."""
        if self.check_event(yaml.AliasEvent):
            problem, mark = "an alias, which no data set needs", self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, problem, mark)
        return super().compose_node(parent, index)


def make_classes(names: Sequence[str], where: object) -> Classes:
    """Return classes of these names, without blanks around them.

    Raises DatasetError if there is no name, too many, an empty one, or one that occurs twice.
    """
    stripped = tuple(name.strip() for name in names)
    if not stripped or len(set(stripped)) != len(stripped) or not all(stripped):
        problem = "names a class twice, or a class without a name" if stripped else "names no class"
        raise DatasetError(where, problem, "Name each class once", Fault.UNREADABLE_FILE)
    if len(stripped) > Classes.MOST:
        remedy = f"Keep at most {Classes.MOST}: leave out those that no shape has"
        problem = f"names {len(stripped)} classes"
        raise DatasetError(where, problem, remedy, Fault.UNREADABLE_FILE)
    return Classes(names=stripped)


def listed_classes(files: Files, name: str, ignored: Sequence[str] = ()) -> Classes | None:
    """Return the classes of a file with one name per line, None if it does not exist."""
    if not files.exists(name):
        return None
    lines = (line.strip() for line in text_lines(files, name, errors="replace"))
    return make_classes([line for line in lines if line and line not in ignored], files.where(name))


def similar_names(classes: Classes) -> str:
    """Return a message on names that differ only in case; "" if there are none."""
    first: dict[str, str] = {}
    pairs = [
        f"{first[name.casefold()]!r} and {name!r}"
        for name in classes.names
        if first.setdefault(name.casefold(), name) != name
    ]
    return f"classes differ only in upper and lower case: {', '.join(pairs)}" if pairs else ""


def class_names(files: Files, policy: FaultPolicy = STRICT) -> Classes:
    """Return the classes of a data set, in the order of their numbers.

    Raises DatasetError if no file names them, if one cannot be read, and if two name them in
    different orders; other contradictions are noted.
    """
    described = dict(_yaml_files(files))
    naming = [name for name, content in described.items() if "names" in content]
    naming += [name for name in _TEXT_FILES if files.exists(name)]
    if naming:
        first, *others = naming
        classes = _named(files, first, described)
        _compare_count(described.get(first, {}), classes, files.where(first), policy)
        for other in others:
            try:
                other_classes = _named(files, other, described)
            except DatasetError:  # not a list of classes, so no contradiction
                continue
            _compare(classes, other_classes, first, files.where(other), policy)
        return classes
    above = _above(files)
    if above is not None:
        return class_names(above, policy)
    for name in described:
        raise DatasetError(files.where(name), "names no classes", _REMEDY)
    problem = "is missing, and no other file names the classes"
    remedy = "Write it with their names in the order of their numbers, as 'names: [scratch, hole]'"
    raise DatasetError(files.where("data.yaml"), problem, remedy)


def _named(files: Files, name: str, described: dict[str, dict[str, Any]]) -> Classes:
    """Return the classes that a file names. Raises DatasetError."""
    if name in described:
        return _yaml_classes(described[name]["names"], files.where(name))
    lines = [line.strip() for line in text_lines(files, name)]
    return make_classes([line for line in lines if line], files.where(name))


def _compare(
    classes: Classes, others: Classes, first: str, where: str, policy: FaultPolicy
) -> None:
    """Refuse another order of the classes that both files name; note other classes."""
    both = [name for name in others.names if name in classes.names]
    if both != [name for name in classes.names if name in both]:
        problem = f"names the classes in another order than {first}"
        remedy = "Keep the file whose order the annotations follow, and remove the other"
        raise DatasetError(where, problem, remedy, Fault.UNCLEAR)
    if others != classes:
        problem = f"names other classes than {first}, which is used"
        policy.note(Fault.CLASS_NAME, where, problem)


def _compare_count(
    content: dict[str, Any], classes: Classes, where: str, policy: FaultPolicy
) -> None:
    count = content.get("nc", str(len(classes)))
    if not isinstance(count, str) or count.strip() != str(len(classes)):
        problem = f"has nc: {str(count)[:20]}, but names {len(classes)} classes"
        policy.note(Fault.CLASS_NAME, where, problem)


def lists_of_pictures(files: Files) -> list[str]:
    """Return the names of the text files that list pictures: Darknet's, or those in a YAML file.

    Raises DatasetError if one that a YAML file names is missing.
    """
    lists: list[str] = []
    if files.exists("obj.names"):
        lists += [f"{part}.txt" for part in _PARTS if files.exists(f"{part}.txt")]
    for name, content in _yaml_files(files):
        for part in filter(lambda part: part.lower().endswith(".txt"), _parts(content)):
            path = PurePosixPath(part)
            out = leads_out(part) or ".." in path.parts
            candidates = [path.name] if out else [path.as_posix(), path.name]
            existing = list(filter(files.exists, candidates))
            if not existing:
                problem = f"names a list of pictures that is missing, {part[:80]}"
                remedy = f"Put it at {files.where(path.name)}, or name the pictures' folder there"
                raise DatasetError(files.where(name), problem, remedy)
            lists += existing[:1]
    return list(dict.fromkeys(lists))


def _yaml_files(files: Files) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names and contents of the YAML files at the top, the usual ones first.

    Raises DatasetError if one of those cannot be read; others that cannot are ignored.
    """
    names = [name for name in files.names() if name.lower().endswith((".yaml", ".yml"))]
    for name in sorted(names, key=lambda name: (name not in _USUAL, name)):
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


def _yaml_classes(names: Any, where: str) -> Classes:
    if isinstance(names, dict):
        numbered = {at.strip(): name for at, name in names.items() if isinstance(at, str)}
        if set(numbered) != set(map(str, range(len(names)))):
            raise DatasetError(where, "does not number its classes from 0 up", _REMEDY)
        names = [numbered[str(at)] for at in range(len(names))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DatasetError(where, "names no classes", _REMEDY)
    return make_classes(names, where)


def _above(files: Files) -> Files | None:
    """Return the folder above, if its YAML file names this folder as a part of its data set."""
    if not files.root.is_dir():
        return None
    parent = open_files(files.root.resolve().parent)
    try:
        parts = [part for name, content in _yaml_files(parent) for part in _parts(content)]
    except DatasetError:
        return None
    own = files.root.resolve().name
    return parent if any(own in PurePosixPath(part).parts for part in parts) else None


def _parts(content: dict[str, Any]) -> list[str]:
    """Return the paths that a YAML file gives for training, validation and test."""
    given = [content.get(part, []) for part in _PARTS]
    paths = (path for each in given for path in (each if isinstance(each, list) else [each]))
    return [path.replace("\\", "/") for path in paths if isinstance(path, str)]
