"""Size and speed of the store of probabilities, compared with other ways to keep maps.

Maps are made from real masks of the competition, with the same share of clean strips: the mask is
blurred over 3 to 15 pixels, plateaus are about 200 to 254 with some texture, and one clean strip
in ten has a false alarm. The background is either low and smooth as from a sigmoid network, or
zero, or noise per pixel, which no network predicts and which is the worst case for a codec. With
--kept, maps that trained networks predicted and a run has stored.

All ways write and read the same strips in turn, in one process; what is read must equal what was
written. MB are decoded ones, of 10^6 bytes, per second of processor time of all threads; the best
of all rounds. Files are in the system's cache: the disk itself is not measured. Then separate
processes write and read few strips and many strips; others also run 9 segmenters of the 1st place,
with random weights, on whole strips before they write (Linux only).

Run: OMP_NUM_THREADS=1 python benchmarks/store.py --data DIR [--kept RUN/probabilities/segment ...]
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Protocol

import cv2
import numpy as np
import polars as pl
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from quick import mill_strips, print_result
from steelscan.models import build_network, without_weights
from steelscan.prediction import EnsembleMean, ProbabilityStore, TorchModel, View, to_uint8
from steelscan.recipes import first_place
from steelscan.strip import Frame, decode
from steelscan.strip.tables import MaskTable, read_mask_table

FRAME, CLASSES = Frame(256, 1600), 4
WHOLE_SET = 12_568
GOAL = 200
"""Decoded MB per second that one core should read."""

Probabilities = NDArray[np.uint8]
ONE: tuple[View, ...] = ("identity",)
CASES = (
    (100, 0, ()),
    (2000, 0, ()),
    (1, 9, ONE),
    (3, 9, ONE),
    (5, 9, first_place.views),
)
"""Strips, networks and views for which memory is measured."""

BACKGROUND = {"smooth": -5.3, "none": -12.0, "white": -12.0}
"""The logit of background; 255 times its sigmoid is 1.3, or 0."""


def noise(rng: np.random.Generator, step: int) -> NDArray[np.float32]:
    """Return normal noise enlarged by ``step`` as by a decoder, float32 of the frame."""
    coarse = rng.standard_normal((FRAME.height // step, FRAME.width // step), np.float32)
    return np.asarray(cv2.resize(coarse, FRAME[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def false_alarm(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a false alarm: one ellipse, uint8 of the frame."""
    mask = np.zeros(FRAME, np.uint8)
    centre = (int(rng.integers(FRAME.width)), int(rng.integers(FRAME.height)))
    axes = (int(rng.integers(5, 60)), int(rng.integers(5, 40)))
    return np.asarray(cv2.ellipse(mask, centre, axes, rng.uniform(0, 180), 0, 360, 1, -1), np.uint8)


def make_plane(
    mask: NDArray[np.uint8], plateau: tuple[float, float], ground: str, rng: np.random.Generator
) -> Probabilities:
    """Return uint8 probabilities of one class; ``plateau`` bounds the logit inside the mask."""
    logits: NDArray[np.float32] = np.full(FRAME, BACKGROUND[ground], np.float32)
    if ground == "smooth":
        logits += 0.5 * noise(rng, 16) + 0.3 * noise(rng, 4)
    if mask.any():
        edge = rng.uniform(3, 15)  # from 10 % to 90 %: 2.56 standard deviations
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), edge / 2.56)
        inside = rng.uniform(*plateau) + 0.3 * noise(rng, 16) + 0.15 * noise(rng, 4)
        logits = np.asarray(logits * (1 - soft) + inside * soft, np.float32)
    probabilities = np.rint(255 / (1 + np.exp(-logits))).astype(np.uint8)
    if ground == "white":
        probabilities = np.maximum(probabilities, rng.integers(0, 4, FRAME, np.uint8))
    return probabilities


def make_maps(masks: MaskTable, clean: float, count: int, ground: str) -> list[Probabilities]:
    """Return maps of ``count`` strips, of which a share is clean."""
    rng = np.random.default_rng(0)
    names = rng.permutation(sorted(masks.rows)).tolist()
    maps = []
    for at in range(count):
        planes, plateau = np.zeros((CLASSES, *FRAME), np.uint8), (1.7, 5.0)
        if at >= round(clean * count):
            texts = masks.texts(names[at], CLASSES)
            planes = np.stack([decode(text, FRAME) for text in texts]).astype(np.uint8)
        elif at % 10 == 0:
            planes[rng.integers(CLASSES)], plateau = false_alarm(rng), (-1.5, 1.5)
        maps.append(np.stack([make_plane(plane, plateau, ground, rng) for plane in planes]))
    return maps


