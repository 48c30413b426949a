"""The submission of a finished run, written again in either layout."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from steelscan.data import open_dataset
from steelscan.pipeline import Options, Outcome, RunFolder, predict, submit
from steelscan.pipeline.predicted_strips import read_predicted_strips
from steelscan.pipeline.train import train
from steelscan.recipes import Recipe
from steelscan.strip import UNREAD
from steelscan.strip.errors import (
    DatasetError,
    InputError,
    MaskError,
    OutputError,
    PictureError,
    RunError,
)
from steelscan.strip.files import lock_folder
from steelscan.strip.tables import Layout, MaskTable, read_mask_table, write_mask_table

Finished = tuple[Path, Outcome]
NAMES = ("a.jpg", "b.jpg", "c.jpg")
TEXTS = (("1 3 9 2", "", "", "4 1"), ("", "", "", ""), ("", "64 64", "", ""))


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> Path:
    """A run without its networks, whose answers are planted: one of three strips is clean."""
    place = tmp_path / "run"
    place.mkdir()
    for name in ("recipe.json", "run.json", "thresholds.json"):
        shutil.copy(finished[0] / name, place)
    write_mask_table(place / "submission.csv", zip(NAMES, TEXTS, strict=True), "columns")
    rows = [f"{name},64,160" for name in NAMES]
    (place / "predicted.csv").write_text("\n".join(["image,height,width", *rows]) + "\n")
    return place


def told(table: MaskTable) -> dict[str, tuple[str, ...]]:
    return {name: table.texts(name, 4) for name in table.rows}


def test_training_lists_every_strip_that_it_answers(finished: Finished, strips: Path) -> None:
    dataset = open_dataset(strips)
    listed = read_predicted_strips(RunFolder(finished[0]))
    assert tuple(listed) == dataset.test_names
    assert list(listed.values()) == [dataset.test_frame(row) for row in range(len(listed))]


@pytest.mark.parametrize("layout", ["joined", "columns"])
def test_a_finished_run_is_submitted_in_both_layouts(
    finished: Finished, tmp_path: Path, layout: Layout
) -> None:
    own = read_mask_table(finished[0] / "submission.csv")
    out = tmp_path / "new" / "out.csv"
    done = submit(finished[0], out, layout=layout)
    table = read_mask_table(out)
    assert table.layout == done.layout == layout
    names = sorted(read_predicted_strips(RunFolder(finished[0])))
    assert [table.texts(name, 4) for name in names] == [own.texts(name, 4) for name in names]
    assert done.images == len(names) == 3


def test_the_joined_layout_has_a_row_for_every_pair_and_the_other_for_defects(run: Path) -> None:
    joined = submit(run, layout="joined")
    assert joined.path == run / "submission-joined.csv"
    lines = joined.path.read_text().splitlines()
    assert lines[0] == "ImageId_ClassId,EncodedPixels"
    keys = [f"{name}_{class_id}" for name in NAMES for class_id in (1, 2, 3, 4)]
    assert [line.split(",")[0] for line in lines[1:]] == keys
    assert told(read_mask_table(joined.path)) == dict(zip(NAMES, TEXTS, strict=True))
    columns = submit(run, layout="columns")
    assert columns.path == run / "submission-columns.csv"
    assert columns.path.read_bytes() == (run / "submission.csv").read_bytes()


def test_what_is_told_is_what_was_written(run: Path) -> None:
    done = submit(run)
    assert done.layout == "columns"  # as the data
    assert (done.images, done.clean, done.unread) == (3, 1, ())
    assert list(done.per_class.values()) == [1, 1, 0, 1]
    assert done.sha256 == hashlib.sha256(done.path.read_bytes()).hexdigest()
    assert done.sha256 in done.text()
    assert str(done.path) in done.text()


def test_layouts_turn_into_each_other_and_back(run: Path) -> None:
    """The run's own file may have been written over in the other layout."""
    before = (run / "submission.csv").read_bytes()
    submit(run, run / "submission.csv", layout="joined")
    assert (run / "submission.csv").read_bytes() != before
    submit(run, run / "submission.csv", layout="columns")
    assert (run / "submission.csv").read_bytes() == before


