"""Predictions scored against the truth, both from files. No torch here."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from steelscan.analysis.score.result import ScoreOptions, ScoreResult, StripCounts, score_result
from steelscan.analysis.score.tables import check_any_read, score_tables
from steelscan.data import Dataset, open_dataset, open_index_picture
from steelscan.data.duplicates import group_strips
from steelscan.strip import Masks, decode, track
from steelscan.strip.errors import InputError, MaskError, TableError
from steelscan.strip.tables import MaskTable, read_mask_table


def score_files(truth: Path, predicted: Path, options: ScoreOptions | None = None) -> ScoreResult:
    """Score predictions: a CSV file, a folder with index PNG masks, or a run.

    The truth is a CSV file of run lengths or a data set. A folder of predictions may be the output
    of `predict`: its ``submission.csv`` is then read. A run that was made from the truth is scored
    on the strips that its networks were not trained on. Strips that could not be read when they
    were predicted are listed separately. Raises InputError if the two do not match.
    """
    options = options or ScoreOptions()
    if truth.is_file() and truth.suffix != ".zip":
        return score_tables(read_mask_table(truth), _table(predicted), options)
    if options.frame is not None:
        problem = "is given, but the data set has its own picture sizes"
        raise InputError("frame", problem, "Leave it out")
    is_run = any((predicted / name).exists() for name in ("run.json", "recipe.json"))
    dataset = open_dataset(truth, "skip" if is_run else "stop")  # training may have skipped strips
    if is_run:
        from steelscan.analysis.score.run import score_run  # loads zarr
        from steelscan.pipeline import RunFolder

        if RunFolder(predicted).load_record().fingerprint == dataset.fingerprint:
            return score_run(predicted, dataset, options)
        if dataset.skipped:
            dataset = open_dataset(truth)  # raises the error of the first skipped strip
    unread: list[str] = []
    if predicted.is_dir() and not (predicted / "submission.csv").exists():
        names, masks = _pictures(dataset, predicted)
    else:
        table = _table(predicted)
        names, masks = _decoded(dataset, table)
        unread = sorted(table.unread)
    row_of = {name: row for row, name in enumerate(dataset.names)}
    rows = [row_of[name] for name in names]
    counts = StripCounts()
    for row, guess in track(zip(rows, masks, strict=True), "Scoring", len(rows)):
        counts.add(guess, dataset.masks(row))
    left = len(dataset) - len(rows) - len(unread)
    notes = [f"Strips of the data set that are not predicted: {left}."] if left else []
    groups = group_strips(dataset)[rows]
    result = score_result(counts.pairs, dataset.classes, groups, notes, options, counts.defects)
    return result.model_copy(update={"unread": tuple(unread)})


def _table(predicted: Path) -> MaskTable:
    return read_mask_table(predicted / "submission.csv" if predicted.is_dir() else predicted)


def _decoded(dataset: Dataset, table: MaskTable) -> tuple[list[str], Iterator[Masks]]:
    """Return the names of the strips that a table predicts, and their masks."""
    strange = table.rows.keys() - set(dataset.names)
    if strange:
        problem = f"predicts {len(strange)} strips that are not in the data set, as {min(strange)}"
        raise TableError("prediction", problem, f"Predict those of the data set {dataset.root}")
    count = len(dataset.classes)
    if table.classes > count:
        problem = f"has class {table.classes}, the data set has {count}"
        raise TableError("prediction", problem, f"Predict those of the data set {dataset.root}")
    named, unread = table.layout == "columns", table.unread
    names = [name for name in dataset.names if named or name in table.rows]
    names = [name for name in names if name not in unread]
    check_any_read(names, unread)
    frames = dict(zip(dataset.names, dataset.frames, strict=True))

    def masks() -> Iterator[Masks]:
        for name in names:
            texts = table.texts(name, count)
            yield np.stack([decode(text, frames[name], f"prediction, {name}") for text in texts])

    return names, masks()


def _pictures(dataset: Dataset, folder: Path) -> tuple[list[str], Iterator[Masks]]:
    """Return the names of the strips that have an index PNG in a folder, and their masks."""
    inner = folder / "masks" if (folder / "masks").is_dir() else folder
    paths = {name: inner / f"{Path(name).stem}.png" for name in dataset.names}
    names = [name for name, path in paths.items() if path.exists()]
    if not names:
        problem = f"has no mask of a strip of {dataset.root}"
        raise InputError(inner, problem, "Give a folder with one PNG per strip, with its name")
    ids = np.array(dataset.classes.ids)[:, None, None]

    def masks() -> Iterator[Masks]:
        for name in names:
            index = open_index_picture(paths[name], paths[name]).values
            if index.max() > len(ids):
                problem = f"has the value {index.max()}, the data set has {len(ids)} classes"
                raise MaskError(paths[name], problem, "Store class ids as pixel values")
            yield index == ids

    return names, masks()
