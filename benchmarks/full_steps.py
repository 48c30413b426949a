"""One training step of every network of the nine solutions at full budget: memory and gradients.

Each distinct pair of a network and a stage is fitted for one optimizer step (one per pass of the
stage) by the package's own loop: real crops, augmentation, batch, accumulation, loss, optimizer and
precision, random initial weights, strips of a synthetic mill. Each runs in its own process, after
the same step with a batch of 2, from which its memory is estimated; if a step would not fit into
memory, tensors saved by autograd are written to files. Memory is the peak of resident memory, minus
that of the process before its network was built, plus the most bytes in files. Seconds include
reading, cutting and augmenting, in a fresh process.

The log has one JSON line per case, the smallest first. The same command continues where it stopped
and repeats cases that failed. Linux only.

Run: OMP_NUM_THREADS=2 python benchmarks/full_steps.py --log steps.jsonl [--out TABLE.md]
"""

import argparse
import hashlib
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from networks import named  # the files beside this one
from quick import mill_strips, print_result
from spilled import spilling
from steelscan import recipes
from steelscan.data import Shrink, crop_frame, open_dataset, padded_frame
from steelscan.losses import BothHeads, Loss, Mix, WherePresent, loss_of_classes
from steelscan.mill import Mill, write_mill
from steelscan.models import Network, build_network, encoder_of
from steelscan.prediction import EncoderFittedFor
from steelscan.recipes import with_random_weights
from steelscan.strip import Frame, show_progress
from steelscan.training import AllStrips, CropPass, EveryStrip, Stage, Training, TrainingData

CLASSES = 4
STRIP = Frame(256, 1600)
GIB = 2**30
SPARE = 2 * GIB
"""Memory that is left to the rest of the machine and to a process besides its step."""
PROBE = 2
"""The smallest batch for every network: a PSPNet normalises one value per crop."""
MARGIN = 1.05
"""How much more than estimated a step may take."""
SIZES = {
    "crop", "extra_passes", "batch", "accumulate_to", "loss", "optimizer", "precision", "mixup",
    "freeze", "averaging",
}  # fmt: skip
"""The fields of a stage that change a step."""


