"""Every network of every recipe: parameters, multiply-adds, memory of one training step.

Multiply-adds count convolutions and matrix products of one forward pass of one crop. Memory is the
peak of one step on the CPU, batch 1, float32: forward, mean of all squared logits, backward, plain
SGD; each in its own process, minus the memory of the process before the network was built.

Run: python benchmarks/networks.py
"""

import argparse
import multiprocessing
import resource
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
from torch.utils.flop_counter import FlopCounterMode

from quick import print_result
from steelscan import recipes
from steelscan.data import crop_frame, padded_frame
from steelscan.models import Network, TwoHeaded, build_network, encoder_of, without_weights
from steelscan.prediction import EncoderFittedFor
from steelscan.strip import Frame

CLASSES = 4
STRIP = Frame(256, 1600)


@dataclass(frozen=True)
class Case:
    """A network, and the crop of its first stage."""

    network: Network
    crop: Frame


@dataclass(frozen=True)
class Measured:
    """Results for one network; ``memory`` in bytes, None: more than allowed."""

    parameters: int
    multiply_adds: int
    memory: int | None


def cases(name: str) -> Iterator[Case]:
    """Yield the distinct networks of a recipe, in its order, each with its crops."""
    seen = set()
    for step in recipes.load(name).network_steps:
        for member in step.ensemble.members:
            fitted = [(member.network, member.stages)]
            if isinstance(member.start, EncoderFittedFor):
                fitted.insert(0, (member.start.network, member.start.stages))
            strip = member.resize.frame(STRIP) if member.resize else STRIP
            for network, stages in fitted:
                case = Case(network, padded_frame(crop_frame(stages[0].crop, strip)))
                if case not in seen:
                    seen.add(case)
                    yield case


def measure(case: Case, most: int) -> Measured:
    """Measure in this process, which is to end afterwards."""
    frame = (1, 1, *case.crop)
    with torch.device("meta"):
        network, _ = build_network(without_weights(case.network), CLASSES)
        network.eval()
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(torch.empty(frame))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    multiply_adds = counter.get_total_flops() // 2
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    before = peak()
    try:
        train_once(case, frame)
    except (MemoryError, RuntimeError) as error:
        if "memory" not in str(error):
            raise
        return Measured(parameters, multiply_adds, None)
    return Measured(parameters, multiply_adds, peak() - before)


def train_once(case: Case, frame: tuple[int, int, int, int]) -> None:
    """One step of SGD on noise."""
    torch.manual_seed(0)
    network, _ = build_network(without_weights(case.network), CLASSES)
    optimizer = torch.optim.SGD(network.train().parameters(), lr=1e-4)
    outputs = network(torch.randint(256, frame, dtype=torch.uint8))
    sum(logits.square().mean() for logits in outputs if logits is not None).backward()
    optimizer.step()


def peak() -> int:
    """The most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def alone(case: Case, most: int) -> Measured:
    """Measure in a process of its own."""
    # forked, so that not every process loads torch anew; this one has computed nothing yet
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, case, most))
    process.start()
    sender.close()
    result = receiver.recv()
    process.join()
    if isinstance(result, str):
        raise RuntimeError(result)
    return result


def _send(sender: Connection, case: Case, most: int) -> None:
    try:
        sender.send(measure(case, most))
    except Exception:
        sender.send(traceback.format_exc())


def named(network: Network) -> str:
    """The kind of a network and what is not usual of it."""
    if isinstance(network, TwoHeaded):
        rest = network.model_dump(exclude_defaults=True, exclude={"segmenter"})
        return ", ".join(["two heads", *described(rest)]) + f": {named(network.segmenter)}"
    rest = network.model_dump(exclude_defaults=True, exclude={"encoder", "weights"})
    return ", ".join([network.kind.replace("_", " "), *described(rest)])


def described(fields: dict[str, object]) -> list[str]:
    """Settings as they are read in a table."""
    return [
        field if value is True else f"{field.replace('_', ' ')} {value}"
        for field, value in fields.items()
    ]


def main() -> None:
    """Print the table, one row at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=float, default=20, help="GiB; what needs more is skipped")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        measured = alone(next(cases("quick")), int(options.most * 2**30))
        memory = (measured.memory or 0) / 2**30
        print_result(
            "memory of one training step of quick's classifier, GiB", "a limit", memory, "<= 2"
        )
        return
    print("| recipe | network | encoder | crop | parameters (M) | multiply-adds (G) | peak (GiB) |")
    print("|---|---|---|---|---:|---:|---:|")
    done: dict[Case, Measured] = {}
    for name in recipes.names():
        for case in cases(name):
            if case not in done:
                done[case] = alone(case, int(options.most * 2**30))
            found = done[case]
            memory = "over" if found.memory is None else f"{found.memory / 2**30:.2f}"
            print(
                f"| {name} | {named(case.network)} | {encoder_of(case.network).encoder} "
                f"| {case.crop.height}x{case.crop.width} | {found.parameters / 1e6:.1f} "
                f"| {found.multiply_adds / 1e9:.1f} | {memory} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
