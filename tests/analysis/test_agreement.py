"""Submissions compared with each other, and the file of their majority."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.agreement import Band, compare_submissions, read_band, write_agreement
from steelscan.strip import UNREAD, Frame, decode, encode
from steelscan.strip.errors import InputError, MaskError, OutputError, TableError
from steelscan.strip.tables import Layout, read_mask_table, write_mask_table

FRAME, CLASSES = Frame(8, 20), 2
IMAGES = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
Submissions = Callable[..., list[Path]]


def masks_of(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    made = random.random((len(IMAGES), CLASSES, *FRAME)) < 0.5
    return made & (random.random((len(IMAGES), CLASSES, 1, 1)) < 0.7)


@pytest.fixture
def submissions(tmp_path: Path) -> Submissions:
    def write(count: int, layout: Layout = "joined") -> list[Path]:
        paths = []
        for seed in range(count):
            rows = [
                (image, [encode(mask) for mask in masks])
                for image, masks in zip(IMAGES, masks_of(seed), strict=True)
            ]
            paths.append(tmp_path / f"submission{seed}.csv")
            write_mask_table(paths[-1], rows, layout)
        return paths

    return write


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("layout", ["joined", "columns"])
def test_the_majority_file_holds_the_majority_of_the_masks(
    submissions: Submissions, tmp_path: Path, count: int, ties: bool, layout: Layout
) -> None:
    out = tmp_path / "out" / "majority.csv"
    found = compare_submissions(submissions(count), out, layout=layout, ties=ties, frame=FRAME)
    table = read_mask_table(out)
    assert table.layout == layout
    votes = sum(masks_of(seed).astype(int) for seed in range(count))
    held = 2 * votes > count
    if ties:
        held |= 2 * votes == count
    for image, masks in zip(IMAGES, held, strict=True):
        texts = table.texts(image, CLASSES)
        assert [decode(text, FRAME).tolist() for text in texts] == masks.tolist()
    assert found.names == (*(f"submission{seed}" for seed in range(count)), "majority")
    assert found.agreement.predicted[-1, :2].tolist() == held.any(axis=(2, 3)).sum(axis=0).tolist()
    assert ("exactly" in found.notes[0]) == (count % 2 == 0)


def test_text_json_and_page_have_the_same_numbers(submissions: Submissions, tmp_path: Path) -> None:
    found = compare_submissions(
        submissions(3), tmp_path / "majority.csv", band=Band(((4, 4), (0, 9), (0, 1)), 4)
    )
    text = write_agreement(found, tmp_path)
    assert (tmp_path / "agreement.txt").read_text() == text + "\n"
    written = json.loads((tmp_path / "agreement.json").read_text())
    assert written["agreement"]["predicted"] == found.agreement.predicted.tolist()
    for name in ("decisions", "kappa", "dice"):  # null if undefined
        values = np.array(written["agreement"][name], np.float64)
        assert np.array_equal(values, getattr(found.agreement, name), equal_nan=True)
    assert (tmp_path / "agreement.html").read_text().count("<table>") == 6
    first = found.agreement.predicted[0]
    expected = first[0] != 4
    assert (
        any(each.startswith("submission0 predicts class 1") for each in found.deviations)
        == expected
    )
    together = int(first[:2].sum())
    assert any(f"together {together} times, not 0-1" in each for each in found.deviations)
    assert "plausible," in text


def test_a_band_is_scaled_to_the_strips_that_there_are(
    submissions: Submissions, tmp_path: Path
) -> None:
    files = submissions(2)
    for_all = compare_submissions(files, tmp_path / "m.csv", band=Band(((0, 40), (0, 40)), 40))
    assert for_all.deviations == ()
    for_few = compare_submissions(files, tmp_path / "m.csv", band=Band(((0, 0), (0, 0)), 40))
    assert len(for_few.deviations) >= 2
    with pytest.raises(InputError, match="has 1 ranges"):
        compare_submissions(files, tmp_path / "none.csv", band=Band(((0, 40),), 40))
    assert not (tmp_path / "none.csv").exists()


def test_a_band_is_read() -> None:
    assert read_band("82-97,0-9/1801") == Band(((82, 97), (0, 9)), 1801)
    for wrong in ("", "82-97", "9-3/10", "1-2/0", "a-b/3", "82/10"):
        with pytest.raises(InputError, match="band"):
            read_band(wrong)


def test_files_that_cannot_be_compared_are_refused(
    submissions: Submissions, tmp_path: Path
) -> None:
    files = submissions(2)
    out = tmp_path / "m.csv"
    with pytest.raises(InputError, match="are 1 files"):
        compare_submissions(files[:1], out)
    with pytest.raises(InputError, match="twice"):
        compare_submissions([files[0], files[0]], out)
    write_mask_table(files[1], [("a.jpg", ["", ""])])
    with pytest.raises(TableError, match=r"has no rows for 3 of 4 images, such as b\.jpg"):
        compare_submissions(files, out)
    write_mask_table(files[1], [(image, ["161 1", ""]) for image in IMAGES])
    assert compare_submissions(files, out).names[1] == "submission1"
    with pytest.raises(MaskError, match="outside the frame"):
        compare_submissions(files, out, frame=FRAME)


def test_an_image_of_two_names_is_refused(submissions: Submissions, tmp_path: Path) -> None:
    files = submissions(2, "columns")
    for file, name in zip(files, ("a.jpg", "A"), strict=True):
        write_mask_table(file, [(name, ["1 1", ""]), ("b.jpg", ["1 1", ""])], "columns")
    with pytest.raises(
        TableError, match=r"submission1.*lists 'A', which .*submission0.* calls 'a\.jpg'"
    ):
        compare_submissions(files, tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_files_of_one_name_are_called_by_their_paths(
    submissions: Submissions, tmp_path: Path
) -> None:
    files = submissions(2)
    other = tmp_path / "other" / files[0].name
    other.parent.mkdir()
    other.write_bytes(files[1].read_bytes())
    assert compare_submissions([files[0], other], tmp_path / "m.csv").names[:2] == (
        str(files[0]),
        str(other),
    )


def test_a_note_says_that_files_of_positive_rows_omit_clean_strips(
    submissions: Submissions, tmp_path: Path
) -> None:
    found = compare_submissions(submissions(3, "columns"), tmp_path / "m.csv")
    assert any("No file lists clean strips" in note for note in found.notes)


def test_the_four_submissions_of_the_competition(real_data: Path, tmp_path: Path) -> None:
    files = sorted((real_data / "severstal" / "submissions").glob("*.csv.gz"))
    found = compare_submissions(files, tmp_path / "m.csv", frame=Frame(256, 1600))
    assert found.agreement.strips == 1801
    counts = dict(zip(found.names, found.agreement.predicted[:, :4].tolist(), strict=True))
    assert counts["khornlund_pseudo"] == [92, 1, 579, 110]
    assert (found.agreement.decisions[-1, :4, -1] > 0.8).all()


@pytest.mark.parametrize("layout", ["joined", "columns"])
def test_a_picture_that_could_not_be_read_has_no_vote(
    submissions: Submissions, tmp_path: Path, layout: Layout
) -> None:
    files = submissions(3, layout)
    rows = [(image, (UNREAD,) * CLASSES) for image in IMAGES]
    write_mask_table(files[1], rows, layout)
    with pytest.raises(MaskError, match=r"submission1\.csv, image a\.jpg.*could not be read"):
        compare_submissions(files, tmp_path / "out" / "majority.csv")
    assert not (tmp_path / "out" / "majority.csv").exists()


def test_the_majority_replaces_no_input_and_nothing_else(
    submissions: Submissions, tmp_path: Path
) -> None:
    files = submissions(3)
    before = files[0].read_bytes()
    with pytest.raises(OutputError, match="is an input of the same command"):
        compare_submissions(files, files[0])
    assert files[0].read_bytes() == before
    (tmp_path / "picture").write_bytes(b"\x89PNG")
    with pytest.raises(OutputError, match="not a table of run lengths"):
        compare_submissions(files, tmp_path / "picture")
