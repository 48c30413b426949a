"""All run folders below some folders, and the scores of each. No torch here."""

from collections.abc import Iterable, Iterator, Mapping
from math import nan
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, PlainSerializer

from steelscan.evaluation.statistics import Estimate
from steelscan.pipeline.fit_tasks import tasks
from steelscan.pipeline.pixel_counts import EVALUATED_PARTS
from steelscan.pipeline.run_folder import TRAIN_AGAIN, RunFolder
from steelscan.prediction import EncoderFittedFor
from steelscan.recipes import Recipe
from steelscan.strip.errors import InputError, RunError, printable

_DEPTH = 3
NUMBERS = ("mean_dice", "defect_dice", "escapes", "overkill")
"""The scores that are shown."""


class RunSummary(BaseModel, frozen=True):
    """The state and the scores of a run folder; None, or no scores, if they are not known."""

    path: Annotated[Path, PlainSerializer(lambda path: printable(str(path)), str)]
    bytes: int
    """The size of all its files."""
    state: str
    """"finished", "unfinished", or "broken: " and the reason."""
    recipe: str | None = None
    data: str | None = None
    """The first eight digits of the data's fingerprint."""
    seed: int | None = None
    budget: str | None = None
    fitted: int | None = None
    networks: int | None = None
    """All networks of the recipe; fewer are fitted if a round finds no pseudo-labels."""
    rounds: int | None = None
    """Rounds of pseudo-labels; of a finished run, those that it carried out."""
    scores: Mapping[str, Mapping[str, Estimate]] = Field(default_factory=dict)
    """By part, "held out" and "out of fold", and by number."""


def find_runs(folders: Iterable[Path]) -> list[RunSummary]:
    """Summarize every run folder in or below these, at most three levels deep, sorted by path.

    Run folders are not searched for others, and links to folders are not followed. A run folder
    that cannot be read is listed as broken. Raises InputError if a folder does not exist, RunError
    if no folder holds a run.
    """
    folders = list(folders)
    paths: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise InputError(folder, "is not a folder", "Name a folder that holds runs")
        paths.update(_run_folders(folder, _DEPTH))
    if not paths:
        where = ", ".join(map(str, folders))
        raise RunError(where, "holds no run", "Name a folder that steelscan train wrote")
    return [summarize(path) for path in sorted(paths)]


def summarize(path: Path) -> RunSummary:
    """Summarize one run folder."""
    run = RunFolder(path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    try:
        recipe, record = run.load_recipe(), run.load_record()
        ended = run.scores.exists() and run.report.exists()
        scores = _scores(run) if ended else {}
        pseudo = recipe.pseudo_labels
        rounds = run.load_tuned().round if ended else pseudo.rounds if pseudo else 0
    except RunError as error:
        state = f"broken: {Path(error.where).name} {error.problem}"
        return RunSummary(path=path, bytes=size, state=state)
    folders = list(_network_folders(run, recipe, rounds))
    return RunSummary(
        path=path,
        bytes=size,
        state="finished" if ended else "unfinished",
        recipe=recipe.name,
        data=record.fingerprint[:8],
        seed=record.seed,
        budget=recipe.budget,
        fitted=sum((folder / "checkpoint.safetensors").exists() for folder in folders),
        networks=len(folders),
        rounds=rounds,
        scores=scores,
    )


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    run = RunFolder(folder)
    if run.record.exists() or run.recipe.exists():
        yield folder
        return
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError as error:
        remedy = "Allow reading it, or name other folders"
        raise InputError(folder, f"cannot be read ({error.strerror})", remedy) from None
    for path in inner if depth else ():
        yield from _run_folders(path, depth - 1)


def _scores(run: RunFolder) -> dict[str, dict[str, Estimate]]:
    """Return the numbers of each part. Raises RunError for a file without them."""
    try:
        content = run.load_json(run.scores)
        parts = [part for part in EVALUATED_PARTS if part in content] or EVALUATED_PARTS
        return {part: {name: _estimate(content[part][name]) for name in NUMBERS} for part in parts}
    except (ValueError, KeyError, TypeError):
        raise RunError(run.scores, "does not hold the scores of a run", TRAIN_AGAIN) from None


def _estimate(stored: Mapping[str, float | None]) -> Estimate:
    value, low, high = (stored[key] for key in ("value", "low", "high"))
    return Estimate(*(nan if number is None else float(number) for number in (value, low, high)))


def _network_folders(run: RunFolder, recipe: Recipe, rounds: int) -> Iterator[Path]:
    """Yield the folder of every network of these rounds, and of classifiers for an encoder."""
    for round_ in range(rounds + 1):
        for task in tasks(recipe, recipe.folds.validation, round_):
            if task.round == round_:
                yield run.network(task)
                if isinstance(task.member.start, EncoderFittedFor):
                    yield run.encoder(task)
