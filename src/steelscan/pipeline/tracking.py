"""What experiment trackers get of a run: the settings, numbers and overlays of each network."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from filelock import FileLock
from numpy.typing import NDArray

from steelscan.models import StripNetwork
from steelscan.pages.outline import outline
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import Task
from steelscan.pipeline.trackers import (
    TrackedFit,
    Tracker,
    TrackerKind,
    open_tracker,
    tracker_errors,
    tracker_folder,
)
from steelscan.postprocess import Threshold, threshold
from steelscan.prediction import EncoderFittedFor, EnsembleMean, TorchModel
from steelscan.strip.files import write_json
from steelscan.training import Training, load_network
from steelscan.training.fit import Log, Metrics

_OVERLAYS = 4
_WIDEST = 1600
"""Pixels of a picture; wider strips are shown smaller."""


@contextmanager
def tracked(
    context: RunContext,
    task: Task,
    stages: tuple[Training, ...],
    network: StripNetwork,
    folder: Path,
    label: str,
) -> Iterator[Log | None]:
    """Track the fit that the block makes in ``folder``, with the tracker that the user chose.

    Yields the ``log`` for `fit`, or None if there is nothing to track. Afterwards the tracker has
    each epoch of ``metrics.csv`` once, however often the fit was interrupted, and, if the network
    predicts pixels, overlays of validation strips. ``network`` then has its final weights.
    Raises RunError if the tracker fails.
    """
    kind = context.options.track
    if kind is None or not context.accelerator.is_main_process:
        yield None
        return
    session = _Session(kind, context, label, settings(context, task, stages, folder))
    if session.complete:
        yield None
        return
    with session:
        yield session.log
        session.log(_rows(folder / "metrics.csv"))
        if network.head != "classes":
            load_network(folder / "checkpoint.safetensors", network)
            session.show(overlays(context, task, network))


class _Session:
    """The tracker while one network is fitted, and the file that lists what was tracked."""

    def __init__(
        self, kind: TrackerKind, context: RunContext, label: str, values: Mapping[str, Any]
    ) -> None:
        self._kind, self._run, self._label = kind, context.run.path, label
        self._file = tracker_folder(kind, self._run) / "tracked.json"
        known = self._read().get(label, {})
        self.complete: bool = known.get("complete", False)
        project = f"{context.recipe.name} {self._run.resolve().name}"
        self._fit = TrackedFit(project, label, values, known.get("id"))

    def __enter__(self) -> None:
        with self._alone():  # a database is made by one process
            self._tracker: Tracker = open_tracker(self._kind, self._run, self._fit)
        self._epochs = self._tracker.logged
        self._write(complete=False)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(Exception) if kind else tracker_errors(self._kind):  # the first error counts
            self._tracker.close(complete=kind is None)
        if kind is None:
            self._write(complete=True)

    def log(self, rows: Sequence[Metrics]) -> None:
        """Log the epochs that the tracker does not have."""
        with tracker_errors(self._kind):
            for row in rows[self._epochs :]:
                values = {name: value for name, value in row.items() if name != "epoch"}
                self._tracker.log(values, int(row["epoch"]))
        self._epochs = max(self._epochs, len(rows))

    def show(self, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
        """Add pictures to the last epoch."""
        with tracker_errors(self._kind):
            for name, picture in pictures.items():
                self._tracker.show(name, picture, self._epochs)

    def _read(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads(self._file.read_bytes()) if self._file.exists() else {}
        return known

    def _write(self, complete: bool) -> None:
        known = {"id": self._tracker.run_id, "complete": complete}
        with self._alone():  # networks that are fitted at the same time share the file
            write_json(self._file, {**self._read(), self._label: known})

    def _alone(self) -> FileLock:
        """Return a lock that other processes that fit networks of this run wait for."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self._file.with_suffix(".lock"))


def settings(
    context: RunContext, task: Task, stages: tuple[Training, ...], folder: Path
) -> dict[str, str | int | float | bool]:
    """Return the settings of a fit by dotted names, as "stages.1.optimizer.lr"."""
    start = task.member.start
    first = isinstance(start, EncoderFittedFor) and folder == context.run.encoder(task)
    network = start.network if isinstance(start, EncoderFittedFor) and first else None
    values = {
        "recipe": context.recipe.name,
        "budget": context.recipe.budget,
        "seed": context.options.seed,
        "fold": task.fold,
        "round": task.round,
        "member": task.member.model_dump(mode="json", exclude={"stages", "network"}),
        "network": (network or task.member.network).model_dump(mode="json"),
        "stages": {str(at): each.model_dump(mode="json") for at, each in enumerate(stages, 1)},
    }
    return dict(_leaves("", values))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str | int | float | bool]]:
    """Yield dotted names and values; a list is one value, an empty setting is left out."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from _leaves(f"{name}.{key}" if name else key, inner)
        case list():
            yield name, json.dumps(value)
        case None:
            pass
        case _:
            yield name, value


def _rows(path: Path) -> list[dict[str, float]]:
    """Read ``metrics.csv`` as the rows that `fit` logged."""
    rows = pl.read_csv(path, infer_schema_length=None).to_dicts()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def overlays(
    context: RunContext, task: Task, network: StripNetwork
) -> dict[str, NDArray[np.uint8]]:
    """Return defective strips of a validation fold: true outlines above, predicted ones below.

    At most four, uint8 RGB ``(height, width, 3)``; pixels are predicted at one half, without the
    other steps of the recipe.
    """
    member, dataset = task.member, context.dataset
    planes = [each - 1 for each in member.classes or range(1, context.classes + 1)]
    rows = context.rows(task.fold)
    rows = rows[dataset.present[rows][:, planes].any(1)]
    chosen = np.linspace(0, len(rows) - 1, min(_OVERLAYS, len(rows))).astype(int)
    model = TorchModel(network.eval(), member.resize, member.classes, member.tiles)
    pictures = {}
    for row in rows[chosen].tolist():
        picture, truth = dataset.picture(row), np.zeros_like(dataset.masks(row))
        truth[planes] = dataset.masks(row)[planes]
        shares = EnsembleMean(("identity",), picture, models=[model]).masks(context.classes)
        width = min(_WIDEST, picture.shape[1])
        predicted = threshold(shares, Threshold())
        above, below = (outline(picture, masks, width=width) for masks in (truth, predicted))
        gap = np.full((4, width, 3), 255, np.uint8)
        name = Path(dataset.names[row]).name
        pictures[f"true above predicted/{name}"] = np.concatenate([above, gap, below])
    return pictures
