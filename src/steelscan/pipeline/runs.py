"""All run folders below some folders, and what each came to. No torch here."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import nan
from pathlib import Path

from steelscan.evaluation.statistics import Estimate
from steelscan.pages import plain_table, plain_value
from steelscan.pipeline.pixel_counts import PARTS
from steelscan.pipeline.run_folder import RunFolder, tasks
from steelscan.prediction import EncoderFittedFor
from steelscan.recipes import Recipe
from steelscan.strip import InputError, RunError

_DEPTH = 3
_NUMBERS = ("mean_dice", "defect_dice", "escapes", "overkill")
_HEAD: tuple[str, ...] = (
    "run",
    "state",
    "recipe",
    "budget",
    "data",
    "seed",
    "networks",
    "rounds",
    "mean Dice held out",
    "mean Dice out of fold",
    "Dice where defect",
    "escapes",
    "overkill",
    "size",
)


@dataclass(frozen=True)
class RunSummary:
    """What a run folder says of itself; None, or no scores, where it does not."""

    path: Path
    bytes: int
    """What its files hold together."""
    state: str
    """"finished", "unfinished", or "broken: " and the reason."""
    recipe: str | None = None
    data: str | None = None
    """The first eight digits of the data's fingerprint."""
    seed: int | None = None
    budget: str | None = None
    fitted: int | None = None
    networks: int | None = None
    """As many as the recipe asks for; fewer are fitted where a round finds nothing to learn."""
    rounds: int | None = None
    """Rounds of pseudo-labels, of a finished run those that it came to."""
    scores: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    """By part, "held out" and "out of fold", and by number."""

    def to_dict(self) -> dict[str, object]:
        """The same as plain values for JSON; None where undefined."""
        return {name: plain_value(value) for name, value in asdict(self).items()}


def find_runs(folders: Iterable[Path]) -> list[RunSummary]:
    """Sum up every run folder in or below these, at most three levels deep, sorted by path.

    What lies in a run folder is not looked through for others, links to folders are not followed.
    A folder that began as a run and cannot be read as one is listed as broken. Raises InputError
    when a folder is not there, RunError when there is no run in any.
    """
    folders = list(folders)
    found: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise InputError(folder, "is no folder", "Name a folder that holds runs")
        found.update(_run_folders(folder, _DEPTH))
    if not found:
        where = ", ".join(map(str, folders))
        raise RunError(where, "holds no run", "Name a folder that steelscan train wrote to")
    return [summarize(path) for path in sorted(found)]


def summarize(path: Path) -> RunSummary:
    """Sum up one run folder."""
    run = RunFolder(path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    try:
        recipe, record = run.load_recipe(), run.load_record()
        ended = run.scores.exists() and run.report.exists()
        scores = _scores(run) if ended else {}
        rounds = run.load_tuned().round if ended else _rounds(recipe)
    except RunError as error:
        return RunSummary(path, size, f"broken: {Path(error.where).name} {error.problem}")
    fitted = [folder for folder in _network_folders(run, recipe, rounds) if _is_fitted(folder)]
    return RunSummary(
        path,
        size,
        "finished" if ended else "unfinished",
        recipe=recipe.name,
        data=record.fingerprint[:8],
        seed=record.seed,
        budget=recipe.budget,
        fitted=len(fitted),
        networks=sum(1 for _ in _network_folders(run, recipe, rounds)),
        rounds=rounds,
        scores=scores,
    )


def runs_table(runs: Sequence[RunSummary]) -> str:
    """Lay runs under each other as plain text.

    Dice where there is a defect, escapes and overkill are of the strips held out, or where there
    are none, of those out of fold.
    """
    rows = [_row(run) for run in runs]
    broken = [f"{run.path}: {run.state}" for run in runs if run.recipe is None]
    return "\n".join([plain_table([_HEAD, *rows]), *broken])


def runs_json(runs: Sequence[RunSummary]) -> str:
    """The same as JSON: a list with an object a run."""
    return json.dumps([run.to_dict() for run in runs], indent=2, ensure_ascii=False)


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    run = RunFolder(folder)
    if run.record.exists() or run.recipe.exists():
        yield folder
        return
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError as error:
        remedy = "Grant the right to read it, or name other folders"
        raise InputError(folder, f"cannot be read ({error.strerror})", remedy) from None
    for path in inner if depth else ():
        yield from _run_folders(path, depth - 1)


def _scores(run: RunFolder) -> dict[str, dict[str, Estimate]]:
    """The numbers of each part. Raises RunError for a file that does not hold them."""
    try:
        content = run.load_json(run.scores)
        parts = [part for part in PARTS if part in content] or PARTS
        return {part: {name: _score(content[part][name]) for name in _NUMBERS} for part in parts}
    except (ValueError, KeyError, TypeError):
        remedy = "Give the same train command again"
        raise RunError(run.scores, "does not hold the scores of a run", remedy) from None


def _score(told: Mapping[str, float | None]) -> Estimate:
    value, low, high = (told[key] for key in ("value", "low", "high"))
    return Estimate(*(nan if number is None else float(number) for number in (value, low, high)))


def _rounds(recipe: Recipe) -> int:
    return recipe.pseudo_labels.rounds if recipe.pseudo_labels else 0


def _network_folders(run: RunFolder, recipe: Recipe, rounds: int) -> Iterator[Path]:
    """The folder of every network that is fitted in these rounds, and of encoders fitted first."""
    for round_ in range(rounds + 1):
        for task in tasks(recipe, recipe.folds.validation, round_):
            if task.round == round_:
                yield run.network(task)
                if isinstance(task.member.start, EncoderFittedFor):
                    yield run.encoder(task)


def _is_fitted(folder: Path) -> bool:
    return (folder / "checkpoint.safetensors").exists()


def _row(run: RunSummary) -> tuple[str, ...]:
    size = f"{run.bytes / 1e6:.1f} MB"
    if run.recipe is None:
        return (str(run.path), "broken", *[""] * (len(_HEAD) - 3), size)
    judged = next((run.scores[part] for part in PARTS if part in run.scores), {})
    return (
        str(run.path),
        run.state,
        run.recipe,
        run.budget or "",
        run.data or "",
        str(run.seed),
        f"{run.fitted} of {run.networks}",
        str(run.rounds),
        *(_cell(run.scores.get(part, {}), "mean_dice") for part in PARTS),
        *(_cell(judged, name, interval=False) for name in _NUMBERS[1:]),
        size,
    )


def _cell(scores: Mapping[str, Estimate], name: str, *, interval: bool = True) -> str:
    if name not in scores:
        return ""
    score = scores[name] if interval else Estimate(scores[name].value)
    return score.text(percent=name in ("escapes", "overkill"))