@dataclass(frozen=True)
class Case:
    """A network and a stage, from the first member that has this step.

    ``classes`` are those of the network (None: all four).
    """

    network: Network
    training: Training
    resize: Shrink | None
    classes: tuple[int, ...] | None
    recipes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Equal for cases with the same step, in any recipe."""
        outputs = len(self.classes or range(CLASSES))
        loss = loss_of_classes(self.training.loss, self.classes, CLASSES)
        stage = self.training.but(loss=loss).model_dump(mode="json", include=SIZES)
        resize = self.resize and self.resize.model_dump(mode="json")
        text = json.dumps(
            [self.network.model_dump(mode="json"), stage, resize, outputs], sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def passes(self) -> tuple[CropPass, ...]:
        """All passes of the stage."""
        own = CropPass(crop=self.training.crop, batch=self.training.batch)
        return (own, *self.training.extra_passes)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The size of the crops of each pass."""
        strip = self.resize.frame(STRIP) if self.resize else STRIP
        return tuple(padded_frame(crop_frame(each.crop, strip)) for each in self.passes)

    @property
    def pixels(self) -> int:
        """Pixels of the largest batch."""
        pairs = zip(self.passes, self.frames, strict=True)
        return max(each.batch * frame.pixels for each, frame in pairs)

    @property
    def together(self) -> int:
        """Batches that go into one step."""
        return max(1, (self.training.accumulate_to or 0) // self.training.batch)

    @property
    def strips(self) -> int:
        """Strips for one step in each pass."""
        return max(self.together * self.training.batch, *(each.batch for each in self.passes))

    def at(self, batch: int, together: int | None = None) -> "Case":
        """Return the case with batches of at most this size, and so many per step."""
        training = self.training
        own = min(batch, training.batch)
        more = tuple(each.but(batch=min(batch, each.batch)) for each in self.training.extra_passes)
        count = own * (together or self.together)
        accumulated = count if training.accumulate_to else None
        stage = training.but(batch=own, extra_passes=more, accumulate_to=accumulated)
        return replace(self, training=stage)


@dataclass(frozen=True)
class Measured:
    """One step: its batch, seconds, bytes, and how many tensors of parameters learned from it.

    Of the ``peak`` so many bytes as are ``spilled`` stood in files. ``weights`` and ``state`` are
    the bytes of parameters and buffers, and of the optimizer; ``fitted`` tensors are not frozen, of
    them ``silent`` got no gradient, ``wild`` one that is not finite, and ``still`` are what they
    were before.
    """

    batch: int
    wall: float
    cpu: float
    peak: int
    spilled: int
    weights: int
    state: int
    loss: float
    fitted: int
    silent: int
    wild: int
    still: int

    @property
    def fault(self) -> str | None:
        """What is wrong with the step; None when nothing is."""
        found = {
            "loss not finite": not math.isfinite(self.loss),
            f"{self.silent} tensors without gradient": self.silent,
            f"{self.wild} gradients not finite": self.wild,
            "no parameter changed": self.still == self.fitted,
        }
        return ", ".join(text for text, there in found.items() if there) or None


@dataclass(frozen=True)
class Row:
    """What the log says of a case: a step, or why there is none; ``probes`` are smaller ones."""

    id: str
    measured: Measured | None
    probes: tuple[Measured, ...]
    error: str | None


class StepError(Exception):
    """A step that failed, with the reason."""


def solutions() -> list[str]:
    """Return the recipes of the nine solutions."""
    return [name for name in recipes.names() if name != "quick"]


def fits(name: str) -> Iterator[Case]:
    """Yield every stage of every member of a recipe, with repetitions."""
    for step in with_random_weights(recipes.load(name)).network_steps:
        for member in step.ensemble.members:
            fitted = [(member.network, member.stages)]
            if isinstance(member.start, EncoderFittedFor):
                fitted.insert(0, (member.start.network, member.start.stages))
            for network, stages in fitted:
                for stage in stages:
                    yield Case(network, stage, member.resize, member.classes, (name,))


def cases() -> list[Case]:
    """Return the distinct steps of all solutions, in their order, each with its recipes."""
    found: dict[str, Case] = {}
    for name in solutions():
        for case in fits(name):
            first = found.setdefault(case.id, case)
            if name not in first.recipes:
                found[case.id] = replace(first, recipes=(*first.recipes, name))
    return list(found.values())


def parameters(case: Case) -> int:
    """Return the number of parameters of a network, frozen ones too."""
    with torch.device("meta"):
        network, _ = build_network(case.network, len(case.classes or range(CLASSES)))
    return sum(parameter.numel() for parameter in network.parameters())


def work(case: Case) -> int:
    """Return a rough measure of the time of a step."""
    return parameters(case) * case.pixels * case.together


def make_data(folder: Path) -> None:
    """Write enough strips for the largest step, with equally many of each class."""
    if not (folder / "train.csv").exists():
        most = max(case.strips for case in cases())
        each = tuple(((class_id,), 1) for class_id in range(1, CLASSES + 1))
        mill = Mill(strips=most, clean_share=0.2, duplicate_share=0.0, combinations=each)
        write_mill(mill, folder)


def peak() -> int:
    """Return the peak of resident memory of this process, in bytes."""
    # ru_maxrss would include that of the process which started this one
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def measure(case: Case, data: Path, spill: bool) -> Measured:
    """Fit one epoch of one step per pass in this process, which should end afterwards."""
    dataset = open_dataset(data)
    training_data = TrainingData(dataset, np.arange(case.strips), case.resize, 0, case.classes)
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    before = peak()
    network, _ = build_network(case.network, len(case.classes or range(CLASSES)))
    network.to(memory_format=torch.channels_last)
    training = case.training.but(strips=AllStrips(), sampler=EveryStrip())
    stage = Stage(network, training, 0, training_data, accelerator)
    learned = _Learned(stage)
    wall, cpu = time.perf_counter(), time.process_time()
    kept = spilling(data) if spill else nullcontext()
    with kept as files, show_progress("a step", 1) as shown:
        loss = stage.epoch(0, shown)
    spilled = files.most if files else 0
    return Measured(
        batch=training.batch,
        wall=time.perf_counter() - wall,
        cpu=time.process_time() - cpu,
        peak=peak() - before + spilled,
        spilled=spilled,
        weights=_bytes([*network.parameters(), *network.buffers()]),
        state=_bytes(_tensors(stage)),
        loss=loss,
        **learned.counts(),
    )


class _Learned:
    """Counts the parameters of a stage's network that change, and their gradients."""

    def __init__(self, stage: Stage) -> None:
        parameters = stage.network.named_parameters()
        self._fitted = {name: each for name, each in parameters if each.requires_grad}
        self._before = {name: _digest(each) for name, each in self._fitted.items()}
        self._silent: set[str] = set()
        self._wild: set[str] = set()
        stage.optimizer.register_step_pre_hook(lambda *_: self._look())

    def counts(self) -> dict[str, int]:
        """Count fitted tensors, and those without a change or a finite gradient."""
        still = sum(_digest(each) == self._before[name] for name, each in self._fitted.items())
        return {
            "fitted": len(self._fitted),
            "silent": len(self._silent),
            "wild": len(self._wild),
            "still": still,
        }

    def _look(self) -> None:
        for name, each in self._fitted.items():
            if each.grad is None:
                self._silent.add(name)
            elif not bool(each.grad.isfinite().all()):
                self._wild.add(name)


def _digest(tensor: Tensor) -> bytes:
    """Return a digest to compare tensors; copies of all would add to the measured peak."""
    return hashlib.sha256(tensor.detach().contiguous().numpy()).digest()


def _tensors(stage: Stage) -> Iterator[Tensor]:
    """Yield the state of a stage's optimizer."""
    for state in stage.optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))


