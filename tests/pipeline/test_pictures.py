"""What a prediction writes, by a stub in place of networks: whose it is, and what it is made of."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan.decision import Prediction, distinct_pictures, predict_pictures
from steelscan.strip import Classes, Frame, Masks, Picture
from steelscan.strip.errors import DatasetError, InputError, OutputError, PictureError, RunError
from steelscan.strip.tables import Layout, StreamedMaskTable, read_mask_table

CLASSES = Classes(names=("dark", "light"))


def save(path: Path, seed: int, shape: tuple[int, int] = (6, 9)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(path)


def masks_of(picture: Picture) -> Masks:
    return np.stack([picture < 60, picture > 200])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for number, name in enumerate(("a.png", "b.png", "deep/c.png", "d.png")):
        save(folder / name, number)
    return folder


def predict(
    pictures: Path | str,
    out: Path,
    made_of: bytes = b"run",
    *,
    stub: Callable[[Picture], Masks] = masks_of,
    skip: bool = False,
    layout: Layout = "joined",
    frames: tuple[Frame, ...] = (),
) -> Prediction:
    sources = distinct_pictures(str(pictures), out)
    return predict_pictures(
        sources,
        stub,
        out,
        CLASSES,
        layout,
        made_of=made_of,
        on_error="skip" if skip else "stop",
        overlays=True,
        frames=frames,
    )


def written(out: Path) -> dict[str, bytes]:
    """The masks, the overlays and the table."""
    paths = [*out.rglob("*.png"), *out.rglob("*.jpg"), *out.rglob("*.csv")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


NAMES = {"a.png", "b.png", "deep/c.png", "d.png"}


def test_what_predictions_wrote_below_the_pictures_is_never_predicted(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(pictures, tmp_path / "apart")
    first = written(tmp_path / "apart")
    (pictures / "link").symlink_to(tmp_path / "apart", target_is_directory=True)
    (pictures / "linked.jpg").symlink_to(tmp_path / "apart" / "overlays" / "a.jpg")
    predict(pictures, pictures / "deep" / "older", b"another run")
    for out in (pictures / "out", pictures / "deep" / "out", tmp_path / "elsewhere"):
        for where in (pictures, f"{pictures}/**/*.*", pictures):
            done = predict(where, out)
            assert done.pictures == 4
            assert written(out) == first
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        for path in sorted(pictures.rglob("*.*")):
            packed.write(path, path.relative_to(pictures))
    (pictures / "linked.jpg").unlink()
    assert {each.name for each in distinct_pictures(str(tmp_path / "all.zip"), tmp_path / "x")} == {
        *NAMES,
        "linked.jpg",  # a copy by now
    }
    monkeypatch.chdir(pictures)
    assert predict(".", Path("out")).pictures == 4
    with pytest.raises(DatasetError, match="only pictures that steelscan predict wrote"):
        distinct_pictures(str(pictures / "out" / "overlays"), tmp_path / "x")


def test_the_folder_of_the_pictures_is_no_output(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(pictures, target_is_directory=True)
    monkeypatch.chdir(pictures)
    for where, out in [
        (pictures, pictures),
        (pictures, tmp_path / "link"),
        (".", Path()),
        (f"{pictures}/*.png", pictures),
        (pictures / "deep", Path("deep")),
    ]:
        with pytest.raises(InputError, match="is the folder of the pictures"):
            predict(where, out)
    assert {path.name for path in pictures.iterdir()} == {"a.png", "b.png", "d.png", "deep"}


HOLD = """
import sys
from pathlib import Path
from steelscan.decision.claim import claimed
with claimed(Path(sys.argv[1]), b"run"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_works_there_and_a_killed_one_holds_nothing(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    program = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"held"
        with pytest.raises(RunError, match=f"in use by another process .process {other.pid} on"):
            predict(pictures, out)
        assert not (out / "masks").exists()
        other.kill()
    assert predict(pictures, out).pictures == 4


def stopping(after: int) -> Callable[[Picture], Masks]:
    """Predicts so many pictures, then is interrupted."""
    count = 0

    def stub(picture: Picture) -> Masks:
        nonlocal count
        count += 1
        if count > after:
            raise KeyboardInterrupt
        return masks_of(picture)

    return stub


def test_an_answer_counts_for_the_same_content_alone(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(pictures, out, stub=stopping(3))
    assert not (out / "submission.csv").exists()
    asked: list[bytes] = []

    def counting(picture: Picture) -> Masks:
        asked.append(picture.tobytes())
        return masks_of(picture)

    save(pictures / "a.png", 99)  # other steel under the same name and of the same size
    (pictures / "b.png").unlink()
    predict(pictures, out, stub=counting)
    assert len(asked) == 2  # the changed one, and the one that was not reached
    predict(pictures, tmp_path / "fresh")
    assert written(out) == written(tmp_path / "fresh")


def test_what_is_missing_of_an_answer_is_made_again(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(pictures, out, stub=stopping(3))
    (out / "masks" / "a.png").unlink()
    (out / "masks" / ".b.png.1.part").write_bytes(b"left by a kill")
    predict(pictures, out)
    predict(pictures, tmp_path / "fresh")
    assert written(out) == written(tmp_path / "fresh")
    assert not list(out.rglob("*.part"))


def test_a_finished_prediction_given_fewer_pictures_keeps_nothing_of_the_others(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    predict(pictures, out)
    (pictures / "deep" / "c.png").unlink()
    (pictures / "a.png").write_bytes(b"no picture any more")
    done = predict(pictures, out, skip=True)
    assert [name for name, _ in done.skipped] == ["a.png"]
    for folder in ("masks", "overlays"):
        assert {path.stem for path in (out / folder).rglob("*.*")} == {"b", "d"}
        assert not (out / folder / "deep").exists()
    table = read_mask_table(out / "submission.csv")
    assert list(table.rows) == ["a.png", "b.png", "d.png"]
    assert table.unread == {"a.png"}


def test_a_table_that_somebody_changed_is_not_written_over(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(pictures, out)
    table = out / "submission.csv"
    table.write_text(table.read_text() + "a.png_3,1 1\n")
    with pytest.raises(RunError, match="was changed since"):
        predict(pictures, out)
    assert table.read_text().endswith("a.png_3,1 1\n")
    table.rename(tmp_path / "mine.csv")
    predict(pictures, out)


@pytest.mark.parametrize("name", ["masks/a.png", "overlays/x.jpg", "submission.csv"])
def test_a_folder_that_holds_others_work_is_left_alone(
    pictures: Path, tmp_path: Path, name: str
) -> None:
    theirs = tmp_path / "data" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"drawn by hand")
    with pytest.raises(RunError, match="which no steelscan predict wrote"):
        predict(pictures, tmp_path / "data")
    assert theirs.read_bytes() == b"drawn by hand"


def test_a_run_folder_is_no_output(pictures: Path, tmp_path: Path) -> None:
    for name in ("run.json", "recipe.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(OutputError, match="belongs to the run"):
        predict(pictures, tmp_path)


ODD = (
    'q"uote.png',
    "com,ma.png",
    "new\nline.png",
    "re\rturn.png",
    "esc\x1b[31m.png",
    " blank .png",
)


@pytest.mark.parametrize("layout", ["joined", "columns"])
def test_odd_names_come_back_from_every_table(tmp_path: Path, layout: Layout) -> None:
    for number, name in enumerate(ODD):
        save(tmp_path / "in" / name, number)
    (tmp_path / "in" / "zz\n\r.png").write_bytes(b"no picture")
    done = predict(tmp_path / "in", tmp_path / "out", layout=layout, skip=True)
    assert done.pictures == len(ODD)
    path = tmp_path / "out" / "submission.csv"
    assert set(read_mask_table(path).rows) == {*ODD, "zz\n\r.png"}
    assert [image for image, _ in StreamedMaskTable(path)] == sorted([*ODD, "zz\n\r.png"])


def test_names_as_long_as_a_disk_allows(tmp_path: Path) -> None:
    names = ["a" * 251 + ".png", "ä" * 125 + ".png"]
    for number, name in enumerate(names):
        save(tmp_path / "in" / name, number)
    assert predict(tmp_path / "in", tmp_path / "out").pictures == 2
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == sorted(names)


@pytest.mark.parametrize("other", ["A.png", "a.jpg", "A.JPG"])
def test_pictures_whose_masks_would_be_one_file_on_some_disk_are_refused(
    pictures: Path, tmp_path: Path, other: str
) -> None:
    save(pictures / other, 5)
    with pytest.raises(InputError, match=r"differs from .* only in the suffix"):
        predict(pictures, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_accents_that_are_stored_in_two_ways_are_one_name(tmp_path: Path) -> None:
    for number, name in enumerate(("\u00e4.png", "a\u0308.png")):
        save(tmp_path / "in" / name, number)
    with pytest.raises(InputError, match="in how accents are stored"):
        predict(tmp_path / "in", tmp_path / "out")


def test_pictures_of_another_size_are_noted(pictures: Path, tmp_path: Path) -> None:
    assert not predict(pictures, tmp_path / "out", frames=(Frame(6, 9),)).notes
    save(pictures / "e.png", 7, (4, 5))
    (note,) = predict(pictures, tmp_path / "out", frames=(Frame(6, 9),)).notes
    assert "1 of 5 pictures" in note
    assert "1 of 4x5" in note


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_among_the_pictures_is_listed_and_never_waited_for(
    pictures: Path, tmp_path: Path
) -> None:
    os.mkfifo(pictures / "pipe.png")
    (pictures / "loop.png").symlink_to("loop.png")
    (pictures / "gone.png").symlink_to("nothing.png")
    done = predict(pictures, tmp_path / "out", skip=True)
    assert [name for name, _ in done.skipped] == ["gone.png", "loop.png", "pipe.png"]
    with pytest.raises(PictureError, match=r"gone\.png"):
        predict(pictures, tmp_path / "stop")
    for where in (pictures / "pipe.png", Path("/dev/zero")):
        with pytest.raises(DatasetError, match="no ordinary file"):
            distinct_pictures(str(where), tmp_path / "x")


def test_a_damaged_log_is_one_error(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(pictures, out, stub=stopping(3))
    whole = (out / "predictions.jsonl").read_bytes()
    first = whole.splitlines()[0].partition(b" ")[2]
    image = json.loads(first)[0]
    valid = [json.dumps([image, texts, ""]).encode() + b"\n" for texts in (None, [], "abc", ["x"])]
    for line in (*valid, first + b"\n", whole.replace(b"1", b"2").splitlines()[0] + b"\n"):
        (out / "predictions.jsonl").write_bytes(whole + line)
        with pytest.raises(RunError, match=r"predictions\.jsonl: is damaged"):
            predict(pictures, out)
    for damage in (b"\xff\xfe\n", b"{}\n", b"[1, 2, 3]\n", b'["a", 5]\n', b"[" * 9999 + b"\n"):
        (out / "predictions.jsonl").write_bytes(damage)
        with pytest.raises(RunError, match=r"predictions\.jsonl: is damaged"):
            predict(pictures, out)
