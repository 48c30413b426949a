"""Reduce the precision of the networks of a bundle, of each as far as its outputs hardly change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelscan.bundle import Graph, Package, Run, load_graph
from steelscan.bundle.precision.graphs import Calibration, ReducedGraph, to_fp16, to_int8
from steelscan.data import PictureFile, read_picture
from steelscan.decision import Step
from steelscan.prediction import kind_for, network_inputs
from steelscan.strip import track
from steelscan.strip.errors import BundleError

ReducedPrecision = Literal["fp16", "int8"]

MOST_DRIFT: Mapping[ReducedPrecision, float] = {"fp16": 0.01, "int8": 0.02}
"""A network whose outputs drift more than this stays in float32; see `drift_of`."""

_DRIFT_STRIPS = 16
"""Strips on which the drift is measured, at most."""

_ATTEMPTS: Mapping[ReducedPrecision, Sequence[Callable[[bytes, Calibration], ReducedGraph]]] = {
    "fp16": (to_fp16,),
    "int8": (to_int8, partial(to_int8, fp32_depth=0.5), partial(to_int8, fp32_depth=0.8)),
}
"""Ways to reduce a network, the one that leaves least in float32 first."""


@dataclass(frozen=True)
class ReducedNetwork:
    """A network in reduced precision, and whether it replaces the one in float32."""

    file: str
    graph: ReducedGraph
    drift: float
    used: bool


@dataclass(frozen=True)
class StripInputs:
    """The inputs of a network for some strips; each strip is read when needed, and not kept."""

    graph: Graph
    files: Sequence[PictureFile]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> list[NDArray[np.uint8]]:
        """Return the inputs for one strip, see `Calibration`. Raises PictureError."""
        picture = read_picture(self.files[index].read(), self.files[index].name)
        parts = network_inputs(self.graph.resize, self.graph.tiles, picture)
        return [np.ascontiguousarray(part)[None, None] for part in parts]


def reduce_networks(
    package: Package, to: ReducedPrecision, files: Sequence[PictureFile]
) -> tuple[ReducedNetwork, ...]:
    """Reduce all networks.

    If the outputs of all networks drift too much, all are used nevertheless: decisions may still
    be the same, and if not, the refusal names the classes.
    """
    graphs = package.manifest.graphs
    networks = [
        _reduce_network(package, step, graph, to, files)
        for step, graph in track(graphs, f"Converting networks to {to}", len(graphs))
    ]
    if not any(each.used for each in networks):
        return tuple(replace(each, used=True) for each in networks)
    return tuple(networks)


def _reduce_network(
    package: Package,
    step: Step,
    graph: Graph,
    to: ReducedPrecision,
    files: Sequence[PictureFile],
) -> ReducedNetwork:
    """Return the first attempt whose outputs drift little enough, or the first of all."""
    strips = StripInputs(graph, files)
    tried: list[ReducedNetwork] = []
    for attempt in _ATTEMPTS[to]:
        reduced = attempt(package.contents[graph.file], strips)
        if reduced.layers:
            drift = drift_of(package, step, graph, reduced.content, strips)
            tried.append(ReducedNetwork(graph.file, reduced, drift, drift <= MOST_DRIFT[to]))
            if tried[-1].used:
                return tried[-1]
    if not tried:
        raise BundleError(graph.file, f"has no layer to compute in {to}", "Use it in fp32")
    return tried[0]


def drift_of(
    package: Package, step: Step, graph: Graph, reduced: bytes, strips: Calibration
) -> float:
    """Return how far the probabilities of a reduced network are from those in float32.

    That is the sum of their absolute differences over the first strips, divided by the sum of the
    probabilities in float32, of the output where it is largest; 1 if an output is not finite.
    """
    logits = kind_for(step.average) == "logits"
    original, other = (
        _open(package, step, graph, content) for content in (package.contents[graph.file], reduced)
    )
    sums = np.zeros((len(graph.heads), 2))
    for index in range(min(len(strips), _DRIFT_STRIPS)):
        for inputs in strips[index]:
            for at, outputs in enumerate(zip(original(inputs), other(inputs), strict=True)):
                one, two = (_probabilities(each, logits) for each in outputs)
                sums[at] += float(np.abs(one - two).sum()), float(one.sum())
    shares = sums[:, 0] / np.maximum(sums[:, 1], 1e-9)
    return float(shares.max()) if np.isfinite(shares).all() else 1.0


def _open(package: Package, step: Step, graph: Graph, content: bytes) -> Run:
    return load_graph(Package(package.manifest, {graph.file: content}), step, graph, 1, "cpu")


def _probabilities(outputs: NDArray[np.float32], logits: bool) -> NDArray[np.float32]:
    return np.asarray((np.tanh(outputs / 2) + 1) / 2) if logits else outputs