def kept_maps(folder: Path) -> list[Probabilities]:
    """Return the maps in the store of a run."""
    array = zarr.open_array(folder / "probabilities.zarr", mode="r")
    held = sorted({int(line) for line in (folder / "strips.txt").read_text().split()})
    return [np.asarray(array[strip], np.uint8) for strip in held]


class Way(Protocol):
    """A way to keep maps."""

    def __getitem__(self, strip: int) -> NDArray[np.generic]: ...
    def __setitem__(self, strip: int, probabilities: Probabilities) -> None: ...


class Npz:
    """np.savez_compressed, one file per strip."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, strip: int) -> Probabilities:
        with np.load(self._folder / f"{strip}.npz") as file:
            return np.asarray(file["probabilities"])

    def __setitem__(self, strip: int, probabilities: Probabilities) -> None:
        np.savez_compressed(self._folder / f"{strip}.npz", probabilities=probabilities)


class Mapped:
    """One uncompressed file of all strips, np.memmap."""

    def __init__(self, folder: Path, shape: tuple[int, ...]) -> None:
        self._file = np.memmap(folder / "levels", np.uint8, "w+", shape=shape)

    def __getitem__(self, strip: int) -> Probabilities:
        return np.array(self._file[strip])

    def __setitem__(self, strip: int, probabilities: Probabilities) -> None:
        self._file[strip] = probabilities


class Coded:
    """A zarr array as in the store, with a codec of Blosc."""

    def __init__(self, folder: Path, shape: tuple[int, ...], name: Literal["zstd", "lz4"]) -> None:
        codec = BloscCodec(cname=name, clevel=1, shuffle="bitshuffle")
        with zarr.config.set({"array.write_empty_chunks": True}):
            self._array = zarr.create_array(
                folder / "probabilities.zarr",
                shape=shape,
                chunks=(1, *shape[1:]),
                dtype="uint8",
                compressors=codec,
            )

    def __getitem__(self, strip: int) -> Probabilities:
        return np.asarray(self._array[strip], np.uint8)

    def __setitem__(self, strip: int, probabilities: Probabilities) -> None:
        self._array[strip] = probabilities


def store(folder: Path, shape: tuple[int, ...]) -> ProbabilityStore:
    """Return the store for strips of one frame."""
    strips, classes, height, width = shape
    return ProbabilityStore(folder, strips, classes, [Frame(height, width)] * strips)


def ways(folder: Path, shape: tuple[int, ...]) -> Iterator[tuple[str, Path, Way]]:
    """Yield all ways, each in a separate folder."""
    names = ("store", "blosc zstd, bits", "blosc lz4, bits", "savez_compressed", "memmap")
    folders = [folder / name for name in names]
    for each in folders:
        each.mkdir()
    made = (
        store(folders[0], shape),
        Coded(folders[1], shape, "zstd"),
        Coded(folders[2], shape, "lz4"),
        Npz(folders[3]),
        Mapped(folders[4], shape),
    )
    yield from zip(names, folders, made, strict=True)


def seconds(way: Way, maps: Sequence[Probabilities]) -> tuple[float, ...]:
    """Return processor and then wall-clock seconds of writing all maps and of reading them."""
    times = [(time.process_time(), time.perf_counter())]
    for strip, probabilities in enumerate(maps):
        way[strip] = probabilities
    times.append((time.process_time(), time.perf_counter()))
    read = [way[strip] for strip in range(len(maps))]
    times.append((time.process_time(), time.perf_counter()))
    assert all(np.array_equal(*pair) for pair in zip(read, maps, strict=True))
    return tuple(np.diff(times, axis=0).T.ravel().tolist())


def on_disk(folder: Path) -> NDArray[np.float64]:
    """Return the bytes in the files below a folder, and the bytes of disk blocks they use."""
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    sizes = [[file.st_size, 512 * file.st_blocks] for file in files]
    return np.asarray(np.sum(sizes, axis=0), np.float64)


def race(title: str, maps: Sequence[Probabilities], rounds: int) -> dict[str, float]:
    """Print a line per way; return the MB per second that each reads."""
    size = sum(probabilities.nbytes for probabilities in maps)
    reads = {}
    with TemporaryDirectory() as folder:
        made = list(ways(Path(folder), (len(maps), *maps[0].shape)))
        spent = np.array([[seconds(way, maps) for _, _, way in made] for _ in range(rounds)])
        best = size / spent.min(0) / 1e6
        for (name, place, _), (write, read, write_wall, read_wall) in zip(made, best, strict=True):
            held, blocks = on_disk(place)
            whole = blocks / len(maps) * WHOLE_SET / 1e9
            print(
                f"| {title} | {name} | {size / held:.1f} | {whole:.2f} | {9 * whole:.1f} "
                f"| {write:.0f} ({write_wall:.0f}) | {read:.0f} ({read_wall:.0f}) |",
                flush=True,
            )
            reads[name] = float(read)
    return reads


def held_now(most: bool) -> int:
    """Return the MiB that this process holds, or the peak since `forget_peak`."""
    name = "VmHWM" if most else "VmRSS"
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name))) // 1024


def forget_peak() -> None:
    """Reset the peak memory that the kernel counts (5 means that, see proc(5))."""
    Path("/proc/self/clear_refs").write_text("5")


def peaks(
    maps: Sequence[Probabilities], strips: int, members: int, views: Sequence[View]
) -> tuple[int, int]:
    """Return MiB before, and the peak while writing and then reading ``strips`` strips in turn.

    With ``members``, that many networks of the 1st place predict each strip before it is written.
    """
    networks = models(members)
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        kept = store(Path(folder), (strips, CLASSES, *FRAME))
        forget_peak()
        before = held_now(most=False)
        for strip in range(strips):
            probabilities = maps[strip % len(maps)]
            if networks:
                picture = rng.integers(0, 256, FRAME, np.uint8)
                probabilities = to_uint8(EnsembleMean(views, picture, models=networks).masks())
            kept[strip] = probabilities
        for strip in range(strips):
            kept[strip]
    return before, held_now(most=True)


def models(count: int) -> list[TorchModel]:
    """Return ``count`` segmenters of the 1st place with random weights, some of them twice."""
    segment = first_place.recipe.segment
    assert segment is not None
    members = segment.ensemble.members
    made = []
    for at in range(count):
        member = members[at % len(members)]
        network, _ = build_network(without_weights(member.network), CLASSES)
        made.append(TorchModel(network.eval(), member.resize))
    return made


def print_peaks(maps: Sequence[Probabilities]) -> None:
    """Print a line per case, each from a separate process."""
    print("\n| strips | networks | views | before (MiB) | peak (MiB) |")
    print("|---:|---:|---:|---:|---:|")
    for strips, members, views in CASES:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            before, most = pool.submit(peaks, maps, strips, members, views).result()
        print(f"| {strips} | {members} | {len(views)} | {before} | {most} |", flush=True)


def main() -> None:
    """Print both tables, or the result of the quick size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="masks.csv.gz and labels.csv")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--kept", type=Path, nargs="*", default=[], help="stores of runs")
    parser.add_argument("--strips", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.quick:
        masks = read_mask_table(mill_strips() / "train.csv")
        reads = race("smooth", make_maps(masks, 0.5, 20, "smooth"), 2)
        what = "store, decoded MB read per second of a core"
        print_result(what, "the goal of the store", reads["store"], f">= {GOAL}")
        ratio = reads["store"] / reads["savez_compressed"]
        print_result("store, speed of reading", "np.savez_compressed", ratio, ">= 0.8")
        return
    if options.data is None:
        parser.error("give --data or --quick")
    labels = pl.read_csv(options.data / "labels.csv")
    clean = labels.select(pl.sum_horizontal("^has.*$").eq(0).mean()).item()
    masks = read_mask_table(options.data / "masks.csv.gz")
    print(f"{options.strips} strips, {clean:.1%} of them clean; GB on disk for {WHOLE_SET} strips")
    print(
        "| maps | way | times smaller | one average (GB) | 9 (GB) | written (wall), MB/s | read |"
    )
    print("|---|---|---:|---:|---:|---:|---:|")
    slowest = np.inf
    for ground in BACKGROUND:
        made = make_maps(masks, clean, options.strips, ground)
        slowest = min(slowest, race(ground, made, options.rounds)["store"])
    for folder in options.kept:
        race(str(folder), kept_maps(folder)[: options.strips], options.rounds)
    verdict = "met" if slowest >= GOAL else "MISSED"
    print(f"goal: {GOAL} MB read from the store per second of a core; {slowest:.0f}, {verdict}")
    print_peaks(make_maps(masks, clean, 20, "smooth"))


if __name__ == "__main__":
    main()
