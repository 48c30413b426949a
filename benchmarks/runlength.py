"""Run lengths to masks and back, compared with the loops of public kernels and pycocotools.

All masks of a table are decoded from their text and encoded again. The rows:
- ours: text -> bool (height, width) -> text
- starter kernel: one float32 array of (256, 1600, classes) per mask, filled run by run, and
  `mask2rle` of that float32 plane, as most public kernels of the competition have it
- lean kernel: the same loops on uint8, without the stack of classes
- pycocotools: text parsed with NumPy, then its C decoder; its C encoder, whose result is its own
  packed form and not yet the competition's text

Run: python benchmarks/runlength.py MASKS.csv[.gz] --height 256 --width 1600
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from quick import mill_strips, print_result
from steelscan.strip import Frame, decode, encode
from steelscan.strip.tables import read_mask_table

Plane = NDArray[Any]


def starter_decode(text: str, frame: Frame) -> Plane:
    """Decode as make_mask of the starter kernel, with its off-by-one error corrected."""
    planes = np.zeros((*frame, 4), np.float32)
    numbers = text.split(" ")
    flat = np.zeros(frame.pixels, np.uint8)
    for start, length in zip(map(int, numbers[0::2]), map(int, numbers[1::2]), strict=True):
        flat[start - 1 : start - 1 + length] = 1
    planes[:, :, 0] = flat.reshape(frame, order="F")
    return planes[:, :, 0]


def lean_decode(text: str, frame: Frame) -> Plane:
    """Decode with the same loop without the array of classes; returns a column-order view."""
    numbers = text.split()
    starts, lengths = (np.asarray(part, dtype=int) for part in (numbers[0::2], numbers[1::2]))
    flat = np.zeros(frame.pixels, np.uint8)
    for start, end in zip(starts - 1, starts - 1 + lengths, strict=True):
        flat[start:end] = 1
    return flat.reshape(frame, order="F")


def kernel_encode(mask: Plane) -> str:
    """Encode as mask2rle of the public kernels."""
    pixels = np.concatenate([[0], mask.T.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(number) for number in runs)


def coco_decode(text: str, frame: Frame) -> Plane:
    """Convert the text to the counts of pycocotools and decode those."""
    runs = np.array(text.split(), dtype=np.int64).reshape(-1, 2)
    starts = runs[:, 0] - 1
    edges = np.concatenate([[0], np.column_stack([starts, starts + runs[:, 1]]).ravel()])
    counts = np.diff(np.concatenate([edges, [frame.pixels]])).tolist()
    packed = coco.frPyObjects({"size": list(frame), "counts": counts}, *frame)
    decoded: Plane = coco.decode(packed)
    return decoded


def coco_encode(mask: Plane) -> bytes:
    """Encode with pycocotools."""
    packed: bytes = coco.encode(np.asfortranarray(mask))["counts"]
    return packed


def seconds(work: Callable[[Any], Any], items: list[Any]) -> float:
    """Return the time for all items."""
    start = time.perf_counter()
    for item in items:
        work(item)
    return time.perf_counter() - start


def main() -> None:
    """Time all ways on the same masks, in turns of 100 masks, so that all meet the same load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=1600)
    options = parser.parse_args()
    frame = Frame(options.height, options.width)
    if options.quick:
        options.table = mill_strips() / "train.csv"
    elif options.table is None:
        parser.error("name a table of masks, or give --quick")
    table = read_mask_table(options.table)
    texts = [text for row in table.rows.values() for text in row.values() if text]
    ways: dict[str, tuple[Callable[[str, Frame], Plane], Callable[[Plane], Any]]] = {
        "ours": (decode, encode),
        "starter kernel": (starter_decode, kernel_encode),
        "lean kernel": (lean_decode, kernel_encode),
        "pycocotools": (coco_decode, coco_encode),
    }
    spent = {name: [0.0, 0.0] for name in ways}
    for start in range(0, len(texts), 100):
        part = texts[start : start + 100]
        for name, (to_mask, to_text) in ways.items():
            masks = [to_mask(text, frame) for text in part]
            spent[name][0] += seconds(lambda text, way=to_mask: way(text, frame), part)
            spent[name][1] += seconds(to_text, masks)
            if name != "pycocotools":
                assert [to_text(mask) for mask in masks] == part
    print(f"{len(texts)} masks of {frame}; milliseconds per mask, and ratio to ours")
    ours = sum(spent["ours"])
    for name, (decoding, encoding) in spent.items():
        each = [1e3 * number / len(texts) for number in (decoding, encoding)]
        ratio = (decoding + encoding) / ours
        if options.quick and name != "ours":
            goal = {"starter kernel": ">= 4", "pycocotools": ">= 1.3"}.get(name)
            print_result("run lengths to masks and back, speed", name, ratio, goal)
        print(f"{name:<15} decode {each[0]:.3f}  encode {each[1]:.3f}  together x{ratio:.2f}")


if __name__ == "__main__":
    main()
