"""How well near-duplicates are found, per kind of change and against groups.csv, and how fast.

Run: OMP_NUM_THREADS=1 python benchmarks/groups.py changes --data DATA [--mill 600]
     OMP_NUM_THREADS=1 python benchmarks/groups.py listed --data DATA [--sheet FOLDER]
     OMP_NUM_THREADS=1 python benchmarks/groups.py speed --data DATA [--strips 12568]

`changes` makes altered copies of real strips (or of strips of the mill, which has repeats of its
own) and counts how many are found. `listed` compares the result with the data set's groups.csv and
draws the pairs in which they differ. `speed` measures the time of each part.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from quick import print_result
from steelscan.data import find_pictures, open_dataset, read_picture
from steelscan.data.duplicates import Fingerprint, find_groups, group_prints, required_likeness
from steelscan.data.duplicates.fingerprints import fingerprint, likeness, nearest
from steelscan.data.duplicates.groups import find_links
from steelscan.mill import Mill, make_strip
from steelscan.mill.rolls import scene_of
from steelscan.strip import Picture

Alter = Callable[[Picture], Picture]


def recoded(picture: Picture, quality: int = 85) -> Picture:
    """Return a picture after JPEG compression."""
    _, content = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), np.uint8)


def lit(picture: Picture, gain: object, offset: float = 0.0) -> Picture:
    """Return a picture in other light, clipped as by a camera."""
    return np.clip(picture * np.asarray(gain) + offset, 0, 255).astype(np.uint8)


def contrasted(picture: Picture) -> Picture:
    """Return a picture with more contrast around the mean."""
    return lit(picture - picture.mean(), 1.6, float(picture.mean()))


def windows(picture: Picture, share: float) -> tuple[Picture, Picture]:
    """Return two windows of one picture, offset down and right by a share of its size."""
    rows, columns = (round(share / (1 + share) * side) for side in picture.shape)
    height, width = picture.shape[0] - rows, picture.shape[1] - columns
    return picture[:height, :width], picture[rows:, columns:]


def rotated(picture: Picture, degrees: float, scale: float = 1.0) -> Picture:
    """Return a picture rotated around its centre, or enlarged."""
    height, width = picture.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    result = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(result, np.uint8)


def patched(picture: Picture) -> Picture:
    """Return a picture with the patch of the competition's duplicates: the top left."""
    other = picture.copy()
    left, right = (round(share * picture.shape[1] / 1600) for share in (195, 640))
    rows = round(16 * picture.shape[0] / 256)
    rng = np.random.default_rng(int(picture.sum(dtype=np.int64)))
    other[:rows, left:right] = rng.integers(40, 220, (rows, right - left))
    return other


CHANGES: dict[str, Alter] = {
    "JPEG 95": lambda picture: recoded(picture, 95),
    "JPEG 75": lambda picture: recoded(picture, 75),
    "JPEG 50": lambda picture: recoded(picture, 50),
    "half the light": lambda picture: recoded(lit(picture, 0.5)),
    "1.4 x + 20": lambda picture: recoded(lit(picture, 1.4, 20)),
    "contrast 1.6": lambda picture: recoded(contrasted(picture)),
    "lit from one side": lambda p: recoded(lit(p, np.linspace(0.6, 1.3, p.shape[1]))),
    "patch": lambda picture: recoded(patched(picture)),
    "patch, light, JPEG 50": lambda picture: recoded(lit(patched(picture), 0.75), 50),
    "(limit) rotated 1 degree": lambda picture: recoded(rotated(picture, 1)),
    "(limit) 5 % larger": lambda picture: recoded(rotated(picture, 0, 1.05)),
    "(another) mirrored": lambda picture: picture[:, ::-1],
}

MOVES = {"moved 1 %": 0.01, "moved 4 %": 0.04, "moved 8 %": 0.08, "(limit) moved 20 %": 0.2}


