"""The networks of a bundle, each ready to have its say. No torch here."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steelscan.bundle.package import Package
from steelscan.bundle.specs import Graph
from steelscan.data import Shrink
from steelscan.prediction import Heads, Sort, Tiles, View
from steelscan.strip import BundleError, MissingPartError, Picture

Device = Literal["cpu", "cuda"]

Run: TypeAlias = Callable[[NDArray[np.uint8]], Sequence[NDArray[np.float32]]]
"""A network as a function: strips ``(1, 1, height, width)`` to its heads, in their order."""


@dataclass(frozen=True, eq=False)
class GraphVoter:
    """A network of a bundle; see `steelscan.prediction.Answerer`."""

    graph: Graph
    run: Run

    @property
    def resize(self) -> Shrink | None:
        """The size at which it sees a strip."""
        return self.graph.resize

    @property
    def classes(self) -> tuple[int, ...] | None:
        """The ids of the classes that it knows; None: all."""
        return self.graph.classes

    @property
    def tiles(self) -> Tiles | None:
        """The tiles in which it is asked; None: whole strips."""
        return self.graph.tiles

    @property
    def softmax(self) -> bool:
        """Whether logits of its masks are for softmax."""
        return self.graph.softmax

    def answer(self, strip: Picture, views: Sequence[View], sort: Sort) -> Heads:
        """What it says of a strip; views and sort are those that are in its file.

        Raises BundleError for what is not a number: it would pass for sound steel.
        """
        del views, sort
        heads = self.run(np.ascontiguousarray(strip)[None, None])
        if not all(np.isfinite(head).all() for head in heads):
            found = "says what is not a number: its sums overflow"
            raise BundleError(self.graph.file, found, "Do not use it in this precision")
        said = dict(zip(self.graph.heads, heads, strict=True))
        return Heads(*(_of_one(said.get(name)) for name in ("masks", "classes")))


def _of_one(head: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    return None if head is None else head[:, 0].astype(np.float32, copy=False)


def open_voters(
    package: Package, graphs: Sequence[Graph], threads: int, device: Device
) -> tuple[GraphVoter, ...]:
    """Load networks. Raises BundleError for a graph that cannot be, MissingPartError."""
    opened: Mapping[str, Callable[[bytes, int, Device], Run]] = {
        "onnx": _onnx,
        "openvino": _openvino,
        "torchscript": _torchscript,
    }
    open_one = opened[package.manifest.written_for]
    voters = []
    for graph in graphs:
        try:
            run = open_one(package.contents[graph.file], threads, device)
        except MissingPartError:
            raise
        except Exception as error:  # each runtime has errors of its own, of no common base
            found = f"cannot be loaded ({str(error).splitlines()[0][:200]})"
            raise BundleError(graph.file, found, "Export the bundle anew") from None
        voters.append(GraphVoter(graph, run))
    return tuple(voters)


def _onnx(content: bytes, threads: int, device: Device) -> Run:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        found = "needs onnxruntime, which is not installed"
        raise MissingPartError("a bundle", found, "Run: pip install onnxruntime") from None
    if b"\x0a\x08location\x12" in content:  # a tensor that lies in another file
        raise ValueError("its weights lie outside of it")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads of a network that wait for it to be asked again would take time from the others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider"]
    if wanted[0] not in onnxruntime.get_available_providers():
        found = "has no CUDA"
        raise MissingPartError("onnxruntime", found, "Install onnxruntime-gpu, or ask the CPU")
    session = onnxruntime.InferenceSession(content, options, providers=wanted)
    (name,) = (each.name for each in session.get_inputs())

    def run(strips: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
        heads: Sequence[NDArray[np.float32]] = session.run(None, {name: strips})
        return heads

    return run


def _openvino(content: bytes, threads: int, device: Device) -> Run:
    try:
        import openvino
    except ModuleNotFoundError:
        found = "needs openvino, which is not installed"
        raise MissingPartError("this bundle", found, "Run: pip install openvino") from None
    if device != "cpu":
        raise MissingPartError("openvino", "is asked on the CPU here", "Take an onnx bundle")
    core = openvino.Core()
    cut = int.from_bytes(content[:8], "little")
    model = core.read_model(content[8 : 8 + cut], content[8 + cut :])
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(model, "CPU", settings)

    def run(strips: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
        said = compiled.create_infer_request().infer([strips])
        return [np.array(said[at]) for at in range(len(compiled.outputs))]

    return run


def _torchscript(content: bytes, threads: int, device: Device) -> Run:
    import io

    try:
        import torch
    except ModuleNotFoundError:
        found = "needs torch, which is not installed"
        raise MissingPartError(
            "this bundle", found, "Run: pip install 'steelscan[train]'"
        ) from None
    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is deprecated
        load: Any = torch.jit.load
        module = load(io.BytesIO(content), map_location=device).eval()

    def run(strips: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
        with torch.inference_mode():
            said = module(torch.from_numpy(strips).to(device))
        heads = said if isinstance(said, tuple) else (said,)
        return [head.float().cpu().numpy() for head in heads]

    return run
