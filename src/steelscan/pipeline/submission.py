"""The answers of a finished run as a file for the competition, in either of its layouts."""

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from steelscan.data import find_pictures, read_picture
from steelscan.decision import AnswerLog, content_hash
from steelscan.pipeline.predicted_strips import read_predicted_strips
from steelscan.pipeline.run_folder import RunFolder
from steelscan.strip import (
    TABLE_KIND,
    UNREAD,
    InputError,
    Layout,
    Masks,
    MaskTable,
    RunError,
    check_output,
    held,
    hidden_beside,
    parse,
    read_mask_table,
    write_mask_table,
)

if TYPE_CHECKING:
    from steelscan.pipeline.context import Device

_REMEDY = "Give the same train command again: it fits no network twice"


@dataclass(frozen=True)
class Submission:
    """What was written: how many images, how many hold each class, and the file's SHA-256."""

    path: Path
    layout: Layout
    images: int
    found: Mapping[str, int]
    clean: int
    sha256: str
    left_out: tuple[str, ...]
    """Images that could not be read: their rows say so, which a competition refuses."""

    def text(self) -> str:
        """The same as lines for people."""
        found = ", ".join(f"{name}: {count}" for name, count in self.found.items())
        lines = [
            f"{self.images} images, {self.clean} without defect; with class {found}",
            f"Submission ({self.layout}): {self.path}",
            f"SHA-256: {self.sha256}",
        ]
        if self.left_out:
            names = ", ".join(self.left_out)
            lines.append(
                f"Note: {len(self.left_out)} could not be read, as their rows say: {names}"
            )
        return "\n".join(lines)


def submit(
    run: Path,
    out: Path | None = None,
    *,
    layout: Layout | None = None,
    images: str | None = None,
    device: "Device" = "auto",
    on_error: Literal["stop", "skip"] = "stop",
    thresholds: Path | None = None,
) -> Submission:
    """Write the submission of a finished run again, or its answers for other pictures.

    ``layout`` is that of the run's data where None. Without ``images`` the run's own answers are
    laid out anew, which needs no torch: each image stands there once, in the order of the names,
    and its run lengths were checked against its size. An image that could not be read has rows that
    say so in place of run lengths. They go to ``submission-LAYOUT.csv`` in the
    run folder where ``out`` is None. With ``images`` (a folder, picture, zip or glob pattern) the
    networks answer those; an interrupted call goes on when given again. ``thresholds``, a file that
    `tune_run` wrote, goes with ``images`` alone: the run's own answers were made with its own.

    Raises RunError for a run that is not finished or whose answers do not hold together, MaskError
    for run lengths that are wrong, InputError's kin for pictures, and OutputError, also where
    ``out`` is there already and no submission, or another run's.
    """
    folder = RunFolder(run)
    record = folder.load_record()
    layout = layout or record.layout
    if images is None:
        if thresholds is not None:
            why = "are given, and the run's own answers were made with its own thresholds"
            raise InputError("--thresholds", why, "Name the pictures to answer: --images")
        folder.load_tuned()
        path = out or run / f"submission-{layout}.csv"
        check_output(path, TABLE_KIND, own=folder.submission)
        texts, left_out = _own_answers(folder)
        _write(path, texts, left_out, layout, len(record.classes))
    else:
        path = _place_for_others(folder, out)
        check_output(path, TABLE_KIND)
        kept = hidden_beside(path, "lock").name
        with held(path.parent, kept, path):
            texts, left_out = _ask(folder, images, path, layout, device, on_error, thresholds)
    found = {
        name: sum(bool(of_classes[at]) for of_classes in texts.values())
        for at, name in enumerate(record.classes.names)
    }
    clean = sum(not any(of_classes) for of_classes in texts.values())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Submission(path, layout, len(texts), found, clean, digest, tuple(left_out))


def _write(
    path: Path,
    texts: Mapping[str, Sequence[str]],
    left_out: Sequence[str],
    layout: Layout,
    classes: int,
) -> None:
    """Write answers, and rows for images that could not be read, in the order of the names."""
    unread = dict.fromkeys(left_out, (UNREAD,) * classes)
    write_mask_table(path, sorted({**texts, **unread}.items()), layout)


def _own_answers(run: RunFolder) -> tuple[dict[str, Sequence[str]], list[str]]:
    """The run lengths of each image that a run answered, checked; and images left out."""
    classes = len(run.load_record().classes)
    frames = read_predicted_strips(run)
    table = read_mask_table(run.read(run.submission), run.submission)
    answered = {name: frame for name, frame in sorted(frames.items()) if frame is not None}
    left_out = {name for name, frame in frames.items() if frame is None}
    wrong = sorted(name for name in left_out if name in table.rows and name not in table.unread)
    if wrong:
        raise RunError(run.submission, f"answers {wrong[0]}, which could not be read", _REMEDY)
    table = replace(table, rows={n: row for n, row in table.rows.items() if n not in left_out})
    _check(run, table, answered.keys(), classes)
    texts: dict[str, Sequence[str]] = {name: table.texts(name, classes) for name in answered}
    for name, of_classes in texts.items():
        for class_id, text in enumerate(of_classes, start=1):
            parse(text, answered[name], f"{run.submission}, {name}, class {class_id}")
    return texts, sorted(left_out)


def _check(run: RunFolder, table: MaskTable, answered: Set[str], classes: int) -> None:
    """Raise RunError unless a table answers all of these images and classes, and no others."""
    strange = sorted(table.rows.keys() - answered)
    if strange:
        raise RunError(run.submission, f"answers {strange[0]}, which was not asked", _REMEDY)
    if table.classes > classes:
        found = f"has class {table.classes}, the run has {classes}"
        raise RunError(run.submission, found, _REMEDY)
    whole = table.layout == "columns"  # there, no row says that there is no defect
    missing = [name for name in answered if not whole and len(table.rows.get(name, ())) < classes]
    if missing:
        raise RunError(run.submission, f"lacks rows of {missing[0]}", _REMEDY)


def _place_for_others(run: RunFolder, out: Path | None) -> Path:
    """Where the answers for other pictures go. Raises InputError for where the run's own lie."""
    if out is None:
        found = "is not given, and the images are others than the run's own"
        raise InputError("--out", found, "Name a file for their answers")
    if out.resolve() == run.submission.resolve():
        raise InputError(out, "holds the run's own answers", "Name another --out")
    return out


def _ask(
    run: RunFolder,
    images: str,
    out: Path,
    layout: Layout,
    device: "Device",
    on_error: Literal["stop", "skip"],
    thresholds: Path | None,
) -> tuple[dict[str, Sequence[str]], list[str]]:
    """Answer pictures and write their submission; returns run lengths, and pictures left out."""
    from steelscan.pipeline.context import accelerator
    from steelscan.pipeline.open_run import Predictor

    named = {source.name: source for source in find_pictures(images)}
    predictor = Predictor.load(run, accelerator(device).device, thresholds)
    classes = len(predictor.record.classes)
    current = b""

    def content(name: str) -> str:
        nonlocal current
        current = named[name].read()
        return content_hash(current)

    def answer(name: str) -> Masks:
        return predictor.masks(read_picture(current, name))

    log = AnswerLog(
        hidden_beside(out, f"{run.digest(thresholds or run.thresholds)[:8]}.jsonl"), named
    )
    left_out = [name for name, _ in log.fill(answer, "Answering", on_error, content)]
    texts = dict(log.rows())
    _write(out, texts, left_out, layout, classes)
    log.remove()
    return texts, left_out
