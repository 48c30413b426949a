"""Names of classes in the YAML and text files of other programs."""

import resource
from pathlib import Path

import pytest
from layouts import refused, yolo

from steelscan.data.files import open_files
from steelscan.formats import check, convert
from steelscan.formats.class_names import class_names
from steelscan.strip.errors import DatasetError, Fault

NAMED = {
    "list": ("data.yaml", "names: [scratch, no]"),
    "map": ("data.yaml", "names:\n  1: no\n  0: scratch\n"),
    "quoted": ("data.yaml", "names: {'0': scratch, '1': 'no'}"),
    "dataset": ("dataset.yaml", "path: /old\nnames: [scratch, no]"),
    "other": ("steel.yml", "names: [scratch, no]"),
    "darknet": ("obj.names", "scratch\nno\n"),
    "lines": ("classes.txt", "\ufeffscratch\r\nno \r\n\r\n"),
    "labelImg": ("labels/classes.txt", "scratch\nno"),
    "labelme": ("class_names.txt", "scratch\nno"),
}


@pytest.mark.parametrize("way", NAMED)
def test_names_of_classes_are_found(way: str, tmp_path: Path) -> None:
    file, text = NAMED[way]
    (tmp_path / "labels").mkdir()
    (tmp_path / file).write_bytes(text.encode())
    (tmp_path / "hyper.yaml").write_text("lr: &a 3\nbeta: *a")  # of another program
    assert class_names(open_files(tmp_path)).names == ("scratch", "no")


CONTRADICTED = {
    "yaml": (
        "dataset.yaml",
        "names: [scratch]",
        "dataset.yaml: names other classes than data.yaml",
    ),
    "lines": (
        "classes.txt",
        "scratch\nhole\nno",
        "classes.txt: names other classes than data.yaml",
    ),
    "count": ("data.yaml", "nc: 3\nnames: [scratch, hole]", "has nc: 3, but names 2 classes"),
}


@pytest.mark.parametrize("way", CONTRADICTED)
def test_contradicting_class_names_are_reported(way: str, tmp_path: Path) -> None:
    file, text, message = CONTRADICTED[way]
    root = tmp_path / "set"
    yolo(root, "images/{}.png", "labels/{}.txt", "p0", "p1")
    (root / "data.yaml").write_text("nc: 2\nnames: [scratch, hole]\n")
    (root / "labels/classes.txt").write_text("scratch\nhole\n")
    (root / "hyper.yaml").write_text("names: 3")
    assert check(root).text().endswith("nothing wrong")
    (root / file).write_text(text)
    assert message in convert(root, tmp_path / "out", "voc").text()
    assert check(root).counts == {Fault.CLASS_NAME: 1}


@pytest.mark.parametrize("file", ["dataset.yaml", "classes.txt", "labels/classes.txt"])
def test_classes_in_another_order_are_refused(file: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    yolo(root, "images/{}.png", "labels/{}.txt", "p0", "p1")
    (root / "data.yaml").write_text("names: [scratch, hole]\n")
    text = "names: [hole, scratch]" if file.endswith("yaml") else "hole\nscratch\ndent\n"
    (root / file).write_text(text)
    error = refused(root, tmp_path / "out")
    assert error.where.endswith(file)
    assert "in another order than data.yaml" in error.problem
    assert check(root).errors == 1


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + at)}: &{chr(98 + at)} [{', '.join(['*' + chr(97 + at)] * 9)}]\n" for at in range(12)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB + "names: *m",
        "names: " + "[" * 5_000,
        "- " * 5_000,
        "names: *x",
        "[" * (1 << 20) + "x",
    ],
)
def test_yaml_that_grows_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DatasetError, match="cannot be read as YAML") as caught:
        class_names(open_files(tmp_path))
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
