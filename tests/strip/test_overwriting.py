"""An output replaces only files that the same command wrote."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from steelscan.pipeline import RunFolder
from steelscan.strip.errors import OutputError
from steelscan.strip.files import FileKind, check_output
from steelscan.strip.files.output import HOST
from steelscan.strip.files.overwriting import OF_A_RUN

KINDS = {
    "table": FileKind.table("table", ("a", "b"), ("a", "c")),
    "json": FileKind.json("report", "scores", "empty"),
    "page": FileKind.page("score"),
    "zip": FileKind.zip("bundle", "manifest.json"),
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "table").write_text("a,c\n1,2\n")
    (tmp_path / "marked table").write_text('\ufeff"a","b"\n', encoding="utf-8")
    (tmp_path / "json").write_text(json.dumps({"scores": 1, "empty": 2, "more": 3}))
    (tmp_path / "page").write_text('<html><div class="brand">steelscan score</div>')
    with zipfile.ZipFile(tmp_path / "zip", "w") as out:
        out.writestr("manifest.json", "{}")
    (tmp_path / "other table").write_text("a,b,c\n")
    (tmp_path / "other json").write_text(json.dumps({"scores": 1}))
    (tmp_path / "list").write_text("[1]")
    (tmp_path / "other page").write_text('<html><div class="brand">steelscan</div>')
    with zipfile.ZipFile(tmp_path / "other zip", "w") as out:
        out.writestr("a.jpg", "")
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff" * 9)
    (tmp_path / "deep json").write_text("[" * 100_000)
    return tmp_path


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_replaced_only_by_one_of_its_kind(files: Path, name: str) -> None:
    kind: FileKind = KINDS[name]
    refused = set()
    for path in files.iterdir():
        if not kind.holds(path):
            with pytest.raises(OutputError, match=f"exists and is not a {kind.name}"):
                check_output(path, kind)
            refused.add(path.name)
    assert {path.name for path in files.iterdir()} - refused == {
        own for own in (name, f"marked {name}") if (files / own).exists()
    }
    with pytest.raises(OutputError, match="not an ordinary file"):
        check_output(files, kind)
    (files / "nothing").touch()
    check_output(files / "nothing", kind)
    check_output(files / "not there", kind)


def test_an_input_is_never_replaced(files: Path) -> None:
    (files / "link").symlink_to("table")
    for path in (files / "table", files / "link", files / "." / "table"):
        with pytest.raises(OutputError, match="is an input of the same command"):
            check_output(path, KINDS["table"], [files / "other", files / "table"])


@pytest.mark.parametrize("pictures", ["train_images", "images"])
def test_the_tables_of_a_data_set_are_never_replaced(pictures: str, tmp_path: Path) -> None:
    (tmp_path / pictures).mkdir()
    for name in ("train.csv", "classes.csv", "groups.csv"):
        check_output(tmp_path / "elsewhere" / name)
        with pytest.raises(OutputError, match="belongs to the data set"):
            check_output(tmp_path / name)
    check_output(tmp_path / "folds.csv")


def test_files_of_a_run_are_never_replaced(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("run.json", "recipe.json"):
        (run / name).write_text("{}")
    (tmp_path / "link").symlink_to("run", target_is_directory=True)
    own = ["folds.csv", "likeness.json", "networks/x/metrics.csv", "submission.csv"]
    for name in own:
        for place in (run, tmp_path / "link"):
            with pytest.raises(OutputError, match="belongs to the run"):
                check_output(place / name)
    for name in ("submission-joined.csv", "tuned/thresholds.json", "compared.html"):
        check_output(run / name)
    check_output(run / "submission.csv", own=run / "submission.csv")
    with pytest.raises(OutputError, match="belongs to the run"):
        check_output(run / "folds.csv", own=run / "submission.csv")
    check_output(tmp_path / "submission.csv")


def test_all_files_of_a_run_are_known(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    names = [(name, getattr(RunFolder, name)) for name in dir(RunFolder)]
    properties = [name for name, value in names if isinstance(value, property)]
    paths = {getattr(folder, name).name for name in properties}
    assert len(paths) > 10
    assert paths <= OF_A_RUN
    assert {folder.probabilities("a").relative_to(tmp_path).parts[0]} <= OF_A_RUN


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as done:
        pass
    for name in ("a.csv", "b.csv"):
        (tmp_path / f".{name}.{HOST}-{done.pid}-1.part").touch()
    check_output(tmp_path / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == [f".b.csv.{HOST}-{done.pid}-1.part"]