def test_rows_are_sorted_by_name(run: Path) -> None:
    backwards = zip(NAMES[::-1], TEXTS[::-1], strict=True)
    write_mask_table(run / "submission.csv", backwards, "columns")
    done = submit(run, layout="joined")
    assert tuple(read_mask_table(done.path).rows) == NAMES


@pytest.mark.parametrize("layout", ["joined", "columns"])
@pytest.mark.parametrize("listed_by_training", [False, True])
def test_a_strip_that_could_not_be_read_has_rows_that_say_so_and_is_named(
    run: Path, layout: Layout, listed_by_training: bool
) -> None:
    listed = (run / "predicted.csv").read_text()
    (run / "predicted.csv").write_text(listed + "bb.jpg,,\n")
    if listed_by_training:  # an older program left it out of the table
        rows = [*zip(NAMES, TEXTS, strict=True), ("bb.jpg", (UNREAD,) * 4)]
        write_mask_table(run / "submission.csv", rows, "columns")
    done = submit(run, layout=layout)
    assert (done.images, done.clean, done.unread) == (3, 1, ("bb.jpg",))
    assert list(done.per_class.values()) == [1, 1, 0, 1]
    assert "bb.jpg" in done.text()
    table = read_mask_table(done.path)
    assert table.unread == {"bb.jpg"}
    assert table.texts("bb.jpg", 4) == (UNREAD,) * 4
    read = {name: row for name, row in table.rows.items() if name not in table.unread}
    kept = told(replace(table, rows=read))
    found = {name: texts for name, texts in zip(NAMES, TEXTS, strict=True) if any(texts)}
    assert kept == (found if layout == "columns" else dict(zip(NAMES, TEXTS, strict=True)))
    assert list(table.rows) == sorted(table.rows)


def test_an_answer_for_a_strip_that_could_not_be_read_is_refused(run: Path) -> None:
    listed = (run / "predicted.csv").read_text()
    (run / "predicted.csv").write_text(listed.replace("a.jpg,64,160", "a.jpg,,"))
    with pytest.raises(RunError, match=r"has masks of a\.jpg, which could not be read"):
        submit(run)


