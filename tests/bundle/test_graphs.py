"""Networks as graphs: their costs are known before they run, and they compute as torch does."""

import numpy as np
import onnxruntime
import pytest
import torch

from steelscan import recipes
from steelscan.bundle import Graph
from steelscan.bundle.export.graphs import exportable, to_onnx
from steelscan.bundle.graph_check import GraphCheck
from steelscan.models import build_network, without_weights
from steelscan.prediction import LogitMean, Mean, kind_for
from steelscan.recipes import with_budget
from steelscan.strip import Frame


class Untrained:
    """A model with random weights."""

    def __init__(self, spec):
        torch.manual_seed(0)
        self.network = build_network(without_weights(spec), 4)[0].eval()


def cases():
    """A network of each kind that the fixtures lack, of the last recipe that has one."""
    members = [
        (step.ensemble, member)
        for name in recipes.names()
        for step in with_budget(recipes.load(name), "tiny").network_steps
        for member in step.ensemble.members
    ]
    found = {name_of(member.network): (ensemble, member) for ensemble, member in members}
    softmax = next(
        (ensemble, member)
        for ensemble, member in members
        if getattr(member.network, "output", "") == "softmax" and isinstance(ensemble.average, Mean)
    )
    names = ("psp", "dilated psp", "two_headed")
    return {name: found[name] for name in names} | {"softmax": softmax}


def name_of(network):
    return "dilated psp" if getattr(network, "dilated", False) else network.kind


CASES = cases()


@pytest.mark.parametrize("kind", CASES)
def test_a_graph_passes_the_check_and_computes_as_the_network(kind):
    ensemble, member = CASES[kind]
    model = Untrained(member.network)
    linear = isinstance(ensemble.average, Mean | LogitMean) and member.tiles is None
    module = exportable(model, ensemble.views, kind_for(ensemble.average), averaged=linear)
    content = to_onnx(module)
    module.eval()  # the exporter leaves it in training mode
    head = model.network.head
    heads = ("masks", "classes") if head == "both" else (head,)
    softmax = model.network.output == "softmax"
    graph = Graph(file="networks/a.onnx", heads=heads, softmax=softmax)
    logits = kind_for(ensemble.average) == "logits"
    check = GraphCheck(graph, content, len(ensemble.views), 4, logits=logits)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    for frame in (Frame(64, 64), Frame(32, 160), Frame(96, 224)):
        check.check(frame)
        strips = np.random.default_rng(0).integers(0, 256, (1, 1, *frame)).astype(np.uint8)
        with torch.inference_mode():
            trained = [each for each in module(torch.from_numpy(strips)) if each is not None]
        for one, other in zip(session.run(None, {"strips": strips}), trained, strict=True):
            assert one.shape == tuple(other.shape)
            assert np.abs(one - other.numpy()).max() < 0.01