def _bytes(tensors: Sequence[Tensor] | Iterator[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def alone(
    case: Case, batch: int, together: int, data: Path, limit: float, room: float, *, spill: bool
) -> Measured:
    """Measure a case at a batch, so many of them a step, in a process of its own.

    With ``spill`` autograd keeps its tensors in files below ``data``. Raises StepError when it does
    not come to its end.
    """
    command = [sys.executable, __file__, "--data", str(data), "--room", str(room)]
    command += ["--step", case.id, "--batch", str(batch), "--together", str(together)]
    command += ["--spill"] * spill
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        raise StepError(f"over {limit:.0f} s") from None
    if done.returncode < 0:
        raise StepError(f"killed by signal {-done.returncode}")
    if done.returncode:
        raise StepError((done.stderr.strip().splitlines() or ["no word"])[-1])
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def run(case: Case, data: Path, limit: float, most: float) -> Row:
    """Estimate the memory of a step from small batches, and run it, with files if necessary."""
    room = min(most, free() - SPARE)
    probes: list[Measured] = []
    full = case.training.batch
    try:
        for batch in sorted({PROBE, min(4, full - 1)}):
            # what one small step says is too much rather than too little: nothing of it is fixed
            if PROBE <= batch < full and estimated_memory(case, probes, full) > room:
                few = min(2, case.together)
                probes.append(alone(case, batch, few, data, limit, room, spill=False))
        spill = estimated_memory(case, probes, full) > room
        step = alone(case, full, case.together, data, limit, room, spill=spill)
    except StepError as error:
        return Row(case.id, None, tuple(probes), str(error))
    return Row(case.id, step, tuple(probes), step.fault)


def estimated_memory(case: Case, steps: Sequence[Measured], batch: int) -> float:
    """The peak of a step with this batch, by what the last two smaller ones took.

    One alone is taken in proportion; with none it is infinite.
    """
    if not steps:
        return math.inf
    pixels = case.at(batch).pixels
    last = steps[-1]
    x, y = case.at(last.batch).pixels, last.peak
    if len(steps) == 1 or steps[-2].batch == last.batch:
        return MARGIN * y * max(1.0, pixels / x)
    slope = (y - steps[-2].peak) / (x - case.at(steps[-2].batch).pixels)
    return MARGIN * (y + slope * (pixels - x))


def free() -> int:
    """Return the free memory of this machine, in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def read_log(path: Path) -> dict[str, Row]:
    """Return the last result of each case."""
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        step = row["measured"] and Measured(**row["measured"])
        probes = tuple(Measured(**each) for each in row["probes"])
        rows[row["id"]] = Row(**{**row, "measured": step, "probes": probes})
    return rows


def table(rows: Mapping[str, Row]) -> str:
    """All cases in Markdown, in the order of the recipes; those not run yet say so."""
    lines = [
        "| recipe | network | encoder | crop | loss | batch | accumulated to | seconds | CPU s "
        "| GiB | of which weights + state | tensors moved | |",
        "|---|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for case in cases():
        cells = [*described(case), *numbers(rows.get(case.id))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def described(case: Case) -> list[str]:
    """The cells that say which step it is."""
    training = case.training
    frames = ", ".join(f"{frame.height}x{frame.width}" for frame in case.frames)
    batches = ", ".join(str(each.batch) for each in case.passes)
    extra: list[str] = [training.precision] if training.precision != "float32" else []
    extra += ["mixup"] if training.mixup else []
    outputs = len(case.classes or range(CLASSES))
    network = named(case.network) + ("" if outputs == CLASSES else f", {outputs} class")
    return [
        ", ".join(case.recipes),
        ", ".join([network, *extra]),
        encoder_of(case.network).encoder,
        frames,
        loss_words(training.loss),
        batches,
        str(training.accumulate_to or ""),
    ]


def loss_words(loss: Loss) -> str:
    """A loss as it is read in a table."""
    match loss:
        case Mix():
            return " + ".join(f"{weight:g} {loss_words(part)}" for weight, part in loss.parts)
        case BothHeads():
            return f"masks {loss_words(loss.masks)}, classes {loss_words(loss.classes)}"
        case WherePresent():
            return f"{loss_words(loss.loss)} where present"
        case _:
            return loss.kind.replace("_", " ")


def numbers(row: Row | None) -> list[str]:
    """The cells that say what was measured."""
    if row is None or row.measured is None:
        return ["", "", "", "", "", row.error or "" if row else "not run yet"]
    step = row.measured
    note = [f"{step.spilled / GIB:.2f} GiB of it in files"] if step.spilled else []
    return [
        f"{step.wall:.1f}",
        f"{step.cpu:.1f}",
        f"{step.peak / GIB:.2f}",
        f"{(step.weights + step.state) / GIB:.2f}",
        f"{step.fitted - step.still} of {step.fitted}",
        "; ".join([*note, row.error] if row.error else note),
    ]


def page(rows: Mapping[str, Row], command: str) -> str:
    """The table under what says where it is from."""
    packages = ("torch", "timm", "segmentation-models-pytorch")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return f"""# One training step at the full budget

{(__doc__ or "").partition("Run:")[0].partition(chr(10))[2].strip()}

Wall-clock seconds were measured on a machine with other work; CPU seconds show what the step itself
took. A tensor did not move if its gradient was 0 (after a batch norm that begins at 0), or if the
first step was too small to change the last digit of its numbers.

```
{command}
```

{os.cpu_count()} cores, {memory:.0f} GiB, no GPU ({platform.machine()}); {versions};
{datetime.now(UTC).date()}; commit COMMIT.

{table(rows)}"""


def run_all(log: Path, data: Path, limit: float, most: float) -> None:
    """Run the cases that are not in the log, the smallest first."""
    make_data(data)
    done = read_log(log)
    waiting = [case for case in cases() if case.id not in done or done[case.id].error]
    for number, case in enumerate(sorted(waiting, key=work), start=1):
        row = run(case, data, limit, most)
        with log.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        step = row.measured
        text = f"{step.wall:.0f} s, {step.peak / GIB:.2f} GiB" if step else ""
        name = ", ".join(described(case)[:4])
        text = ", ".join(each for each in (text, row.error) if each)
        print(f"{number}/{len(waiting)} {name}: {text}", file=sys.stderr, flush=True)


def run_quick(data: Path, most: float) -> None:
    """Run the smallest two steps, and print the share that works."""
    few = [case for case in cases() if case.strips <= len(open_dataset(data))]
    rows = [run(case, data, 120, most) for case in sorted(few, key=work)[:2]]
    works = float(np.mean([row.error is None for row in rows]))
    print_result("steps at the full budget that fit and learn, share of 2", "all", works, ">= 1")


def run_one(options: argparse.Namespace) -> None:
    """Measure the step that the process was started for, and print it."""
    (case,) = (case for case in cases() if case.id == options.step)
    most = int(options.room + SPARE)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    step = measure(case.at(options.batch, options.together), options.data, options.spill)
    print(json.dumps(asdict(step)))


def main() -> None:
    """Run the remaining cases, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=Path("full_steps.jsonl"))
    parser.add_argument("--data", type=Path, help="the mill's strips; beside the log, if not named")
    parser.add_argument("--most", type=float, default=20, help="GiB that a step may take")
    parser.add_argument("--limit", type=float, default=15, help="minutes that a step may take")
    parser.add_argument("--out", type=Path, help="a Markdown file to be written")
    parser.add_argument("--table", action="store_true", help="run nothing, print what there is")
    for name, kind in (("step", str), ("room", float), ("batch", int), ("together", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--spill", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.step:
        run_one(options)
        return
    if options.quick:
        run_quick(mill_strips(), options.most * GIB)
        return
    if not options.table:
        data = options.data or options.log.with_suffix(".mill")
        run_all(options.log, data, 60 * options.limit, options.most * GIB)
    rows = read_log(options.log)
    print(table(rows), end="")
    if options.out:
        command = "OMP_NUM_THREADS=2 python benchmarks/full_steps.py --log steps.jsonl"
        options.out.write_text(page(rows, command))


if __name__ == "__main__":
    main()