def changes(strips: list[Picture], scenes: NDArray[np.int64]) -> None:
    """Print a row per kind of change: copies found, and joined pairs that are duplicates."""
    prints = [fingerprint(strip) for strip in strips]
    print(
        "| change | copies found | similarity: lowest / 10 % / median | joined pairs: duplicates |"
    )
    print("|---|---|---|---|")
    _row("none: repeats of the mill", prints, [], scenes)
    for name, change in CHANGES.items():
        copies = [fingerprint(np.ascontiguousarray(change(strip))) for strip in strips]
        _row(name, prints, copies, scenes)
    for name, share in MOVES.items():
        pairs = [windows(strip, share) for strip in strips]
        ones = [fingerprint(np.ascontiguousarray(one)) for one, _ in pairs]
        others = [fingerprint(recoded(np.ascontiguousarray(other))) for _, other in pairs]
        _row(name, ones, others, scenes)


def _row(
    name: str, prints: list[Fingerprint], copies: list[Fingerprint], scenes: NDArray[np.int64]
) -> None:
    groups = group_prints([*prints, *copies]).numbers
    truth = np.concatenate([scenes, scenes]) if copies else scenes
    joined, right, listed = _count_pairs(groups, truth)
    if copies:
        count = len(prints)
        count_found = int(np.count_nonzero(groups[:count] == groups[count:]))
        alike = [likeness(*pair) for pair in zip(prints, copies, strict=True)]
        quantiles = " / ".join(f"{value:.2f}" for value in np.quantile(alike, (0, 0.1, 0.5)))
        print(f"| {name} | {count_found} of {count} | {quantiles} | {right} of {joined} |")
    else:
        print(f"| {name} | {right} of {listed} pairs | | {right} of {joined} |")
    sys.stdout.flush()


def _count_pairs(groups: NDArray[np.int64], truth: NDArray[np.int64]) -> tuple[int, int, int]:
    """Count pairs that are joined, that are joined correctly, and that should be joined."""
    upper = np.triu_indices(len(groups), 1)
    joined = (groups[:, None] == groups)[upper]
    listed = (truth[:, None] == truth)[upper]
    return int(joined.sum()), int((joined & listed).sum()), int(listed.sum())


def print_found(strips: list[Picture], scenes: NDArray[np.int64]) -> None:
    """Print the share of altered copies that are found, without the changes beyond the limits."""
    prints = [fingerprint(strip) for strip in strips]
    within = [name for name in CHANGES if not name.startswith("(")]
    shares = []
    for name in within:
        copies = [fingerprint(np.ascontiguousarray(CHANGES[name](strip))) for strip in strips]
        groups = group_prints([*prints, *copies]).numbers
        shares.append(float(np.mean(groups[: len(prints)] == groups[len(prints) :])))
    what = f"altered copies found, share of {len(within)} x {len(scenes)}"
    print_result(what, "all of them", float(np.mean(shares)), ">= 0.95")


def listed(data: Path, sheet: Path | None) -> None:
    """Compare the groups found with groups.csv, and with trying all pairs."""
    dataset = open_dataset(data)
    assert dataset.group_labels is not None, "the data set has no groups.csv"
    _, labels = np.unique(dataset.group_labels, return_inverse=True)
    groups = find_groups(dataset, search=True).numbers
    joined, both, there = _count_pairs(groups, labels)
    print(f"{data.name}: {joined} pairs found, {there} in groups.csv, {both} in both")
    prints = [fingerprint(dataset.picture(row)) for row in range(len(dataset))]
    links = {(one, other) for one, other, _ in find_links(prints)}
    all_ = {
        (one, other)
        for one in range(len(prints))
        for other in range(one + 1, len(prints))
        if likeness(prints[one], prints[other]) >= required_likeness(prints[one], prints[other])
    }
    print(f"all pairs tried: {len(all_)} are similar, of which {len(links & all_)} were linked")
    if sheet is not None:
        sheet.mkdir(parents=True, exist_ok=True)
        same, given = groups[:, None] == groups, labels[:, None] == labels
        pictures = [dataset.picture(row) for row in range(len(dataset))]
        for name, wanted in {"found only": same & ~given, "listed only": given & ~same}.items():
            pairs = np.argwhere(np.triu(wanted, 1))
            rng = np.random.default_rng(0)
            shown = pairs[np.sort(rng.permutation(len(pairs))[:40])]
            if len(shown):
                _draw(sheet / f"{data.name}, {name}.png", pictures, prints, shown)
            print(f"{len(shown)} of {len(pairs)} {name}")


