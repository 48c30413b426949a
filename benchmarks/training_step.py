"""Cost of a training step of `quick` besides forward, backward and the optimizer.

Epochs of a normal fit of the segmenter (strips read from disk, cut, augmented, logged) alternate
with a bare loop over the same batches: network, loss, backward, optimizer, nothing else.

Run: python benchmarks/training_step.py --data DIR
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from quick import mill_strips, print_result
from steelscan import recipes
from steelscan.data import open_dataset
from steelscan.losses import build_loss
from steelscan.models import build_network
from steelscan.strip import show_progress
from steelscan.training import Stage, TrainingData


def main() -> None:
    """Time both loops in turn and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    if options.quick:
        options.data, options.epochs = mill_strips(24, 128, 800), 2
    elif options.data is None:
        parser.error("give --data or --quick")
    dataset = open_dataset(options.data)
    member = recipes.load("quick").segment.ensemble.members[0]
    training = member.stages[0]
    if options.quick:
        training = training.but(sampler=training.sampler.but(samples=64))
    data = TrainingData(dataset, np.arange(len(dataset)), member.resize, 0)
    torch.manual_seed(0)
    network, _ = build_network(member.network, len(dataset.classes))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    stage = Stage(network, training, 0, data, Accelerator(cpu=True), options.workers)
    batches = [batch for step in stage.batches(0) for batch in step]
    loss = build_loss(training.loss, len(dataset.classes))
    optimizer = stage.optimizer

    def bare() -> None:
        network.train()
        for [(pictures, masks, _)] in batches:  # one part per batch, since all strips have one size
            loss(network(pictures).masks, masks).backward()
            optimizer.step()
            optimizer.zero_grad()

    def whole() -> None:
        with show_progress("an epoch", len(batches)) as shown:
            stage.epoch(0, shown)

    bare()
    times: dict[str, list[float]] = {"bare": [], "whole": []}
    for _ in range(options.epochs):
        for name, run in (("bare", bare), ("whole", whole)):
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    a_step = {name: float(np.median(each)) / len(batches) for name, each in times.items()}
    share = 1 - a_step["bare"] / a_step["whole"]
    print(f"bare step {a_step['bare'] * 1e3:.1f} ms, as fitted {a_step['whole'] * 1e3:.1f} ms")
    print(f"other than forward, backward and optimizer: {100 * share:.1f} % of a step")
    if options.quick:
        ratio = a_step["whole"] / a_step["bare"]
        print_result(
            "training step of quick, time", "forward, backward, optimizer", ratio, "<= 1.2"
        )


if __name__ == "__main__":
    main()
