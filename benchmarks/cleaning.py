"""Cleaning of predicted masks, compared with public kernels, and its effect on true masks.

First table: uint8 probabilities of 4 classes, 256x1600, made from masks of the mill with blur and
noise, so that they have specks and holes as predictions have. Both ways apply threshold, minimum
area, specks and holes, strip by strip in turns; the masks must be equal. The public way works per
class on whole pictures: cv2.threshold, cv2.connectedComponents and a Python loop that compares the
labels with each component's number and counts its pixels, then cv2.floodFill from a corner of the
padded picture for holes.

Second table, with --masks: Dice of true masks with the result of each rule, mean and minimum per
class; "Canny, filled" is the edge-based filling of the 14th place, "padded" the same with a margin
of 8 pixels and joined with the mask.

Run: OMP_NUM_THREADS=1 python benchmarks/cleaning.py [--masks MASKS.csv.gz] [--every 1]
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quick import print_result
from steelscan.evaluation.metrics import Pairs, count_pixels, dice
from steelscan.mill import Mill, make_strip
from steelscan.postprocess import (
    FillEdges,
    FillHoles,
    MinArea,
    Polygons,
    RemoveSmallComponents,
    Threshold,
    clean,
)
from steelscan.postprocess.components import fill_holes
from steelscan.postprocess.outlines import fill_edges, polygons
from steelscan.strip import Frame, Mask, Masks, decode
from steelscan.strip.tables import read_mask_table

FRAME = Frame(256, 1600)
LEAST, SPECK = 600, 150
RULES = (
    Threshold(label=0.6, pixel=0.5),
    MinArea(pixels=LEAST),
    RemoveSmallComponents(pixels=SPECK),
    FillHoles(),
)
Probabilities = NDArray[np.uint8]


def make_probabilities(masks: Masks, rng: np.random.Generator) -> Probabilities:
    """Return probabilities as a network predicts: soft edges, noise of a few pixels."""
    probabilities = np.zeros(masks.shape, np.uint8)
    for mask, plane in zip(masks, probabilities, strict=True):
        if mask.any():
            grain = cv2.GaussianBlur(rng.standard_normal(mask.shape, np.float32), (0, 0), 3)
            soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 5)
            plane[:] = np.clip(255 * (0.05 + 0.9 * soft + 2 * grain * soft), 0, 255)
    return probabilities


def ours(probabilities: Probabilities) -> Masks:
    """Apply the rules."""
    return clean(probabilities, RULES)


def kernel(probabilities: Probabilities) -> Masks:
    """Clean as the public kernels do."""
    masks = np.zeros(probabilities.shape, np.bool_)
    for index, plane in enumerate(probabilities):
        if plane.max() <= 0.6 * 255:
            continue
        mask = cv2.threshold(plane, 0.5 * 255, 1, cv2.THRESH_BINARY)[1]
        if mask.sum() < LEAST:
            continue
        count, labels = cv2.connectedComponents(mask.astype(np.uint8))
        kept = np.zeros(plane.shape, np.uint8)
        for number in range(1, count):
            component = labels == number
            if component.sum() >= SPECK:
                kept[component] = 1
        outside = np.pad(kept, 1)
        cv2.floodFill(outside, np.zeros(np.add(outside.shape, 2), np.uint8), (0, 0), 1)
        masks[index] = (kept | (1 - outside[1:-1, 1:-1])).astype(np.bool_)
    return masks


def timed(
    way: Callable[[Probabilities], Masks], probabilities: Probabilities
) -> tuple[float, Masks]:
    """Return the milliseconds of one call, and its result."""
    start = time.perf_counter()
    masks = way(probabilities)
    return 1e3 * (time.perf_counter() - start), masks


def race(strips: int) -> float:
    """Time both ways on the same strips, by number of classes; return the ratio of all."""
    rng = np.random.default_rng(0)
    mill = Mill(strips=strips, height=FRAME.height, width=FRAME.width)
    spent: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for index in range(strips):
        probabilities = make_probabilities(make_strip(mill, index).masks, rng)
        (mine, masks), (theirs, expected) = timed(ours, probabilities), timed(kernel, probabilities)
        assert np.array_equal(masks, expected)
        spent[int((probabilities.max((1, 2)) > 0).sum())].append((mine, theirs))
    print(f"cleaning 4 classes of {FRAME}: milliseconds per strip, median (slowest of 20)")
    for classes, pairs in sorted(spent.items()):
        mine, theirs = zip(*pairs, strict=True)
        medians = [statistics.median(each) for each in (mine, theirs)]
        slow = [sorted(each)[-max(1, len(each) // 20)] for each in (mine, theirs)]
        print(
            f"{classes} classes, {len(pairs):>4} strips: ours {medians[0]:.2f} ({slow[0]:.2f})  "
            f"kernel {medians[1]:.2f} ({slow[1]:.2f})  together x{sum(theirs) / sum(mine):.1f}"
        )
    ours_ms, kernel_ms = np.sum([pair for pairs in spent.values() for pair in pairs], axis=0)
    return float(kernel_ms / ours_ms)


def canny_filled(mask: Mask) -> Mask:
    """Fill as the 14th place: closed lines of Canny, without specks under 20 pixels."""
    lines = np.asarray(cv2.Canny(mask.view(np.uint8) * np.uint8(255), 100, 200)) > 0
    filled = fill_holes(lines[None], FillHoles())
    return clean(
        filled.view(np.uint8) * np.uint8(255), (Threshold(), RemoveSmallComponents(pixels=20))
    )[0]


TRUTH: dict[str, Callable[[Mask], Mask]] = {
    "Canny, filled": canny_filled,
    "padded": lambda mask: canny_filled(np.pad(mask, 8))[8:-8, 8:-8] | mask,
    "FillEdges()": lambda mask: fill_edges(mask[None], FillEdges())[0],
    "FillHoles()": lambda mask: fill_holes(mask[None], FillHoles())[0],
    "Polygons()": lambda mask: polygons(mask[None], Polygons())[0],
    "Polygons(eps=3)": lambda mask: polygons(mask[None], Polygons(eps=3.0))[0],
}


def harm(path: Path, every: int) -> None:
    """Print the Dice of true masks with the result of each rule."""
    table = read_mask_table(path)
    scores: dict[tuple[str, int], list[float]] = defaultdict(list)
    for image in list(table.rows)[::every]:
        for class_id, text in table.rows[image].items():
            truth = decode(text, FRAME, image)
            for name, way in TRUTH.items():
                counts = count_pixels(way(truth)[None], truth[None])
                scores[name, class_id].append(dice(Pairs.of([counts])).item())
    ids = sorted({class_id for _, class_id in scores})
    total = sum(len(scores["padded", class_id]) for class_id in ids)
    print(f"Dice of {total} true masks, mean (minimum) of classes {ids}")
    for name in TRUTH:
        cells = [
            f"{statistics.mean(scores[name, k]):.4f} ({min(scores[name, k]):.3f})" for k in ids
        ]
        print(f"{name:<16}", "  ".join(cells))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strips", type=int, default=300)
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    ratio = race(60 if options.quick else options.strips)
    if options.quick:
        print_result("cleaning of masks, speed", "loops of public kernels", ratio, ">= 2")
    if options.masks:
        harm(options.masks, options.every)


if __name__ == "__main__":
    main()
