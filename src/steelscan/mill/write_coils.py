"""Write synthetic coils: their strips, the places of these, and the truth of each coil."""

from collections.abc import Iterator
from pathlib import Path

from steelscan.mill.coil_side import CoilSide
from steelscan.mill.coil_spec import SIDES, CoilMill
from steelscan.mill.write import refuse_filled, refuse_too_much, write_jpeg
from steelscan.strip import encode, track
from steelscan.strip.files import output_folder
from steelscan.strip.tables import write_mask_table, write_rows

_GEOMETRY = "image,coil,side,camera,position_m,offset_mm,order,mm_per_pixel_along"
_DEFECTS = "coil,side,class,class_name,start_m,end_m,left_mm,right_mm,area_mm2,box_mm2"
_MARKS = "coil,side,class,period_m,left_mm,right_mm,repeats,missing"

Rows = Iterator[tuple[object, ...]]


def write_coils(mill: CoilMill, folder: Path) -> int:
    """Make all coils, write them, and return the number of strips.

    Writes ``train_images/*.jpg`` (grey), ``train.csv`` (a row per class on a strip, none for clean
    strips), ``groups.csv`` (image, group: the coil), ``geometry.csv`` (the place of each strip),
    ``defects.csv`` (the defects of the uncut coils, in metres from the head, millimetres from the
    edge and mm2; also those between strips with gaps) and ``roll_marks.csv``. ``train.csv`` is
    written last: if it is missing, the same call completes the folder.

    Raises OutputError if the folder contains other pictures or a complete data set, cannot be
    written, or is on a disk without enough space.
    """
    strips = mill.coils * len(SIDES) * mill.strips_per_coil * mill.cameras
    refuse_too_much(mill.frame, folder, strips)
    refuse_filled(folder, {"train_images": (name for name, *_ in _places(mill))})
    pictures = output_folder(folder / "train_images")
    write_rows(
        folder / "geometry.csv", [*_GEOMETRY.split(","), "mm_per_pixel_across"], _places(mill)
    )
    groups = ((name, coil) for name, coil, *_ in _places(mill))
    write_rows(folder / "groups.csv", ("image", "group"), groups)
    write_rows(folder / "defects.csv", _DEFECTS.split(","), _defects(mill))
    write_rows(folder / "roll_marks.csv", _MARKS.split(","), _marks(mill))
    truth = track(_write_strips(mill, pictures), "Making train_images", strips)
    write_mask_table(folder / "train.csv", truth, "columns")
    return strips


def _sides(mill: CoilMill) -> Iterator[tuple[str, str, CoilSide]]:
    for coil in range(mill.coils):
        for number, side in enumerate(SIDES):
            yield f"coil{coil:05d}", side, CoilSide(mill, coil, number)


def _name(coil: str, side: str, order: int, camera: int) -> str:
    return f"{coil}_{side}_{order:05d}_{camera + 1:02d}.jpg"


def _places(mill: CoilMill) -> Iterator[tuple[str, str, str, str, float, float, int, float, float]]:
    mm = mill.mm_per_pixel
    for number in range(mill.coils):
        coil = f"coil{number:05d}"
        for side in SIDES:
            for order in range(mill.strips_per_coil):
                for camera in range(mill.cameras):
                    metres = round(mill.start_of(order) * mm / 1000, 6)
                    offset = round((camera * mill.height - mill.margin) * mm, 6)
                    name = _name(coil, side, order, camera)
                    yield name, coil, side, f"{camera + 1:02d}", metres, offset, order, mm, mm


def _defects(mill: CoilMill) -> Rows:
    mm = mill.mm_per_pixel
    for coil, side, surface in _sides(mill):
        for class_id, start, stop, left, right, pixels in surface.defects():
            box = (stop - start) * (right - left)
            ends = (start * mm / 1000, stop * mm / 1000)
            across = ((left - mill.margin) * mm, (right - mill.margin) * mm)
            rounded = (round(x, 6) for x in (*ends, *across, pixels * mm**2, box * mm**2))
            yield coil, side, class_id, str(class_id), *rounded


def _marks(mill: CoilMill) -> Rows:
    mm = mill.mm_per_pixel
    for coil, side, surface in _sides(mill):
        if surface.mark is not None:
            mark = surface.mark
            ends = (mark.region.left, mark.region.right)
            across = (round((end - mill.margin) * mm, 6) for end in ends)
            period = round(mark.period * mm / 1000, 6)
            yield coil, side, mark.region.class_id, period, *across, mark.repeats, mark.missing


def _write_strips(mill: CoilMill, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Write the pictures; yield their run lengths, sorted by name."""
    for coil, side, surface in _sides(mill):
        for order in range(mill.strips_per_coil):
            start = mill.start_of(order)
            picture = surface.picture(start, start + mill.width)
            masks = surface.masks(start, start + mill.width)
            for camera in range(mill.cameras):
                rows = slice(camera * mill.height, (camera + 1) * mill.height)
                name = _name(coil, side, order, camera)
                write_jpeg(folder / name, picture[rows])
                yield name, [encode(mask[rows]) for mask in masks]
