"""Training by the package against a plain PyTorch loop: crops per second, and where time goes.

Two networks: the segmenter of `quick`, and an FPN on EfficientNet-b3 of first_place, on a CPU with
smaller crops and batches than published. Epochs of the package's own loop alternate with epochs of
a loop as one writes it by hand: the same network in channels_last, loss, optimizer and schedule,
albumentations on strips that are cached in memory, a standard DataLoader with as many workers. The
ratio of an epoch's time includes reading, cutting, augmenting and logging.

Shares of time are measured in one more loop over the package's batches. On a GPU, the share of time
in which it computes is measured by torch's profiler while the package trains.

Run: python benchmarks/training_step.py --data DIR [--workers 2] [--device cuda]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import albumentations as al
import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, optim
from torch.utils import data as torch_data

from quick import mill_strips, print_result
from steelscan import recipes
from steelscan.augment import BrightnessContrast, HFlip, VFlip
from steelscan.data import Dataset, RandomCrop, open_dataset, resize_masks, resize_picture
from steelscan.losses import build_loss
from steelscan.models import StripNetwork, build_network, without_weights
from steelscan.prediction import Member
from steelscan.strip import show_progress
from steelscan.training import Adam, AdamW, BalancedSampler, RAdam, Stage, Training, TrainingData

OPTIMIZERS = {Adam: optim.Adam, AdamW: optim.AdamW, RAdam: optim.RAdam}


class PlainStrips(torch_data.Dataset[tuple[Tensor, Tensor]]):
    """Crops of strips that are read and made smaller once, then cached in memory."""

    def __init__(self, dataset: Dataset, member: Member, training: Training, count: int) -> None:
        self._dataset, self._resize, self._count = dataset, member.resize, count
        self._cache: dict[int, tuple[Any, Any]] = {}
        crop = training.crop
        assert isinstance(crop, RandomCrop)
        height, width = crop.height, crop.width
        if member.resize is not None:
            height = min(height, *(member.resize.frame(each).height for each in dataset.frames))
        random = al.RandomCrop(height, width)
        if crop.defect:
            on_defect = al.CropNonEmptyMaskIfExists(height, width)
            steps = [al.OneOf([_with(on_defect, crop.defect), _with(random, 1 - crop.defect)], p=1)]
        else:
            steps = [random]
        self._transform = al.Compose([*steps, *map(_plain, training.augment)])
        present = dataset.present.any(1)
        clean = np.flatnonzero(~present)
        sampler = training.sampler
        if isinstance(sampler, BalancedSampler) and len(clean):  # as many clean strips as ours
            few = max(1, round(present.sum() * sampler.clean / (1 - sampler.clean)))
            clean = clean[:few]
        self._rows = np.concatenate([np.flatnonzero(present), clean])

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        row = int(self._rows[index % len(self._rows)])
        if row not in self._cache:
            frame, masks = self._dataset.frames[row], self._dataset.masks(row)
            if self._resize is not None:
                frame = self._resize.frame(frame)
            planes = resize_masks(masks, frame).astype(np.uint8).transpose(1, 2, 0)
            picture = resize_picture(self._dataset.picture(row), frame)
            self._cache[row] = picture[..., None], np.ascontiguousarray(planes)
        picture, planes = self._cache[row]
        changed = self._transform(image=picture, mask=planes)
        arrays = (
            np.ascontiguousarray(changed[key].transpose(2, 0, 1)) for key in ("image", "mask")
        )
        one, other = map(torch.from_numpy, arrays)
        return one, other


def _tensor(planes: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1)))


def _with(transform: Any, p: float) -> Any:
    transform.p = p
    return transform


def _plain(spec: Any) -> Any:
    """Return the transform that one would write by hand."""
    match spec:
        case HFlip(p=p):
            return al.HorizontalFlip(p=p)
        case VFlip(p=p):
            return al.VerticalFlip(p=p)
        case BrightnessContrast(brightness=brightness, contrast=contrast, brightness_of=of, p=p):
            return al.RandomBrightnessContrast(
                brightness_limit=brightness,
                contrast_limit=contrast,
                brightness_by_max=of == "white",
                p=p,
            )
    raise NotImplementedError(spec.kind)


class Comparison:
    """One network trained by both loops on the same strips."""

    def __init__(
        self,
        dataset: Dataset,
        member: Member,
        training: Training,
        workers: int,
        accelerator: Accelerator,
    ) -> None:
        self._classes, self._training = len(dataset.classes), training
        self._device, self._member = accelerator.device, member
        self._network = self._build()
        data = TrainingData(dataset, np.arange(len(dataset)), member.resize, 0)
        self._stage = Stage(self._network, training, 0, data, accelerator, workers)
        self.batches = len(self._stage) // training.epochs
        self.crops = self.batches * training.batch
        self._loss = build_loss(training.loss, self._classes).to(self._device)
        plain = PlainStrips(dataset, member, training, self.crops)
        self._loader = torch_data.DataLoader(
            plain,
            batch_size=training.batch,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self._device.type == "cuda",
            multiprocessing_context="forkserver" if workers else None,
        )
        self._plain_network = self._build()
        rates = training.optimizer
        self._optimizer = OPTIMIZERS[type(rates)](
            self._plain_network.parameters(), lr=rates.lr, weight_decay=rates.weight_decay
        )
        steps = self.batches * training.epochs
        self._schedule = optim.lr_scheduler.CosineAnnealingLR(self._optimizer, steps)

    def _build(self) -> StripNetwork:
        torch.manual_seed(0)
        network, _ = build_network(without_weights(self._member.network), self._classes)
        network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network.train()

    def ours(self) -> None:
        """Train an epoch as `steelscan train` does."""
        with show_progress("an epoch", self.batches) as shown:
            self._stage.epoch(0, shown)

    def plain(self) -> None:
        """Train an epoch in a loop as one writes it by hand."""
        losses = []
        for pictures, masks in self._loader:
            images, truth = (each.to(self._device, non_blocking=True) for each in (pictures, masks))
            loss = self._loss(self._plain_network(images).masks, truth)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            self._schedule.step()
            losses.append(loss.item())

    def shares(self) -> dict[str, float]:
        """Return seconds of an epoch in the parts of a step, over the package's batches."""
        spent = dict.fromkeys(("loader", "forward", "backward", "optimizer"), 0.0)
        last = time.perf_counter()

        def spend(part: str) -> None:
            nonlocal last
            if self._device.type == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            spent[part] += now - last
            last = now

        self._network.train()
        for together in self._stage.batches(0):
            spend("loader")
            for [part] in together:  # one part per batch, since all crops have one size
                pictures, masks = part.pictures.to(self._device), part.masks.to(self._device)
                loss = self._loss(self._network(pictures).masks, masks)
                spend("forward")
                loss.backward()
                spend("backward")
            self._stage.optimizer.step()
            self._stage.optimizer.zero_grad()
            spend("optimizer")
        return spent


