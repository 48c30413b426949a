"""From files to masks and a CSV: a bundle compared with the usual way, with the same decisions.

The usual way is what most solutions of the competition ran: a loop in eager PyTorch over members
and views, all cores on one strip, OpenCV for pictures and sizes, cleaning per class in Python; the
segmenters run only for strips that the classifier does not call clean ("gated"), or for all
("plain"). The ways take turns, each in a separate process, and the best round counts. Networks,
thresholds and rules are those of one run, and the two CSV files are compared.

Run: python benchmarks/predict.py --run RUN --bundle MODEL.steelscan --pictures DIR
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from quick import exported_bundle, mill_strips, print_result, trained_run
from steelscan.bundle import load, scan_pictures
from steelscan.strip import Frame, encode
from steelscan.strip.tables import read_mask_table, write_mask_table

WAYS = ["usual, plain", "usual, gated", "bundle, all networks", "bundle"]


def main() -> None:
    """Run all ways in turn, and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--strips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.run, options.bundle, options.rounds = trained_run(), exported_bundle(), 1
        options.strips = 20
        options.pictures = mill_strips() / "train_images"
    elif None in (options.run, options.bundle, options.pictures):
        parser.error("give --run, --bundle and --pictures, or --quick")
    files = sorted(options.pictures.iterdir())[: options.strips]
    if options.way:
        print(json.dumps(timed(options.way, options.run, options.bundle, files)))
        return
    best: dict[str, dict[str, Any]] = {}
    for _ in range(options.rounds):
        for way in WAYS:
            command = [sys.executable, __file__, *sys.argv[1:], "--way", way]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            result = json.loads(done.stdout.splitlines()[-1])
            if way not in best or result["seconds"] < best[way]["seconds"]:
                best[way] = result
    usual = best["usual, gated"]
    defective = sum(any(texts.values()) for texts in usual["rows"].values())
    print(f"{len(files)} strips, {len(files) - defective} found clean, {os.cpu_count()} cores")
    print("| way | strips/s | plain / it | gated / it | MiB | first result, s | other masks |")
    print("|---|---|---|---|---|---|---|")
    for way, result in best.items():
        ratios = (best[base]["seconds"] / result["seconds"] for base in WAYS[:2])
        others = sum(masks_of(result, file) != masks_of(usual, file) for file in files)
        cells = [f"{len(files) / result['seconds']:.2f}", *(f"{ratio:.2f}" for ratio in ratios)]
        cells += [f"{result['mib']:.0f}", f"{result['first']:.2f}", str(others)]
        print(f"| {way} | {' | '.join(cells)} |")
    if options.quick:
        ratio = usual["cpu"] / best["bundle"]["cpu"]
        what = "predict with a bundle, processor time saved"
        print_result(what, "eager PyTorch, gated", ratio, ">= 1.2")


def masks_of(result: dict[str, Any], file: Path) -> dict[str, str]:
    """Return the run lengths that a way wrote for a strip."""
    return {known: text for known, text in result["rows"].get(file.name, {}).items() if text}


def timed(way: str, run: Path, bundle: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Load and predict one strip, then all; return times, memory and masks."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        start = time.perf_counter()
        if way.startswith("usual"):
            loop = Usual(run, gated=way.endswith("gated"))
            loop.predict(files[:1], out / "first")
        else:
            load(bundle).scan_file(files[0])
        first = time.perf_counter() - start
        start, before = time.perf_counter(), time.process_time()
        if way.startswith("usual"):
            loop.predict(files, out / "all")
        else:
            pictures = out / "pictures"
            pictures.mkdir()
            for file in files:
                (pictures / file.name).symlink_to(file.resolve())
            cascade = way == "bundle"
            scan_pictures(bundle, str(pictures), out / "all", overlays=False, cascade=cascade)
        seconds, cpu = time.perf_counter() - start, time.process_time() - before
        rows = read_mask_table(out / "all" / "submission.csv").rows
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": cpu, "first": first, "mib": mib, "rows": rows}


class Usual:
    """The usual loop over the networks of a run of one classifier step and one segmenter step."""

    def __init__(self, run: Path, *, gated: bool) -> None:
        import torch

        from steelscan.decision import ClassifyStep
        from steelscan.pipeline import RunFolder, open_run
        from steelscan.postprocess import MinArea, Threshold

        self.layout = RunFolder(run).load_record().layout
        self.detector = open_run(RunFolder(run), torch.device("cpu"))
        classify = self.detector.decision.steps["classify"]
        threshold, area = self.detector.decision.last.rules
        assert isinstance(classify, ClassifyStep)
        assert isinstance(threshold, Threshold)
        assert isinstance(area, MinArea)
        self.classify, self.threshold, self.area, self.gated = classify, threshold, area, gated

    def predict(self, files: Sequence[Path], out: Path) -> None:
        """Write masks and a CSV file."""
        (out / "masks").mkdir(parents=True)
        rows: dict[str, list[str]] = {}
        for file in files:
            grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
            assert grey is not None
            passes = self.mean_of("classify", grey, "classes") > self.classify.threshold
            masks = np.zeros((len(passes), *grey.shape), np.bool_)
            if passes.any() or not self.gated:
                masks = self.cleaned(self.mean_of("segment", grey, "masks"))
            if not passes.any():
                masks[:] = False
            index = np.zeros(grey.shape, np.uint8)
            for at, mask in enumerate(masks, start=1):
                index[mask] = at
                rows.setdefault(file.name, []).append(encode(mask))
            cv2.imwrite(str(out / "masks" / f"{file.stem}.png"), index)
        write_mask_table(out / "submission.csv", rows.items(), self.layout)

    def mean_of(self, name: str, grey: NDArray[Any], head: str) -> NDArray[Any]:
        """Return the mean over networks and views, at the size of the strip."""
        import torch

        outputs = []
        for model in self.detector.models[name]:
            frame = Frame(*grey.shape)
            size = model.resize.frame(frame) if model.resize else frame
            small = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA)
            for view in self.detector.decision.steps[name].views:
                axes = {"identity": (), "hflip": (1,), "vflip": (0,)}[view]
                with torch.no_grad():
                    mirrored = np.ascontiguousarray(np.flip(small, axes))
                    logits = getattr(model.network(torch.from_numpy(mirrored)[None, None]), head)
                    output = logits.sigmoid()[0].numpy()
                if head == "masks":
                    planes = [np.ascontiguousarray(np.flip(plane, axes)) for plane in output]
                    output = np.stack([cv2.resize(plane, frame[::-1]) for plane in planes])
                outputs.append(output)
        return np.asarray(np.mean(outputs, axis=0))

    def cleaned(self, maps: NDArray[Any]) -> NDArray[np.bool_]:
        """Apply thresholds and least areas per class, on whole 255ths as the run decides."""
        masks = []
        for at, plane in enumerate(np.rint(maps * 255) / 255):
            rules = (self.threshold.label, self.threshold.pixel, self.area.pixels)
            label, pixel, least = (each[at] if isinstance(each, tuple) else each for each in rules)
            mask = plane > pixel
            if plane.max() <= label or mask.sum() < least:
                mask = np.zeros_like(mask)
            masks.append(mask)
        return np.stack(masks)


if __name__ == "__main__":
    main()
