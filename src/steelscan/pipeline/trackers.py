"""The trackers of accelerate, each with what it needs to continue the run of an interrupted fit."""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from steelscan.strip.errors import InputError, MissingPartError, RunError

TrackerKind = Literal["tensorboard", "mlflow", "wandb"]

_FOLDERS = {"tensorboard": "track", "mlflow": "mlruns", "wandb": "wandb"}
_OURS = "pip install 'steelscan[track]'"
_LOCAL_MLFLOW = ("sqlalchemy", "alembic")
"""What the database of a local MLflow folder needs; the small mlflow package lacks it."""


@dataclass(frozen=True)
class TrackedFit:
    """What a tracker is given of one fit.

    ``project`` groups the networks of a training run, ``name`` is that of the network; ``settings``
    are its hyper-parameters by dotted names. ``run_id`` is that of the tracker's run which an
    interrupted fit began; None: a new one.
    """

    project: str
    name: str
    settings: Mapping[str, str | int | float | bool]
    run_id: str | None = None


class Tracker(Protocol):
    """The tracker's run of one network."""

    run_id: str
    """How the tracker finds this run again."""

    logged: int
    """How many epochs the tracker already has; they are not logged again."""

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        """Add the numbers of an epoch, counted from 1."""

    def show(self, name: str, picture: NDArray[np.uint8], epoch: int) -> None:
        """Add a picture, uint8 RGB ``(height, width, 3)``."""

    def close(self, complete: bool) -> None:
        """End the session; ``complete`` is False if the fit was interrupted."""


def check_tracker(kind: TrackerKind | None) -> None:
    """Raise MissingPartError or InputError, before any work, for a tracker that cannot be used."""
    if kind is None:
        return
    needed: tuple[str, ...] = (kind,)
    if kind == "mlflow" and "MLFLOW_TRACKING_URI" not in os.environ:
        needed += _LOCAL_MLFLOW
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        problem = f"needs the package {missing[0]}, which is not installed"
        install = "pip install wandb" if kind == "wandb" else _OURS
        raise MissingPartError(f"--track {kind}", problem, f"Run: {install}")
    if kind == "mlflow" and "MLFLOW_RUN_ID" in os.environ:
        problem = "names one run of MLflow, but each network gets a run of its own"
        raise InputError("MLFLOW_RUN_ID", problem, "Unset this variable of the environment")


def tracker_folder(kind: TrackerKind, run: Path) -> Path:
    """Return the folder of a tracker in a run folder."""
    return run / _FOLDERS[kind]


def how_to_view(kind: TrackerKind, run: Path) -> str:
    """Return where the tracker's runs of a run folder are seen."""
    folder = tracker_folder(kind, run)
    if kind == "tensorboard":
        return f'tensorboard --logdir "{folder}"'
    if kind == "mlflow" and "MLFLOW_TRACKING_URI" not in os.environ:
        return f'mlflow ui --backend-store-uri "sqlite:///{folder / "mlflow.db"}"'
    return "on the tracker's server"


@contextmanager
def tracker_errors(kind: TrackerKind) -> Iterator[None]:
    """Turn any error of a tracker into one RunError."""
    try:
        yield
    except Exception as error:
        text = str(error).strip().partition("\n")[0]
        problem = f"the tracker failed ({type(error).__name__}: {text})"
        remedy = "Repair that, or leave --track out; the same command continues the run"
        raise RunError(f"--track {kind}", problem, remedy) from error


def open_tracker(kind: TrackerKind, run: Path, fit: TrackedFit) -> Tracker:
    """Begin or continue the tracker's run of a fit. Raises RunError."""
    kinds: dict[str, Callable[[Path, TrackedFit], Tracker]] = {
        "tensorboard": _TensorBoard,
        "mlflow": _MLflow,
        "wandb": _WandB,
    }
    folder = tracker_folder(kind, run)
    with tracker_errors(kind):
        folder.mkdir(parents=True, exist_ok=True)
        return kinds[kind](folder, fit)