def _draw(
    path: Path, pictures: list[Picture], prints: list[Fingerprint], pairs: NDArray[np.int64]
) -> None:
    cells = []
    for one, other in pairs.tolist():
        both = np.hstack([cv2.resize(pictures[at], (150, 150)) for at in (one, other)])
        cell = cv2.copyMakeBorder(both, 16, 4, 2, 4, cv2.BORDER_CONSTANT, value=(255,))
        text = f"{likeness(prints[one], prints[other]):.2f}"
        cv2.putText(cell, text, (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0,), 1)
        cells.append(cell)
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % 5)
    rows = [np.hstack(cells[at : at + 5]) for at in range(0, len(cells), 5)]
    cv2.imwrite(str(path), np.vstack(rows))


def speed(data: Path, strips: int) -> None:
    """Print CPU seconds of each part for growing numbers of strips, and the peak memory."""
    files = find_pictures(data)
    for count in (len(files) // 4, len(files) // 2, len(files)):
        start = time.process_time()
        prints = [fingerprint(read_picture(file.read())) for file in files[:count]]
        took = time.process_time() - start
        each = f"{1e3 * took / count:.2f} ms each"
        print(f"decode and fingerprint: {count} strips, {took:.1f} s, {each}")
    shape = prints[0].fine.shape
    rng = np.random.default_rng(0)
    for count in (strips // 4, strips // 2, strips):
        spectra = rng.normal(size=(count, prints[0].spectrum.size)).astype(np.float32)
        spectra /= np.linalg.norm(spectra, axis=1, keepdims=True)
        start = time.process_time()
        nearest(spectra, spectra, 11)
        print(f"neighbours by spectrum: {count} strips, {time.process_time() - start:.1f} s")
    random = [
        Fingerprint(spectrum, rng.integers(0, 256, shape, np.uint8), has_texture=True)
        for spectrum in spectra
    ]
    start = time.process_time()
    group_prints(random)
    took = time.process_time() - start
    print(f"all of the grouping: {strips} random fingerprints, {took:.1f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    spectra = sum(each.spectrum.nbytes for each in random) / 2**20
    print(f"peak memory of this process: {peak:.0f} MiB; {spectra:.0f} spectra")


def _mill(count: int) -> tuple[list[Picture], NDArray[np.int64]]:
    mill = Mill(strips=count, seed=7)
    strips = [recoded(make_strip(mill, index).picture, 92) for index in range(count)]
    return strips, np.array([scene_of(mill, index) for index in range(count)])


def main() -> None:
    """Run one of the three parts, or the quick size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("changes", "listed", "speed"), nargs="?")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--mill", type=int, default=0)
    parser.add_argument("--strips", type=int, default=12568)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.quick:
        print_found(*_mill(40))
    elif options.what is None:
        parser.error("name changes, listed or speed, or give --quick")
    elif options.what == "listed":
        listed(options.data[0], options.sheet)
    elif options.what == "speed":
        speed(options.data[0], options.strips)
    elif options.mill:
        changes(*_mill(options.mill))
    else:
        pictures = [
            read_picture(file.read()) for data in options.data for file in find_pictures(data)
        ]
        changes(pictures, np.arange(len(pictures)))


if __name__ == "__main__":
    main()