def test_training_that_leaves_a_test_strip_out_says_so_to_submit(
    finished: Finished, strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(strips, data)
    shutil.copytree(finished[0], run)
    bad = sorted((data / "test_images").iterdir())[1]
    bad.write_bytes(bad.read_bytes()[:-300])
    (run / "submission.jsonl").unlink()  # or what was answered before would stand
    train(tiny, data, run, Options(device="cpu", on_error="skip"))
    done = submit(run, layout="joined")
    assert (done.images, done.unread) == (2, (bad.name,))
    assert read_mask_table(run / "submission.csv").unread == {bad.name}


def planted(run: Path, rows: list[tuple[str, tuple[str, ...]]], layout: Layout) -> None:
    write_mask_table(run / "submission.csv", rows, layout)


@pytest.mark.parametrize(
    ("spoil", "error", "match"),
    [
        (lambda run: planted(run, [("z.jpg", TEXTS[0])], "columns"), RunError, "which is no image"),
        (
            lambda run: planted(run, list(zip(NAMES[:2], TEXTS[:2], strict=True)), "joined"),
            RunError,
            r"lacks rows of c\.jpg",
        ),
        (
            lambda run: planted(run, [(name, ("",) * 3) for name in NAMES], "joined"),
            RunError,
            r"lacks rows of a\.jpg",
        ),
        (lambda run: planted(run, [("a.jpg", ("1 1",) * 5)], "columns"), RunError, "has class 5"),
        (
            lambda run: planted(run, [("a.jpg", ("10240 2",))], "columns"),
            MaskError,
            r"a\.jpg, class 1: run lengths reach outside the frame 64x160",
        ),
        (lambda run: (run / "submission.csv").unlink(), RunError, "holds no submission"),
        (lambda run: (run / "predicted.csv").unlink(), RunError, "holds no predicted"),
        (lambda run: (run / "predicted.csv").write_text("image\na\n"), RunError, "is broken"),
        (lambda run: (run / "thresholds.json").unlink(), RunError, "has not ended"),
        (lambda run: (run / "run.json").unlink(), RunError, "is not a run"),
    ],
)
def test_answers_that_do_not_hold_together_are_refused_and_nothing_is_written(
    run: Path, spoil: Callable[[Path], object], error: type[Exception], match: str
) -> None:
    spoil(run)
    with pytest.raises(error, match=match) as raised:
        submit(run, layout="joined")
    assert "\n" not in str(raised.value)
    assert not (run / "submission-joined.csv").exists()


def test_a_place_that_cannot_be_written_is_one_error(run: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        submit(run, Path("/proc/out.csv"))


@pytest.mark.parametrize(
    "name",
    ["run.json", "recipe.json", "thresholds.json", "predicted.csv", "folds.csv", "networks/a.csv"],
)
def test_files_of_the_run_are_not_replaced_by_its_submission(run: Path, name: str) -> None:
    before = {path: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(OutputError, match=r"belongs to the run|exists and is not a table"):
        submit(run, run / name, layout="joined")
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_nothing_else_is_replaced_by_a_submission(run: Path, tmp_path: Path) -> None:
    for content in (b"a,b\n1,2\n", b"\xff\xd8\xff\xe0", b"{}"):
        path = tmp_path / "theirs"
        path.write_bytes(content)
        with pytest.raises(OutputError, match="not a table of run lengths"):
            submit(run, path)
        assert path.read_bytes() == content
    other = tmp_path / "other"
    shutil.copytree(run, other)
    with pytest.raises(OutputError, match="belongs to the run"):
        submit(run, other / "submission.csv")


@pytest.fixture
def pictures(strips: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    shutil.copytree(strips / "test_images", folder)
    return folder


def test_other_pictures_are_answered_as_predict_answers_them(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    done = submit(finished[0], out, layout="joined", images=str(pictures), device="cpu")
    predict(finished[0], str(pictures), tmp_path / "predicted", device="cpu", overlays=False)
    expected = read_mask_table(tmp_path / "predicted" / "submission.csv")
    table = read_mask_table(out)
    assert sorted(table.rows) == sorted(path.name for path in pictures.iterdir())
    for name in table.rows:
        assert table.texts(name, 4) == expected.texts(name, 4)
    assert done.images == 3
    assert [path.name for path in tmp_path.iterdir() if "jsonl" in path.name] == []


def test_a_bad_picture_stops_or_is_left_out_and_the_next_call_goes_on(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    bad = sorted(pictures.iterdir())[1]
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-300])
    with pytest.raises(PictureError, match=bad.name):
        submit(finished[0], out, images=str(pictures), device="cpu")
    assert not out.exists()
    assert [path for path in tmp_path.iterdir() if "jsonl" in path.name]
    bad.write_bytes(whole)
    done = submit(finished[0], out, layout="joined", images=str(pictures), device="cpu")
    names = sorted(path.name for path in pictures.iterdir())
    assert list(read_mask_table(out).rows) == names
    bad.write_bytes(whole[:-300])
    done = submit(finished[0], out, images=str(pictures), device="cpu", on_error="skip")
    assert (done.images, done.unread) == (2, (bad.name,))


def test_answers_of_a_call_that_stopped_count_for_the_same_content_alone(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    first, bad, *_ = sorted(pictures.iterdir())
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-300])
    with pytest.raises(PictureError, match=bad.name):
        submit(finished[0], out, images=str(pictures), device="cpu")
    bad.write_bytes(whole)
    first.write_bytes(whole)  # other steel under the same name
    submit(finished[0], out, layout="joined", images=str(pictures), device="cpu")
    table = read_mask_table(out)
    assert table.texts(first.name, 4) == table.texts(bad.name, 4)
    assert any(table.texts(bad.name, 4))


def test_two_submissions_into_one_file_are_one_too_many(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.csv"
    with (
        lock_folder(tmp_path, ".out.csv.lock"),
        pytest.raises(RunError, match=r"out\.csv: is in use by another process"),
    ):
        submit(finished[0], out, images=str(pictures), device="cpu")
    assert not out.exists()


def test_the_runs_own_answers_are_not_mixed_with_those_for_other_pictures(
    finished: Finished, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is needed with"):
        submit(finished[0], images=str(pictures), device="cpu")
    with pytest.raises(InputError, match="own submission"):
        submit(finished[0], finished[0] / "submission.csv", images=str(pictures), device="cpu")
    with pytest.raises(DatasetError, match="does not exist"):
        submit(finished[0], tmp_path / "out.csv", images=str(tmp_path / "no"), device="cpu")
