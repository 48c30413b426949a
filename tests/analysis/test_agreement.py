"""Submissions laid beside each other, and the file that most of them make."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.agreement import Band, agree, read_band, write_agreement
from steelscan.strip import (
    UNREAD,
    Frame,
    InputError,
    Layout,
    MaskError,
    OutputError,
    TableError,
    decode,
    encode,
    read_mask_table,
    write_mask_table,
)

FRAME, CLASSES = Frame(8, 20), 2
IMAGES = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
Answers = Callable[..., list[Path]]


def masks_of(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    made = random.random((len(IMAGES), CLASSES, *FRAME)) < 0.5
    return made & (random.random((len(IMAGES), CLASSES, 1, 1)) < 0.7)


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    def write(count: int, layout: Layout = "joined") -> list[Path]:
        paths = []
        for seed in range(count):
            rows = [
                (image, [encode(mask) for mask in masks])
                for image, masks in zip(IMAGES, masks_of(seed), strict=True)
            ]
            paths.append(tmp_path / f"answer{seed}.csv")
            write_mask_table(paths[-1], rows, layout)
        return paths

    return write


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("layout", ["joined", "columns"])
def test_the_majority_file_holds_the_majority_of_the_masks(
    answers: Answers, tmp_path: Path, count: int, ties: bool, layout: Layout
) -> None:
    out = tmp_path / "out" / "majority.csv"
    found = agree(answers(count), out, layout=layout, ties=ties, frame=FRAME)
    table = read_mask_table(out)
    assert table.layout == layout
    votes = sum(masks_of(seed).astype(int) for seed in range(count))
    held = 2 * votes > count
    if ties:
        held |= 2 * votes == count
    for image, masks in zip(IMAGES, held, strict=True):
        texts = table.texts(image, CLASSES)
        assert [decode(text, FRAME).tolist() for text in texts] == masks.tolist()
    assert found.names == (*(f"answer{seed}" for seed in range(count)), "majority")
    assert found.found.predicted[-1, :2].tolist() == held.any(axis=(2, 3)).sum(axis=0).tolist()
    assert ("exactly" in found.notes[0]) == (count % 2 == 0)


def test_what_is_written_is_what_was_found(answers: Answers, tmp_path: Path) -> None:
    found = agree(answers(3), tmp_path / "majority.csv", band=Band(((4, 4), (0, 9), (0, 1)), 4))
    text = write_agreement(found, tmp_path)
    assert (tmp_path / "agreement.txt").read_text() == text + "\n"
    told = json.loads((tmp_path / "agreement.json").read_text())
    assert told["found"] == found.found.predicted.tolist()
    assert told["dice"][0][1][-1] == pytest.approx(found.found.dice[0, 1, -1])
    assert (tmp_path / "agreement.html").read_text().count("<table>") == 6
    first = found.found.predicted[0]
    expected = first[0] != 4
    assert any(each.startswith("answer0 finds class 1") for each in found.outside) == expected
    together = int(first[:2].sum())
    assert any(f"together {together} times, not 0-1" in each for each in found.outside)
    assert "sane, of 4" in text


def test_a_band_is_scaled_to_the_strips_that_there_are(answers: Answers, tmp_path: Path) -> None:
    files = answers(2)
    for_all = agree(files, tmp_path / "m.csv", band=Band(((0, 40), (0, 40)), 40))
    assert for_all.outside == ()
    for_few = agree(files, tmp_path / "m.csv", band=Band(((0, 0), (0, 0)), 40))
    assert len(for_few.outside) >= 2
    with pytest.raises(InputError, match="has 1 ranges"):
        agree(files, tmp_path / "none.csv", band=Band(((0, 40),), 40))
    assert not (tmp_path / "none.csv").exists()


def test_a_band_is_read() -> None:
    assert read_band("82-97,0-9/1801") == Band(((82, 97), (0, 9)), 1801)
    for wrong in ("", "82-97", "9-3/10", "1-2/0", "a-b/3", "82/10"):
        with pytest.raises(InputError, match="band"):
            read_band(wrong)


def test_files_that_cannot_be_compared_are_refused(answers: Answers, tmp_path: Path) -> None:
    files = answers(2)
    out = tmp_path / "m.csv"
    with pytest.raises(InputError, match="are 1 files"):
        agree(files[:1], out)
    with pytest.raises(InputError, match="twice"):
        agree([files[0], files[0]], out)
    write_mask_table(files[1], [("a.jpg", ["", ""])])
    with pytest.raises(TableError, match=r"says nothing about 3 of 4 images, as b\.jpg"):
        agree(files, out)
    write_mask_table(files[1], [(image, ["161 1", ""]) for image in IMAGES])
    assert agree(files, out).names[1] == "answer1"
    with pytest.raises(MaskError, match="outside the frame"):
        agree(files, out, frame=FRAME)


def test_an_image_of_two_names_is_refused(answers: Answers, tmp_path: Path) -> None:
    files = answers(2, "columns")
    for file, name in zip(files, ("a.jpg", "A"), strict=True):
        write_mask_table(file, [(name, ["1 1", ""]), ("b.jpg", ["1 1", ""])], "columns")
    with pytest.raises(TableError, match=r"answer1.*lists 'A', which .*answer0.* calls 'a\.jpg'"):
        agree(files, tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_files_of_one_name_are_told_apart(answers: Answers, tmp_path: Path) -> None:
    files = answers(2)
    other = tmp_path / "other" / files[0].name
    other.parent.mkdir()
    other.write_bytes(files[1].read_bytes())
    assert agree([files[0], other], tmp_path / "m.csv").names[:2] == (str(files[0]), str(other))


def test_files_of_positive_rows_say_what_they_do_not_know(answers: Answers, tmp_path: Path) -> None:
    found = agree(answers(3, "columns"), tmp_path / "m.csv")
    assert any("No file lists clean strips" in note for note in found.notes)


def test_the_four_submissions_of_the_competition(real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "severstal" / "submissions").glob("*.csv.gz"))
    found = agree(files, tmp_path / "m.csv", frame=Frame(256, 1600))
    assert found.found.strips == 1801
    counts = dict(zip(found.names, found.found.predicted[:, :4].tolist(), strict=True))
    assert counts["khornlund_pseudo"] == [92, 1, 579, 110]
    assert (found.found.decisions[-1, :4, -1] > 0.8).all()


@pytest.mark.parametrize("layout", ["joined", "columns"])
def test_a_picture_that_could_not_be_read_has_no_vote(
    answers: Answers, tmp_path: Path, layout: Layout
) -> None:
    files = answers(3, layout)
    rows = [(image, (UNREAD,) * CLASSES) for image in IMAGES]
    write_mask_table(files[1], rows, layout)
    with pytest.raises(MaskError, match=r"answer1\.csv, image a\.jpg.*could not be read"):
        agree(files, tmp_path / "out" / "majority.csv")
    assert not (tmp_path / "out" / "majority.csv").exists()


def test_the_majority_replaces_no_input_and_nothing_else(answers: Answers, tmp_path: Path) -> None:
    files = answers(3)
    before = files[0].read_bytes()
    with pytest.raises(OutputError, match="is read by the same command"):
        agree(files, files[0])
    assert files[0].read_bytes() == before
    (tmp_path / "picture").write_bytes(b"\x89PNG")
    with pytest.raises(OutputError, match="no table of run lengths"):
        agree(files, tmp_path / "picture")
