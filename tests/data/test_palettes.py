"""Index masks with palettes: reordered ones are read by colour, or refused."""

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from steelscan.data import check_trainable, open_dataset
from steelscan.formats import check, convert
from steelscan.strip.errors import Fault, MaskError

BuildSet = Callable[..., Path]
ORDER = ("black", "red", "lime")
Paint = Callable[[Path, Sequence[str]], None]


def paint(path: Path, order: Sequence[str], colours: Sequence[str] = ORDER) -> None:
    """Reorder the palette of a mask, as programs do that shrink files."""
    with Image.open(path) as image:
        values = np.array(image)
    table = np.zeros(256, np.uint8)
    for at, colour in enumerate(colours):
        table[at] = order.index(colour) if colour in order else 0
    image = Image.fromarray(table[values])
    image.putpalette([part for colour in order for part in ImageColor.getrgb(colour)])
    file = io.BytesIO()
    image.save(file, "PNG")
    path.write_bytes(file.getvalue())


def masks(root: Path) -> list[bytes]:
    dataset = open_dataset(root)
    return [dataset.masks(at).tobytes() for at in range(len(dataset))]


def test_palettes_that_agree_change_nothing(indexed: BuildSet) -> None:
    root = indexed()
    plain, digest = masks(root), open_dataset(root).fingerprint
    for path in (root / "masks").iterdir():
        paint(path, ORDER)
    assert masks(root) == plain
    assert open_dataset(root).fingerprint == digest
    assert not check(root).counts


def test_a_palette_cut_behind_the_values_that_a_mask_has_agrees(indexed: BuildSet) -> None:
    root = indexed()
    plain = masks(root)
    for number in range(8):  # strips 0, 3 and 6 are clean, 4 and 7 have class 1 alone
        paint(root / f"masks/s{number}.png", ORDER[: {0: 1, 6: 1, 4: 2, 7: 2}.get(number, 3)])
    assert masks(root) == plain
    assert not check(root).counts


@pytest.mark.parametrize(
    "order",
    [("black", "lime", "red"), ("red", "black", "lime"), ("lime", "red", "black", "blue")],
)
def test_a_few_masks_in_another_order_are_read_by_their_colours(
    order: Sequence[str], indexed: BuildSet
) -> None:
    root = indexed()
    plain, digest = masks(root), open_dataset(root).fingerprint
    for number in range(8):
        paint(root / f"masks/s{number}.png", order if number in (1, 5) else ORDER)
    assert masks(root) == plain
    dataset = pickle.loads(pickle.dumps(open_dataset(root)))
    assert dataset.odd_palettes == 2
    assert any(
        "2 masks have a reordered palette" in warning for warning in check_trainable(dataset)
    )
    assert dataset.fingerprint == digest
    assert dataset.masks(5).tobytes() == plain[5]
    assert check(root).counts == {Fault.BY_COLOUR: 2}


def test_the_conversion_reports_masks_read_by_colours(indexed: BuildSet, tmp_path: Path) -> None:
    root = indexed()
    for number in range(8):
        order = ("black", "lime", "red") if number == 5 else ORDER
        paint(root / f"masks/s{number}.png", order)
    text = convert(root, tmp_path / "out", "run_lengths").text()
    assert f"{Fault.BY_COLOUR} (1), for example masks/s5.png: has a reordered palette" in text


def test_no_order_that_most_masks_have_is_refused(indexed: BuildSet) -> None:
    root = indexed()
    for number in range(8):
        paint(root / f"masks/s{number}.png", ("black", "lime", "red") if number % 2 else ORDER)
    with pytest.raises(MaskError, match="palette that other masks contradict"):
        open_dataset(root)
    assert check(root).counts == {Fault.PALETTE: 5}  # the others are black all over


def test_masks_that_were_all_made_smaller_are_refused(indexed: BuildSet) -> None:
    """Most of them agree that value 1 is green; but none of those has all classes."""
    root = indexed()
    for number in range(8):
        order = {1: ORDER, 2: ("black", "lime"), 4: ("black", "red"), 5: ("black", "lime", "red")}
        paint(root / f"masks/s{number}.png", order.get(number, ("black", "lime")))
    with pytest.raises(MaskError, match="palette that other masks contradict"):
        open_dataset(root)


