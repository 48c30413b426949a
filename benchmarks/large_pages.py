"""Training steps with and without large pages of memory (`THP_MEM_ALLOC_ENABLE`).

Processes with one thread take the same steps in turns: forward, backward and AdamW, of the
segmenter of `quick` on crops of 128x256. Times are processor times; both must give equal losses.

Run: python benchmarks/large_pages.py [--turns 5] [--steps 60]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from statistics import median
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from quick import print_result
from steelscan import recipes
from steelscan.models import build_network, without_weights

VARIABLE = "THP_MEM_ALLOC_ENABLE"


def main() -> None:
    """Run both in turns, and print the ratios of time and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(take_steps(options.steps)))
        return
    turns, steps = (2, 20) if options.quick else (options.turns, options.steps)
    results: dict[str, list[dict[str, Any]]] = {"0": [], "1": []}
    for _ in range(turns):
        for value, measured in results.items():
            measured.append(in_child(value, steps))
    assert len({each["loss"] for measured in results.values() for each in measured}) == 1
    for key in ("seconds", "gib"):
        small, large = (median(each[key] for each in results[value]) for value in "01")
        print_result(
            f"{key} of training steps, small over large pages",
            f"{VARIABLE}=0",
            small / large,
            small=round(small, 3),
            large=round(large, 3),
        )


def in_child(value: str, steps: int) -> dict[str, Any]:
    """Take the steps in a new process with this value of the variable."""
    environment = {**os.environ, VARIABLE: value, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--child", "--steps", str(steps)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def take_steps(steps: int) -> dict[str, float]:
    """Return processor seconds of the steps after three others, peak memory, and the last loss."""
    torch.manual_seed(0)
    member = recipes.load("quick").named["segment"].ensemble.members[0]
    network, _ = build_network(without_weights(member.network), 4)
    network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    crops = 255 * torch.rand(8, 1, 128, 256)
    target = (torch.rand(8, 4, 128, 256) < 0.1).float()
    start, loss = 0.0, torch.zeros(())
    for step in range(3 + steps):
        if step == 3:
            start = time.process_time()
        loss = binary_cross_entropy_with_logits(network(crops).masks, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seconds = time.process_time() - start
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "gib": gib, "loss": loss.item()}


if __name__ == "__main__":
    main()
