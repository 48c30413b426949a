"""A network in two precisions, side by side: how far apart they lie, and which is faster here.

No torch here.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat

from steelscan.bundle import Graph, Package, Precision, Run, load_graph
from steelscan.bundle.precision.graphs import Strips
from steelscan.decision import Step
from steelscan.prediction import kind_for
from steelscan.strip import Spec

_MOST = 16
"""Strips that are timed."""


class Beside(Spec):
    """A network in another precision beside itself in float32, on some strips.

    ``apart`` is how far their probabilities lie apart, added up over all strips, as a share of
    their own sum in float32, of the head where that is highest; 1 where one is no finite number.
    ``before`` and ``after`` are seconds a strip, one thread, the median.
    """

    apart: NonNegativeFloat
    before: NonNegativeFloat
    after: NonNegativeFloat


def beside(package: Package, step: Step, graph: Graph, lowered: bytes, strips: Strips) -> Beside:
    """Ask both about the first strips, in turn."""
    logits = kind_for(step.average) == "logits"  # they do not give probabilities
    first, second = (
        _run(package, step, graph, content) for content in (package.contents[graph.file], lowered)
    )
    for part in strips[0]:  # what is run for the first time takes its time
        first(part), second(part)
    sums = np.zeros((len(graph.heads), 2))
    before, after = [], []
    for place in range(min(len(strips), _MOST)):
        seen = strips[place]
        runs = (first, second) if place % 2 else (second, first)
        said = {run: _timed(run, seen) for run in runs}
        before.append(said[first][0])
        after.append(said[second][0])
        for at, pair in enumerate(zip(said[first][1], said[second][1], strict=True)):
            sums[at % len(sums)] += _apart(*pair, logits)
    shares = sums[:, 0] / np.maximum(sums[:, 1], 1e-9)
    apart = float(shares.max()) if np.isfinite(shares).all() else 1.0
    return Beside(apart=apart, before=float(np.median(before)), after=float(np.median(after)))


def _run(package: Package, step: Step, graph: Graph, content: bytes) -> Run:
    return load_graph(Package(package.manifest, {graph.file: content}), step, graph, 1, "cpu")


def _timed(run: Run, seen: Sequence[NDArray[np.uint8]]) -> tuple[float, list[NDArray[np.float32]]]:
    start = time.perf_counter()
    heads = [head for part in seen for head in run(part)]
    return time.perf_counter() - start, heads


def _apart(
    first: NDArray[np.float32], second: NDArray[np.float32], logits: bool
) -> tuple[float, float]:
    """How far probabilities lie apart, and the first of them, summed up."""
    one, other = ((np.tanh(each / 2) + 1) / 2 if logits else each for each in (first, second))
    return float(np.abs(one - other).sum()), float(one.sum())


def speed_text(before: float, after: float, to: Precision) -> str:
    """What was measured, in words that a plant can use."""
    share = after / before
    says = "faster than" if share < 0.95 else "slower than" if share > 1.05 else "as fast as"
    return (
        f"{to} is {says} fp32 here: its networks take {after * 1000:.1f} ms a strip, those of fp32 "
        f"{before * 1000:.1f} ms ({share:.2f} of the time, on one thread){_why(to)}"
    )


def _why(to: Precision) -> str:
    if to == "fp16":
        return "; float16 is for GPUs: a CPU converts, and computes in float32"
    vnni = _vnni()
    if vnni is None:
        return ""
    return f"; this CPU has {'VNNI' if vnni else 'no VNNI, which 8-bit integers gain most by'}"


def _vnni() -> bool | None:
    """Whether the processor has instructions for sums of products of 8 bits; None: not known."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    return "vnni" in text if "avx" in text else None