def test_an_inverted_mask_among_grey_ones_is_refused(indexed: BuildSet) -> None:
    """With few colours, the most frequent one comes last: the background would be defective."""
    root = indexed()
    paint(root / "masks/s1.png", ("red", "lime", "black"))
    with pytest.raises(MaskError, match="black for the value 2, and the colour 255,0,0 for 0"):
        open_dataset(root)


def test_a_background_that_is_not_black_is_reported(indexed: BuildSet) -> None:
    root = indexed()
    plain = masks(root)
    for path in (root / "masks").iterdir():
        paint(path, ("white", "red", "lime"), ("white", "red", "lime"))
    assert masks(root) == plain
    report = check(root)
    assert report.counts == {Fault.BY_COLOUR: 8}
    assert report.errors == 0


def test_greys_in_their_order_are_no_palette(indexed: BuildSet) -> None:
    root = indexed()
    plain = masks(root)
    for number in range(8):
        path = root / f"masks/s{number}.png"
        paint(path, ORDER)
        if number % 2:
            with Image.open(path) as image:
                grey = Image.fromarray(np.array(image)).convert("P")
            grey.save(path)
    assert masks(root) == plain


def test_an_unknown_value_with_a_known_colour_stays_unknown(indexed: BuildSet) -> None:
    """Unused entries are often filled with black, which must not make a mask clean."""
    root = indexed()
    for path in (root / "masks").iterdir():
        paint(path, (*ORDER, *["black"] * 7))
    with Image.open(root / "masks/s1.png") as image:
        image.putdata(np.where(np.array(image) == 1, 9, np.array(image)).reshape(-1).tolist())
        image.save(root / "masks/s1.png")
    with pytest.raises(MaskError, match="pixel values 9"):
        open_dataset(root)


@pytest.mark.parametrize("order", [("black", "red"), ("red", "black"), ("red", "lime")])
def test_a_png_a_class_is_black_where_nothing_is(
    order: Sequence[str], indexed: BuildSet, tmp_path: Path
) -> None:
    root = indexed()
    convert(root, tmp_path / "one", "class_pngs")
    plain = convert(tmp_path / "one", tmp_path / "back", "run_lengths")
    for path in (tmp_path / "one/masks/hole").iterdir():
        with Image.open(path) as image:
            Image.fromarray(np.array(image) // 255).save(path)
        paint(path, order, order if "black" not in order else ("black", "red"))
    if "black" not in order:
        with pytest.raises(MaskError, match="no black outside the class"):
            convert(tmp_path / "one", tmp_path / "again", "run_lengths")
        return
    assert convert(tmp_path / "one", tmp_path / "again", "run_lengths").masks == plain.masks
    table = (tmp_path / "again/train.csv").read_bytes()
    assert table == (tmp_path / "back/train.csv").read_bytes()


@pytest.mark.parametrize(("names", "value"), [("1,scratch", 1), ("255,scratch", 255)])
def test_white_of_one_bit_is_the_one_class(names: str, value: int, indexed: BuildSet) -> None:
    root = indexed()
    (root / "classes.csv").write_text(f"value,name\n{names}\n")
    expected = []
    for path in sorted((root / "masks").iterdir()):
        with Image.open(path) as image:
            white = np.array(image) > 0
        Image.fromarray(white).save(path)
        expected.append(white[None].tobytes())
    assert masks(root) == expected
    grey = Image.fromarray(white.astype(np.uint8) * np.uint8(value))
    grey.save(path)
    assert masks(root) == expected


def test_the_message_on_an_unknown_value_has_the_missing_row(indexed: BuildSet) -> None:
    root = indexed()
    Image.new("L", (40, 24), 255).save(root / "masks/s1.png")
    with pytest.raises(MaskError, match=r"Add '255,NAME' there if it is a class"):
        open_dataset(root)
