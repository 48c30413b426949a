"""Whether networks that start from another run were trained on the strips that evaluate them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from steelscan.data import Dataset
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.run_folder import RunFolder
from steelscan.pipeline.run_record import StartFrom
from steelscan.strip.errors import InputError, RunError


def check_leak(context: RunContext, start: StartFrom, path: Path) -> list[str]:
    """Return sentences on the training strips of the networks that a run starts with.

    Strips are compared by the contents of their picture files, and count as seen together with
    their near-duplicates. Raises InputError if a network would be evaluated on strips that the
    weights it starts with were trained on.
    """
    if not path.exists():
        return ["Start: its strips were compared with these when this run began."]
    if not path.is_dir():
        return [
            "Start: a checkpoint does not record its training strips. If validation strips are "
            "among them, the scores are too high."
        ]
    other = RunFolder(path)
    record = other.load_record()
    notes = []
    if record.start_from is not None:
        notes = [
            f"Start: {path} itself started from {record.start_from.origin}, whose training strips "
            "were not compared with these."
        ]
    folds = _folds(other)
    rows = _shared_rows(other, context.dataset)
    if rows is None:
        return [*notes, _by_names(other, folds, context.dataset)]
    held_out = other.load_recipe().folds.holdout
    for network in start.networks:
        left_out = (None, network.from_fold, *held_out)
        trained = [row for name, row in rows.items() if folds.get(name) not in left_out]
        evaluated = context.rows(network.fold, *context.recipe.folds.holdout)
        seen = np.isin(context.groups[evaluated], context.groups[trained])
        if seen.any():
            label = f"{network.step} {network.member}, fold {network.fold}"
            found = (
                f"was trained on {seen.sum()} of the {len(evaluated)} strips that evaluate {label} "
                "(or on near-duplicates): its scores would be too high"
            )
            remedy = (
                f"Keep these strips in the folds that they have there (--folds {other.folds}, and "
                "the same validation folds), or start from a run of other strips"
            )
            raise InputError(path, found, remedy)
    if not rows:
        return [*notes, "Start: none of its strips is in this data set."]
    shared = f"Start: {len(rows)} of its strips are in this data set"
    return [*notes, f"{shared}; none evaluates a network that starts with weights trained on it."]


def _folds(other: RunFolder) -> Mapping[str, int]:
    """Return the fold of each strip of a run, by name. Raises RunError."""
    with other.reading_table(other.folds) as table:
        return {image: int(fold) for image, fold in table.select(("image", "fold"))}


def _shared_rows(other: RunFolder, dataset: Dataset) -> Mapping[str, int] | None:
    """Return the rows here of the strips that a run has too, by their names there.

    Returns None if the data set of that run is gone.
    """
    if other.load_record().fingerprint == dataset.fingerprint:
        return {name: row for row, name in enumerate(dataset.names)}
    try:
        theirs = other.open_data()
    except RunError:
        return None
    own = {digest: row for row, digest in enumerate(dataset.picture_hashes)}
    pairs = zip(theirs.names, theirs.picture_hashes, strict=True)
    return {name: own[digest] for name, digest in pairs if digest in own and digest}


def _by_names(other: RunFolder, folds: Mapping[str, int], dataset: Dataset) -> str:
    """Return a sentence on the strips that a run whose data is gone may have in common."""
    shared = sum(name in folds for name in dataset.names)
    gone = f"Start: the data set of {other.path} is gone, so its strips were compared by name: "
    if not shared:
        return f"{gone}none is in this data set."
    return f"{gone}{shared} are here. If they are the same strips, the scores may be too high."