class _TensorBoard:
    """One folder of event files per network; a continued fit writes all epochs into a new one."""

    def __init__(self, folder: Path, fit: TrackedFit) -> None:
        from accelerate.tracking import TensorBoardTracker
        from torch.utils.tensorboard.summary import hparams

        self.run_id, self.logged = re.sub(r"[^\w ,.=-]", "_", fit.name), 0
        rmtree(folder / self.run_id, ignore_errors=True)
        self._tracker = TensorBoardTracker(self.run_id, folder)
        self._tracker.start()
        # accelerate would write the settings into a folder of its own, which TensorBoard shows as
        # one more run; without the list of all settings, TensorBoard collects it from all runs
        _, *session = hparams(dict(fit.settings), {})  # type: ignore[no-untyped-call]
        for summary in session:
            self._tracker.writer.file_writer.add_summary(summary)

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        self._tracker.log(dict(values), epoch)

    def show(self, name: str, picture: NDArray[np.uint8], epoch: int) -> None:
        self._tracker.log_images({name: picture[None]}, epoch, dataformats="NHWC")

    def close(self, complete: bool) -> None:  # noqa: ARG002
        self._tracker.finish()


class _MLflow:
    """The server of MLFLOW_TRACKING_URI, or else a database and pictures in the folder."""

    def __init__(self, folder: Path, fit: TrackedFit) -> None:
        import mlflow
        from accelerate.tracking import MLflowTracker

        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        self._mlflow: Any = mlflow
        self._local = "MLFLOW_TRACKING_URI" not in os.environ
        if self._local:
            mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').resolve().as_posix()}")
        self.logged = 0
        known = fit.run_id is not None and self._find_run(fit.run_id)
        pictures = (folder / "pictures").resolve().as_uri() if self._local else None
        self._tracker = MLflowTracker(
            fit.project, pictures, fit.run_id if known else None, run_name=fit.name
        )
        self._tracker.start()
        self.run_id = self._tracker.tracker.info.run_id
        self._tracker.store_init_configuration(dict(fit.settings))

    def _find_run(self, run_id: str) -> bool:
        """Return whether a run exists, and count its epochs."""
        from mlflow.exceptions import MlflowException

        client = self._mlflow.MlflowClient()
        try:
            points = client.get_metric_history(run_id, "loss")
        except MlflowException:
            return False
        self.logged = max((point.step for point in points), default=0)
        return True

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        self._tracker.log(dict(values), epoch)

    def show(self, name: str, picture: NDArray[np.uint8], epoch: int) -> None:  # noqa: ARG002
        self._mlflow.log_image(picture, artifact_file=f"{name}.png")

    def close(self, complete: bool) -> None:
        self._mlflow.end_run("FINISHED" if complete else "KILLED")
        if self._local:
            self._mlflow.set_tracking_uri(None)  # which would count as the user's from now on


class _WandB:
    """Weights & Biases, whose own variables name the server; the user installs the package."""

    def __init__(self, folder: Path, fit: TrackedFit) -> None:
        from accelerate.tracking import WandBTracker

        self.run_id = fit.run_id or token_hex(8)
        self._tracker = WandBTracker(
            fit.project, name=fit.name, id=self.run_id, resume="allow", dir=str(folder.parent)
        )
        self._tracker.start()
        self._run = self._tracker.tracker
        self.logged = self._run.step - 1 if self._run.resumed else 0  # the next step, from 0
        self._tracker.store_init_configuration(dict(fit.settings))

    def log(self, values: Mapping[str, float], epoch: int) -> None:
        self._tracker.log(dict(values), epoch)

    def show(self, name: str, picture: NDArray[np.uint8], epoch: int) -> None:
        self._tracker.log_images({name: [picture]}, epoch)

    def close(self, complete: bool) -> None:
        self._run.finish(exit_code=0 if complete else 1)
