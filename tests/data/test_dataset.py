"""Data sets in every layout, intact and damaged."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from steelscan.data import Dataset, check_trainable, open_dataset
from steelscan.data.content import _MANY
from steelscan.formats import convert
from steelscan.strip import encode
from steelscan.strip.errors import DatasetError, InputError, MaskError, PictureError, TableError
from steelscan.strip.tables import read_mask_table

BuildSet = Callable[..., Path]
Save = Callable[..., bytes]
Damage = Callable[[Path], object]


def content(dataset: Dataset) -> list[bytes]:
    """Return the content of a data set as bytes."""
    strips = range(len(dataset))
    return [dataset.picture(at).tobytes() + dataset.masks(at).tobytes() for at in strips]


def agree(one: Dataset, other: Dataset) -> None:
    assert one.names == other.names
    assert one.frames == other.frames
    assert one.classes == other.classes
    assert np.array_equal(one.present, other.present)
    assert one.group_labels == other.group_labels
    assert one.test_names == other.test_names
    assert one.fingerprint == other.fingerprint
    assert content(one) == content(other)


def test_competition(competition: BuildSet) -> None:
    dataset = open_dataset(competition())
    assert dataset.names == tuple(f"s{number}.jpg" for number in range(8))
    assert set(dataset.frames) == {(24, 40)}
    assert dataset.classes.names == ("1", "2")
    assert dataset.test_names == ("t0.jpg", "t1.jpg")
    assert dataset.test_picture(1).shape == (24, 40)
    assert (dataset.layout, dataset.skipped, dataset.group_labels) == ("columns", (), None)
    for at in range(len(dataset)):
        masks = dataset.masks(at)
        assert masks.dtype == np.bool_
        assert masks.shape == (2, 24, 40)
        assert masks.any(axis=(1, 2)).tolist() == dataset.present[at].tolist()
        assert dataset.picture(at).shape == (24, 40)
    assert not dataset.present[0].any()


def test_both_forms_of_train_csv_are_one_data_set(competition: BuildSet) -> None:
    columns, joined = open_dataset(competition("columns")), open_dataset(competition("joined"))
    assert joined.layout == "joined"
    agree(columns, joined)


def test_both_layouts_have_the_same_masks(competition: BuildSet, indexed: BuildSet) -> None:
    one, other = open_dataset(competition()), open_dataset(indexed())
    assert other.classes.names == ("scratch", "hole")
    assert other.layout == "joined"
    assert np.array_equal(one.present, other.present)
    for at in range(len(one)):
        assert np.array_equal(one.masks(at), other.masks(at))


@pytest.mark.parametrize("form", ["competition", "indexed"])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("top", ["", "severstal data"])
def test_a_zip_is_the_folder(
    form: str,
    backwards: bool,
    top: str,
    zipped: Callable[..., Path],
    request: pytest.FixtureRequest,
) -> None:
    root = request.getfixturevalue(form)()
    agree(open_dataset(root), open_dataset(zipped(root, top, backwards)))


def test_one_folder_down(competition: BuildSet, tmp_path: Path) -> None:
    root = competition()
    outer = tmp_path / "outer"
    outer.mkdir()
    root.rename(outer / "inner")
    assert len(open_dataset(outer)) == 8


@pytest.mark.parametrize("form", ["competition", "indexed"])
def test_pickled(form: str, zipped: Callable[..., Path], request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(form)()
    for path in (root, zipped(root)):
        dataset = open_dataset(path)
        before = content(dataset)
        packed = pickle.dumps(dataset)
        assert len(packed) < 20_000
        assert content(pickle.loads(packed)) == before


def test_forked_while_the_zip_is_open(competition: BuildSet, zipped: Callable[..., Path]) -> None:
    dataset = open_dataset(zipped(competition()))
    expected = content(dataset)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if all(content(dataset) == expected for _ in range(5)) else 1)
        children.append(child)
    assert all(content(dataset) == expected for _ in range(5))
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]


def test_the_fingerprint_changes_with_the_data(competition: BuildSet) -> None:
    root = competition()
    seen = {open_dataset(root).fingerprint}
    picture, table = root / "train_images" / "s1.jpg", root / "train.csv"
    changes: list[Callable[[], object]] = [
        lambda: picture.write_bytes(picture.read_bytes() + b"\0"),
        lambda: table.write_text(table.read_text().replace("s1.jpg,1,", "s1.jpg,1,1 1 ")),
        lambda: (root / "classes.csv").write_text("value,name\n1,scratch\n2,hole\n"),
        lambda: (root / "classes.csv").write_text("value,name\n1,hole\n2,scratch\n"),
        lambda: picture.with_name("s0.jpg").unlink(),
    ]
    for number, change in enumerate(changes, start=2):
        change()
        seen.add(open_dataset(root).fingerprint)
        assert len(seen) == number
    shutil.copytree(root, root.with_name("copy"))
    assert open_dataset(root.with_name("copy")).fingerprint in seen
    (root / "notes.txt").write_text("not part of it")
    assert open_dataset(root).fingerprint in seen


def test_groups(indexed: BuildSet) -> None:
    root = indexed(strips=4)
    (root / "groups.csv").write_text("image,group\ns3,b\ns0.jpg,a\ns1,a\ns2.jpg,7\nelsewhere,9\n")
    assert open_dataset(root).group_labels == ("a", "a", "7", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,group\ns0,a\n", "has no group for 3 of 4 pictures, as s1.jpg"),
        ("image,group\ns0,a\ns1,a\ns2,a\ns3,a\ns0,b\n", "puts s0 into two groups"),
        ("picture,group\ns0,a\n", "Expected the columns image,group"),
        ("image,group\ns0,\n", "empty cell in row 2"),
        ("image,group\n\n\ns0,\n", "empty cell in row 4"),
        ("image,group\ns0,1\ns1\n", "row 3 has 1 cells, the header has 2"),
        ("", "is empty"),
    ],
)
@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_faulty_groups(indexed: BuildSet, text: str, message: str, on_error: str) -> None:
    root = indexed(strips=4)
    (root / "groups.csv").write_text(text)
    with pytest.raises((DatasetError, TableError), match=message):
        open_dataset(root, on_error)  # type: ignore[arg-type]


def test_classes_of_any_pixel_value(indexed: BuildSet) -> None:
    root = indexed()
    for path in (root / "masks").iterdir():
        mask = np.asarray(Image.open(path))
        Image.fromarray(np.where(mask == 2, 255, mask).astype(np.uint8)).save(path)
    (root / "classes.csv").write_text("value,name\n255,hole\n0,background\n1,scratch\n")
    dataset = open_dataset(root)
    assert dataset.classes.names == ("scratch", "hole")
    assert dataset.present[:, 1].any()


@pytest.mark.parametrize(
    "text",
    [
        "value,name\n",
        "value,name\n0,background\n",
        "value,name\n1,a\n1,b\n",
        "value,name\n1,a\n2,a\n",
        "value,name\n256,a\n",
        "value,name\nx,a\n",
        "name\na\n",
    ],
)
def test_classes_that_make_no_sense(indexed: BuildSet, text: str) -> None:
    root = indexed()
    (root / "classes.csv").write_text(text)
    with pytest.raises(TableError, match=r"classes\.csv"):
        open_dataset(root)


def test_competition_classes_are_numbered_from_one(competition: BuildSet) -> None:
    root = competition()
    (root / "classes.csv").write_text("value,name\n1,a\n3,b\n")
    with pytest.raises(DatasetError, match="Number them from 1"):
        open_dataset(root)


def test_non_ascii_and_decomposed_names(competition: BuildSet) -> None:
    root = competition()
    pictures = root / "train_images"
    (pictures / "s1.jpg").rename(pictures / "st\N{LATIN SMALL LETTER A WITH RING ABOVE}l 钢.jpg")
    (pictures / "s2.jpg").rename(pictures / "sta\N{COMBINING RING ABOVE}l2.jpg")
    table = (root / "train.csv").read_text()
    table = table.replace("s1.jpg", "st\N{LATIN SMALL LETTER A WITH RING ABOVE}l 钢.jpg")
    table = table.replace("s2.jpg", "st\N{LATIN SMALL LETTER A WITH RING ABOVE}l2.jpg")
    (root / "train.csv").write_text(table, encoding="utf-8")
    dataset = open_dataset(root)
    assert dataset.present.any(axis=1).sum() == 5
    assert all(dataset.masks(at).any() == dataset.present[at].any() for at in range(8))


def replace_row(root: Path, image: str, row: str) -> None:
    lines = (root / "train.csv").read_text().splitlines()
    kept = [line for line in lines if not line.startswith(image)]
    (root / "train.csv").write_text("\n".join([*kept, row]) + "\n")


def rewrite(root: Path, name: str, array: np.ndarray) -> None:
    Image.fromarray(array).save(root / name)


FULL = np.zeros((24, 40), np.uint8)

ONE_STRIP_OF_A_COMPETITION: dict[str, tuple[Damage, type[InputError], str]] = {
    "zero bytes": (
        lambda root: (root / "train_images/s1.jpg").write_bytes(b""),
        PictureError,
        r"s1\.jpg: is empty",
    ),
    "text": (
        lambda root: (root / "train_images/s1.jpg").write_text("no picture at all"),
        PictureError,
        r"s1\.jpg: is no JPEG",
    ),
    "16 bit": (
        lambda root: (
            rewrite(root, "train_images/s1.png", FULL.astype(np.uint16))
            or (root / "train_images/s1.png").rename(root / "train_images/s1.jpg")
        ),
        PictureError,
        "8 bits",
    ),
    "leaves the frame": (
        lambda root: replace_row(root, "s1.jpg", "s1.jpg,1,960 2"),
        MaskError,
        r"train\.csv, s1\.jpg, class 1: run lengths reach outside the frame 24x40",
    ),
    "overlap": (
        lambda root: replace_row(root, "s1.jpg", "s1.jpg,1,1 5 3 2"),
        MaskError,
        "overlaps",
    ),
    "odd": (lambda root: replace_row(root, "s1.jpg", "s1.jpg,1,1 5 3"), MaskError, "is odd"),
    "other size": (
        lambda root: rewrite(root, "train_images/s1.jpg", FULL[:3, :3]),
        MaskError,
        "frame 3x3",
    ),
    "absent": (
        lambda root: (root / "train_images/s1.jpg").unlink(),
        MaskError,
        r"s1\.jpg: is listed in .*train\.csv, but there is no such picture",
    ),
    "same stem": (
        lambda root: rewrite(root, "train_images/s1.png", FULL),
        PictureError,
        r"s1\.\w+: has the same stem",
    ),
}

ONE_STRIP_OF_AN_INDEXED_SET: dict[str, tuple[Damage, type[InputError], str]] = {
    "no mask": (
        lambda root: (root / "masks/s1.png").unlink(),
        MaskError,
        r"s1\.png: is missing",
    ),
    "no picture": (
        lambda root: (root / "images/s1.jpg").unlink(),
        MaskError,
        "is a mask without a picture",
    ),
    "other size": (
        lambda root: rewrite(root, "masks/s1.png", FULL.T),
        MaskError,
        r"is 40x24, its picture s1\.jpg is 24x40",
    ),
    "strange value": (
        lambda root: rewrite(root, "masks/s1.png", FULL + 9),
        MaskError,
        r"has the pixel values 9, which are not in classes\.csv",
    ),
    "colour mask": (
        lambda root: rewrite(root, "masks/s1.png", np.dstack([FULL, FULL, FULL + 1])),
        MaskError,
        "is coloured .*class of a colour is unknown",
    ),
    "damaged mask": (
        lambda root: (root / "masks/s1.png").write_bytes((root / "masks/s1.png").read_bytes()[:60]),
        MaskError,
        r"s1\.png",
    ),
    "text": (
        lambda root: (root / "images/s1.jpg").write_text("no picture at all"),
        PictureError,
        r"s1\.jpg: is no JPEG",
    ),
}


@pytest.mark.parametrize(
    ("form", "damage"),
    [("competition", name) for name in ONE_STRIP_OF_A_COMPETITION]
    + [("indexed", name) for name in ONE_STRIP_OF_AN_INDEXED_SET],
)
@pytest.mark.parametrize("packed", [False, True])
def test_one_bad_strip_stops_or_is_skipped(
    form: str,
    damage: str,
    packed: bool,
    zipped: Callable[..., Path],
    request: pytest.FixtureRequest,
) -> None:
    cases = {**ONE_STRIP_OF_A_COMPETITION} if form == "competition" else ONE_STRIP_OF_AN_INDEXED_SET
    harm, kind, message = cases[damage]
    root = request.getfixturevalue(form)()
    harm(root)
    path = zipped(root) if packed else root
    with pytest.raises(kind, match=message) as caught:
        open_dataset(path)
    assert "\n" not in str(caught.value)
    dataset = open_dataset(path, "skip")
    assert dataset.names == tuple(f"s{number}.jpg" for number in range(8) if number != 1)
    assert {Path(name).stem for name, _ in dataset.skipped} == {"s1"}
    assert str(caught.value) in [reason for _, reason in dataset.skipped]
    assert len(content(dataset)) == len(dataset.present) == len(dataset.frames) == 7


def test_class_beyond_the_named_ones(competition: BuildSet) -> None:
    root = competition()
    (root / "classes.csv").write_text("value,name\n1,a\n2,b\n")
    replace_row(root, "s1.jpg", "s1.jpg,3,1 5")
    with pytest.raises(
        MaskError, match=r"s1\.jpg, class 3: is not in classes\.csv, which ends at class 2"
    ):
        open_dataset(root)
    assert len(open_dataset(root, "skip")) == 7


def test_damage_after_the_header_is_found_on_reading(competition: BuildSet) -> None:
    root = competition()
    path = root / "train_images" / "s3.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    dataset = open_dataset(root)
    with pytest.raises(PictureError, match=r"s3\.jpg: is damaged or cut off"):
        dataset.picture(3)
    assert [name for name, _ in open_dataset(root, "skip").skipped] == ["s3.jpg"]
    path.unlink()
    with pytest.raises(PictureError, match=r"s3\.jpg: cannot be read"):
        dataset.picture(3)


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_folders_that_are_no_data_set(tmp_path: Path, competition: BuildSet, on_error: str) -> None:
    def refused(path: Path, message: str, kind: type[InputError] = DatasetError) -> None:
        with pytest.raises(kind, match=message):
            open_dataset(path, on_error)  # type: ignore[arg-type]

    refused(tmp_path / "nothing", "does not exist")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"is no data set. Expected train_images/ with train.csv")
    root = competition()
    table = (root / "train.csv").read_text()
    (root / "train.csv").unlink()
    refused(root, "it has train_images/, but no masks for it")
    (root / "train.csv").write_text("a,b\n1,2\n")
    refused(root, r"train\.csv: has the columns a, b", TableError)
    (root / "train.csv").write_text(table + "s1.jpg,1,1 1\n")
    refused(root, "repeats image s1.jpg, class 1", TableError)
    (root / "train.csv").write_text("ImageId,ClassId,EncodedPixels\n")
    refused(root, "has no class")
    (root / "train.csv").write_text(table)
    for path in (root / "train_images").iterdir():
        path.unlink()
    refused(root, "has no pictures")


def test_nothing_usable_is_an_error_even_when_skipping(competition: BuildSet) -> None:
    root = competition(strips=2)
    for path in (root / "train_images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match="has no usable strip"):
        open_dataset(root, "skip")


def test_check_trainable(competition: BuildSet, indexed: BuildSet) -> None:
    assert check_trainable(open_dataset(competition(strips=12))) == []
    warnings = check_trainable(open_dataset(indexed(strips=3)))
    assert warnings == [
        "Class scratch is on 1 of 3 strips: too few to learn it well.",
        "Class hole is on 2 of 3 strips: too few to learn it well.",
    ]


def test_check_trainable_refuses(competition: BuildSet, indexed: BuildSet) -> None:
    clean = competition("joined", strips=4)
    lines = (clean / "train.csv").read_text().splitlines()
    bare = [lines[0], *(line.split(",")[0] + "," for line in lines[1:])]
    (clean / "train.csv").write_text("\n".join(bare) + "\n")
    dataset = open_dataset(clean)
    assert (len(dataset), len(dataset.classes)) == (4, 2)
    with pytest.raises(DatasetError, match="has no defect on any of its 4 strips"):
        check_trainable(dataset)
    with pytest.raises(DatasetError, match="single strip"):
        check_trainable(open_dataset(indexed(strips=1)))


def test_a_warning_if_no_strip_is_clean(indexed: BuildSet) -> None:
    root = indexed()
    for number in (0, 3, 6):
        (root / "images" / f"s{number}.jpg").unlink()
        (root / "masks" / f"s{number}.png").unlink()
    assert check_trainable(open_dataset(root))[-1].startswith("No strip is clean")


def test_many_strips_show_progress(
    indexed: BuildSet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = indexed()
    open_dataset(root)
    assert capsys.readouterr().err == ""
    assert _MANY > 8
    monkeypatch.setattr("steelscan.data.content._MANY", 8)
    open_dataset(root)
    # Contents of pictures that were written a moment ago are not cached, but read again.
    checking, reading = "Checking strips: 8/8, 0 s\n", "Reading pictures: 8/8, 0 s\n"
    assert capsys.readouterr().err in (checking, checking + reading)


def test_real_severstal(real_data: Path) -> None:
    dataset = open_dataset(real_data / "severstal")
    assert (len(dataset), dataset.classes.names) == (32, ("1", "2", "3", "4"))
    assert set(dataset.frames) == {(256, 1600)}
    assert dataset.present.any(axis=1).sum() == 19
    table = read_mask_table(real_data / "severstal" / "train.csv")
    for at, name in enumerate(dataset.names):
        assert tuple(map(encode, dataset.masks(at))) == table.texts(name, 4)
    assert check_trainable(dataset) == []


@pytest.mark.parametrize(
    ("name", "strips", "classes", "clean"), [("neu", 725, 3, 0), ("tile", 665, 5, 443)]
)
def test_real_indexed_sets(
    real_data: Path, name: str, strips: int, classes: int, clean: int
) -> None:
    dataset = open_dataset(real_data / name)
    assert dataset.present.shape == (strips, classes)
    assert (~dataset.present.any(axis=1)).sum() == clean
    assert dataset.group_labels is not None
    assert len(dataset.group_labels) == strips
    for at in range(0, strips, 50):
        assert dataset.picture(at).shape == dataset.frames[at]
        masks = dataset.masks(at)
        assert masks.any(axis=(1, 2)).tolist() == dataset.present[at].tolist()
        assert masks.sum(axis=0).max() <= 1


def test_pixels_to_be_ignored_are_sound_and_reported(indexed: BuildSet, save: Save) -> None:
    root = indexed()
    index = np.zeros((24, 40), np.uint8)
    index[3:6], index[9:12] = 1, 255
    (root / "masks/s1.png").write_bytes(save(index))
    with pytest.raises(MaskError, match=r"values 255, .*'255,ignore'"):
        open_dataset(root)
    (root / "classes.csv").write_text("value,name\n1,scratch\n2,hole\n255,ignore\n")
    dataset = open_dataset(root)
    assert dataset.classes.names == ("scratch", "hole")
    masks = dataset.masks(dataset.names.index("s1.jpg"))
    assert np.array_equal(masks, np.stack([index == 1, index == 2]))
    assert dataset.ignored == 1
    assert any("1 strips have pixels to be ignored" in each for each in check_trainable(dataset))
    assert "120 pixels marked as neither" in convert(root, root.parent / "out", "voc").text()
    (root / "classes.csv").write_text("value,name\n1,scratch\n2,ignore\n255,ignore\n")
    with pytest.raises(TableError, match="two values"):
        open_dataset(root)
