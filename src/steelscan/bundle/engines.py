"""The networks of a bundle, loaded by a runtime. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from threading import Timer
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.bundle.package import Package
from steelscan.bundle.spec import Format, Graph
from steelscan.decision import Step
from steelscan.prediction import ModelOutputs, OutputKind, View, kind_for, network_inputs
from steelscan.strip import Frame, Picture
from steelscan.strip.errors import BundleError, MissingPartError

Device = Literal["cpu", "cuda"]

Run: TypeAlias = Callable[[NDArray[np.uint8]], Sequence[NDArray[np.float32]]]
"""A network as a function: from strips ``(1, 1, height, width)`` to its heads, in order."""

SECONDS_A_MILLION_PIXELS = 300.0
"""How long a network may take per million pixels of a strip; smaller strips count as that."""

MOST_THREADS = 256


class OnnxModel:
    """A network of a bundle; a `steelscan.prediction.Model`."""

    def __init__(self, graph: Graph, run: Run) -> None:
        self.resize, self.classes = graph.resize, graph.classes
        self.tiles, self.softmax = graph.tiles, graph.softmax
        self._graph, self._run = graph, run

    def predict(self, strip: Picture, views: Sequence[View], kind: OutputKind) -> ModelOutputs:
        """Predict a strip; views and kind are fixed by its file.

        Raises BundleError if an output is not a number: it would pass for a clean strip.
        """
        del views, kind
        heads = self._run(np.ascontiguousarray(strip)[None, None])
        if not all(np.isfinite(head).all() for head in heads):
            problem = "predicts what is not a number: its sums overflow"
            raise BundleError(self._graph.file, problem, "Do not use it in this precision")
        outputs = dict(zip(self._graph.heads, heads, strict=True))
        return ModelOutputs(*(_of_one_strip(outputs.get(name)) for name in ("masks", "classes")))


def _of_one_strip(head: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    return None if head is None else head[:, 0].astype(np.float32, copy=False)


def open_models(package: Package, threads: int, device: Device) -> dict[str, tuple[OnnxModel, ...]]:
    """Load the networks of each step. Raises BundleError for a graph that is broken or refused."""
    models: dict[str, tuple[OnnxModel, ...]] = {}
    for step, graph in package.manifest.graphs:
        model = OnnxModel(graph, load_graph(package, step, graph, threads, device))
        models[step.name] = (*models.get(step.name, ()), model)
    return models


def load_graph(package: Package, step: Step, graph: Graph, threads: int, device: Device) -> Run:
    """Check and load a network. Raises BundleError, MissingPartError."""
    from steelscan.bundle.graph_check import GraphCheck

    manifest, content = package.manifest, package.contents[graph.file]
    loaders: Mapping[Format, Callable[[bytes, int, Device], Run]] = {
        "onnx": _onnx,
        "openvino": _openvino,
    }
    try:
        picture = np.zeros(manifest.strip, np.uint8)
        first, *_ = network_inputs(graph.resize, graph.tiles, picture)
        logits = kind_for(step.average) == "logits"
        views, classes = len(step.views), len(manifest.classes)
        check = GraphCheck(graph, content, views, classes, logits=logits)
        check.check(Frame(*first.shape))
        run = loaders[manifest.written_for](content, threads, device)
    except MissingPartError:
        raise
    except Exception as error:  # the errors of the runtimes have no common base
        problem = f"cannot be loaded ({_reason(error)})"
        raise BundleError(graph.file, problem, "Export the bundle anew") from None

    def checked(strips: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
        try:
            check.check(Frame(*strips.shape[2:]))
            return run(strips)
        except Exception as error:
            problem = f"cannot predict a strip of {Frame(*strips.shape[2:])} ({_reason(error)})"
            raise BundleError(graph.file, problem, "Do not use this bundle for it") from None

    return checked


def _reason(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:200]


def _seconds(strips: NDArray[np.uint8]) -> float:
    """Return how long a network may take for these strips."""
    return SECONDS_A_MILLION_PIXELS * ceil(strips.size / 1e6)


def _onnx(content: bytes, threads: int, device: Device) -> Run:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        problem = "needs onnxruntime, which is not installed"
        raise MissingPartError("a bundle", problem, "Run: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Threads that spin while they wait would take time from the other networks.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider"]
    if wanted[0] not in onnxruntime.get_available_providers():
        problem = "has no CUDA"
        raise MissingPartError("onnxruntime", problem, "Install onnxruntime-gpu, or use the CPU")
    session = onnxruntime.InferenceSession(content, options, providers=wanted)
    (name,) = (each.name for each in session.get_inputs())

    def run(strips: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
        run_options = onnxruntime.RunOptions()
        run_options.log_severity_level = 4
        timer = Timer(_seconds(strips), setattr, (run_options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            heads: Sequence[NDArray[np.float32]] = session.run(None, {name: strips}, run_options)
        finally:
            timer.cancel()
        return heads

    return run


def _openvino(content: bytes, threads: int, device: Device) -> Run:
    try:
        import openvino
    except ModuleNotFoundError:
        problem = "needs openvino, which is not installed"
        raise MissingPartError("this bundle", problem, "Run: pip install openvino") from None
    if device != "cpu":
        raise MissingPartError("openvino", "runs on the CPU only", "Export an ONNX bundle")
    settings: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(content), "CPU", settings)

    def run(strips: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
        request = compiled.create_infer_request()
        request.start_async([strips])
        if not request.wait_for(int(1000 * _seconds(strips))):
            request.cancel()
            raise TimeoutError("takes too long")
        return [np.array(request.get_output_tensor(at).data) for at in range(len(compiled.outputs))]

    return run
