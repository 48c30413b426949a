"""The data set that a finished run was made from, opened again. No torch here."""

from pathlib import Path

from steelscan.data import Dataset, open_dataset
from steelscan.pipeline.run import RunFolder
from steelscan.strip import DatasetError, RunError

_REMEDY = "Name the folder or zip where it lies by --data"


def open_data_of(run: RunFolder, data: Path | None = None) -> Dataset:
    """Open the data set of a run, where it lay at its training or where ``data`` says.

    Raises RunError when it is no longer there, when the run does not say where it lay, or when
    the data set is another one; DatasetError and its kin where ``data`` is none.
    """
    record = run.load_record()
    place = data or _recorded(run)
    try:
        dataset = open_dataset(place, "skip")  # what was left out then is left out now, or it tells
    except DatasetError as error:
        if data is not None:
            raise
        found = f"was made from {place}, which is there no longer ({error.found})"
        raise RunError(run.path, found, _REMEDY) from None
    if dataset.fingerprint != record.fingerprint:
        found = f"is other data than that of {run.path}"
        told = f"{dataset.fingerprint[:8]}, not {record.fingerprint[:8]}"
        raise RunError(place, f"{found} ({told})", _REMEDY)
    return dataset


def _recorded(run: RunFolder) -> Path:
    try:
        return Path(run.data.read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError):
        raise RunError(run.path, "does not say where its data lay", _REMEDY) from None
