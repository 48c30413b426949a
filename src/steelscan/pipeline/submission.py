"""The predictions of a finished run as a file for the competition, in either of its layouts."""

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from steelscan.data import find_pictures
from steelscan.decision import PredictionLog, fill_log
from steelscan.pipeline.predicted_strips import read_predicted_strips
from steelscan.pipeline.run_folder import TRAIN_AGAIN, RunFolder
from steelscan.strip import UNREAD, parse_runs
from steelscan.strip.errors import InputError, OnError, RunError
from steelscan.strip.files import check_output, hidden_path, lock_folder
from steelscan.strip.tables import Layout, MaskTable, read_mask_table, write_mask_table

if TYPE_CHECKING:
    from steelscan.pipeline.device import Device


@dataclass(frozen=True)
class Submission:
    """What was written: how many images, how many hold each class, and the file's SHA-256."""

    path: Path
    layout: Layout
    images: int
    per_class: Mapping[str, int]
    clean: int
    sha256: str
    unread: tuple[str, ...]
    """Images that could not be read: their rows are marked, and a competition refuses them."""

    def text(self) -> str:
        """Return it as text."""
        found = ", ".join(f"class {name}: {count}" for name, count in self.per_class.items())
        lines = [
            f"{self.images} images, {self.clean} without defect; {found}",
            f"Submission ({self.layout}): {self.path}",
            f"SHA-256: {self.sha256}",
        ]
        if self.unread:
            names = ", ".join(self.unread)
            lines.append(
                f"Note: {len(self.unread)} could not be read, and are marked in the file: {names}"
            )
        return "\n".join(lines)


def submit(
    run: Path,
    out: Path | None = None,
    *,
    layout: Layout | None = None,
    images: str | None = None,
    device: "Device" = "auto",
    on_error: OnError = "stop",
    thresholds: Path | None = None,
) -> Submission:
    """Write the submission of a finished run again, or one for other pictures.

    Without ``images`` the run's own submission is written in another ``layout`` (None: that of
    the run's data), which needs no torch: each image once, sorted by name, its run lengths checked
    against its size; the rows of an image that could not be read are marked. It goes to ``out``
    (None: ``submission-LAYOUT.csv`` in the run folder). With ``images`` (a folder, picture, zip or
    glob pattern) the networks predict those; the same call after an interruption goes on.
    ``thresholds``, a file that `tune_run` wrote, is only for ``images``.

    Raises RunError for a run that is not finished or whose files contradict each other, MaskError
    for wrong run lengths, InputError and its subclasses for pictures, and OutputError, also if
    ``out`` exists and is no submission, or another run's.
    """
    folder = RunFolder(run)
    record = folder.load_record()
    layout = layout or record.layout
    if images is None:
        if thresholds is not None:
            found = "are given without --images: the run's submission has its own thresholds"
            raise InputError("--thresholds", found, "Give the pictures to predict: --images")
        folder.load_tuned()
        path = out or run / f"submission-{layout}.csv"
        check_output(path, MaskTable.FILE_KIND, own=folder.submission)
        texts, unread = _own_rows(folder)
        _write(path, texts, unread, layout, len(record.classes))
    else:
        path = _path_for_others(folder, out)
        check_output(path, MaskTable.FILE_KIND)
        kept = hidden_path(path, "lock").name
        with lock_folder(path.parent, kept, path):
            texts, unread = _predict(folder, images, path, layout, device, on_error, thresholds)
    per_class = {
        name: sum(bool(of_classes[at]) for of_classes in texts.values())
        for at, name in enumerate(record.classes.names)
    }
    clean = sum(not any(of_classes) for of_classes in texts.values())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Submission(path, layout, len(texts), per_class, clean, digest, tuple(unread))


def _write(
    path: Path,
    texts: Mapping[str, Sequence[str]],
    unread: Sequence[str],
    layout: Layout,
    classes: int,
) -> None:
    """Write the rows of all images, sorted by name; those of unread images are marked."""
    marked = dict.fromkeys(unread, (UNREAD,) * classes)
    write_mask_table(path, sorted({**texts, **marked}.items()), layout)


def _own_rows(run: RunFolder) -> tuple[dict[str, Sequence[str]], list[str]]:
    """Return the checked run lengths of each image of a run, and the unread images."""
    classes = len(run.load_record().classes)
    frames = read_predicted_strips(run)
    table = read_mask_table(run.read(run.submission), run.submission)
    read = {name: frame for name, frame in sorted(frames.items()) if frame is not None}
    unread = {name for name, frame in frames.items() if frame is None}
    wrong = sorted(name for name in unread if name in table.rows and name not in table.unread)
    if wrong:
        raise RunError(
            run.submission, f"has masks of {wrong[0]}, which could not be read", TRAIN_AGAIN
        )
    table = replace(table, rows={n: row for n, row in table.rows.items() if n not in unread})
    _check(run, table, read.keys(), classes)
    texts: dict[str, Sequence[str]] = {name: table.texts(name, classes) for name in read}
    for name, of_classes in texts.items():
        for class_id, text in enumerate(of_classes, start=1):
            parse_runs(text, read[name], f"{run.submission}, {name}, class {class_id}")
    return texts, sorted(unread)


def _check(run: RunFolder, table: MaskTable, images: Set[str], classes: int) -> None:
    """Raise RunError unless a table has rows of all these images and classes, and no others."""
    others = sorted(table.rows.keys() - images)
    if others:
        raise RunError(
            run.submission, f"has rows of {others[0]}, which is no image of this run", TRAIN_AGAIN
        )
    if table.classes > classes:
        found = f"has class {table.classes}, the run has {classes}"
        raise RunError(run.submission, found, TRAIN_AGAIN)
    whole = table.layout == "columns"  # this layout has no rows for clean images
    missing = [name for name in images if not whole and len(table.rows.get(name, ())) < classes]
    if missing:
        raise RunError(run.submission, f"lacks rows of {missing[0]}", TRAIN_AGAIN)


def _path_for_others(run: RunFolder, out: Path | None) -> Path:
    """Return the file for other pictures. Raises InputError if it is the run's own."""
    if out is None:
        raise InputError("--out", "is needed with --images", "Name a file for their submission")
    if out.resolve() == run.submission.resolve():
        raise InputError(out, "holds the run's own submission", "Choose another --out")
    return out


def _predict(
    run: RunFolder,
    images: str,
    out: Path,
    layout: Layout,
    device: "Device",
    on_error: OnError,
    thresholds: Path | None,
) -> tuple[dict[str, Sequence[str]], list[str]]:
    """Predict pictures and write their submission; return run lengths, and unread pictures."""
    from steelscan.pipeline.device import accelerator
    from steelscan.pipeline.open_run import open_run

    sources = find_pictures(images)
    detector = open_run(run, accelerator(device).device, thresholds)
    path = hidden_path(out, f"{run.digest(thresholds or run.thresholds)[:8]}.jsonl")
    log = PredictionLog(path, [source.name for source in sources])
    fill_log(log, sources, detector.masks, on_error=on_error)
    texts, unread = dict(log.rows()), list(log.unread)
    _write(out, texts, unread, layout, detector.classes)
    log.remove()
    return texts, unread
