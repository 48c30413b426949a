"""The data set that a finished run was made from, opened again. No torch here."""

import os
from pathlib import Path

from steelscan.data import Dataset, open_dataset
from steelscan.pipeline.run import RunFolder
from steelscan.strip import DatasetError, RunError, write_bytes

_REMEDY = "Name the folder or zip where it lies by --data"

_LONGEST = 4096
"""Characters of a path that any system takes."""


def open_data_of(run: RunFolder, data: Path | None = None) -> Dataset:
    """Open the data set of a run, where it lay at its training or where ``data`` says.

    Raises RunError when it is no longer there, when the run does not say where it lay, or when
    the data set is another one; DatasetError and its kin where ``data`` is none.
    """
    run.load_record()
    place = data or _recorded(run)
    try:
        dataset = open_dataset(place, "skip")  # what was left out then is left out now, or it tells
    except (DatasetError, OSError) as error:
        if data is not None:
            raise
        reason = getattr(error, "found", None) or getattr(error, "strerror", None)
        found = f"was made from {place}, which is there no longer ({reason})"
        raise RunError(run.path, found, _REMEDY) from None
    check_data(run, dataset)
    return dataset


def check_data(run: RunFolder, dataset: Dataset) -> None:
    """Raise RunError unless a run was made from just this data set."""
    record = run.load_record()
    if record.fingerprint == dataset.fingerprint:
        return
    found = f"is other data than that of {run.path}, or has other labels"
    told = f"{dataset.fingerprint[:8]}, not {record.fingerprint[:8]}"
    if not run.tests.exists():
        told += ", which an older program took without the contents of pictures"
    remedy = "Name the data set that it was trained on, by --data where the verb has that"
    raise RunError(dataset.root, f"{found} ({told})", remedy)


def write_data(run: RunFolder, data: Path) -> None:
    """Write down where the data set of a run lies. Raises OutputError."""
    write_bytes(run.data, os.fsencode(data.absolute()) + b"\n")


def _recorded(run: RunFolder) -> Path:
    try:
        place = Path(os.fsdecode(run.data.read_bytes().removesuffix(b"\n")))
    except OSError as error:
        found = f"does not say where its data lay ({run.data.name}: {error.strerror})"
        raise RunError(run.path, found, _REMEDY) from None
    if not place.is_absolute() or "\0" in str(place) or len(str(place)) > _LONGEST:
        raise RunError(run.path, f"does not say where its data lay ({run.data.name})", _REMEDY)
    return place