def timed(run: Callable[[], None], device: torch.device) -> float:
    """Return the seconds that a function takes, including what it queued on a GPU."""
    began = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def gpu_share(run: Callable[[], None], device: torch.device) -> float:
    """Return the share of a function's time in which the GPU computes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
        seconds = timed(run, device)
    busy = sum(each.self_device_time_total for each in profiled.key_averages()) / 1e6
    return busy / seconds


def cases(quick: bool, device: torch.device, crops: int) -> dict[str, tuple[Member, Training]]:
    """Return the networks to compare, with their trainings at the size of this run."""
    small = recipes.load("quick").segment.ensemble.members[0]
    fpn = recipes.load("first_place").segment.ensemble.members[2]
    as_published = fpn.stages[0].but(accumulate_to=None, max_samples=max(crops, 96))
    on_cpu = as_published.but(batch=4, max_samples=max(4, crops // 2))
    on_cpu = on_cpu.but(crop=RandomCrop(height=128, width=128 if quick else 256))
    return {
        "quick": (small, small.stages[0].but(max_samples=crops)),
        "first_place FPN-b3": (fpn, on_cpu if device.type == "cpu" else as_published),
    }


def main() -> None:
    """Time both loops in turn for each network, and print ratios and shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--epochs", type=int, default=7, help="of each loop")
    parser.add_argument("--crops", type=int, default=128, help="per epoch of quick")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options = parser.parse_args()
    if options.quick:
        options.data, options.epochs, options.crops = mill_strips(24, 128, 800), 3, 32
    elif options.data is None:
        parser.error("give --data or --quick")
    cv2.setNumThreads(1)
    dataset, accelerator = open_dataset(options.data), Accelerator(cpu=options.device == "cpu")
    device = accelerator.device
    for name, (member, training) in cases(options.quick, device, options.crops).items():
        compared = Comparison(dataset, member, training, options.workers, accelerator)
        runs = {"ours": compared.ours, "plain": compared.plain}
        for run in runs.values():  # fills caches, starts workers
            run()
        times: dict[str, list[float]] = {"ours": [], "plain": []}
        for number in range(options.epochs):
            for loop in ("ours", "plain")[:: 1 if number % 2 else -1]:
                times[loop].append(timed(runs[loop], device))
        seconds = {loop: float(np.median(each)) for loop, each in times.items()}
        ratio = float(np.median(np.divide(times["plain"], times["ours"])))
        spent = compared.shares()
        print(f"{name}: {compared.batches} batches of {training.batch}, {options.workers} workers")
        for loop, each in seconds.items():
            print(f"  {loop}: {compared.crops / each:.1f} crops per second")
        whole = sum(spent.values())
        parts = {part: each / whole for part, each in spent.items()}
        print("  " + ", ".join(f"{part} {100 * share:.1f} %" for part, share in parts.items()))
        if device.type == "cuda":
            print(f"  the GPU computes {100 * gpu_share(compared.ours, device):.1f} % of the time")
        goal = ">= 0.95" if options.quick else ">= 1.0"  # few and short repetitions vary by 5 %
        print_result(
            f"training of {name}, crops per second",
            "plain PyTorch loop",
            ratio,
            goal,
            **{part: round(share, 3) for part, share in parts.items()},
        )


if __name__ == "__main__":
    main()
