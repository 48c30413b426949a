"""The run folder: what was asked for, who works in it, and where each result lies."""

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from pydantic import NonNegativeInt, ValidationError

from steelscan.evaluation import Thresholds
from steelscan.pipeline.recipe import Recipe
from steelscan.postprocess import Rule
from steelscan.prediction import EncoderOf, Member
from steelscan.strip import Classes, Layout, RunError, Spec, held, write_text

AnySpec = TypeVar("AnySpec", bound=Spec)


class RunRecord(Spec):
    """What a run was made from; a run folder goes on only with an equal one."""

    fingerprint: str
    classes: Classes
    layout: Layout
    seed: int

    folds: str | None = None
    """SHA-256 of folds that were brought; None when the run dealt its own."""


@dataclass(frozen=True)
class Task:
    """One network to fit: its place in the recipe, the fold that judges it, and the round.

    ``step`` is the name of its step, as `Recipe.named` has it; ``round`` is that of the
    pseudo-labels which it learns from, 0 for none.
    """

    step: str
    number: int
    member: Member
    fold: int
    round: int = 0

    @property
    def label(self) -> str:
        """How progress and reports call it."""
        label = f"{self.step} {self.number + 1}, fold {self.fold}"
        return f"{label}, round {self.round}" if self.round else label


def tasks(recipe: Recipe, folds: Sequence[int], round_: int = 0) -> list[Task]:
    """Every network that a recipe asks for in a round, of these folds, in the order of fitting.

    Those that lend others their encoder come first. A network that learns from no pseudo-labels
    is that of round 0.
    """
    found = [
        Task(name, number, member, fold, round_ if recipe.learns_from_pseudo(member) else 0)
        for name, step in recipe.named.items()
        for number, member in enumerate(step.ensemble.members)
        for fold in folds
        if member.folds is None or fold in member.folds
    ]
    return sorted(found, key=lambda task: isinstance(task.member.start, EncoderOf))


class Tuned(Spec):
    """The rules that make the masks of a run, and the search that found their numbers.

    ``round`` is the last round of pseudo-labels: its networks answer.
    """

    rules: tuple[Rule, ...]
    search: Thresholds | None = None
    round: NonNegativeInt = 0


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run, and the names in it."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The recipe, as JSON."""
        return self.path / "recipe.json"

    @property
    def record(self) -> Path:
        """What the run was made from."""
        return self.path / "run.json"

    @property
    def data(self) -> Path:
        """Where the data set lay when the run was last trained."""
        return self.path / "data.txt"

    @property
    def folds(self) -> Path:
        """Image, group and fold of every strip."""
        return self.path / "folds.csv"

    @property
    def likeness(self) -> Path:
        """How well training and test strips are told apart, where folds were made by that."""
        return self.path / "likeness.json"

    @property
    def thresholds(self) -> Path:
        """The tuned numbers; the last thing written before the scores."""
        return self.path / "thresholds.json"

    @property
    def scores(self) -> Path:
        """The five numbers of every part."""
        return self.path / "scores.json"

    @property
    def notes(self) -> Path:
        """Sentences on where weights began, how strips were split, and what was searched."""
        return self.path / "notes.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def submission(self) -> Path:
        """The answers for the test strips, or for the held-out ones."""
        return self.path / "submission.csv"

    @property
    def answered(self) -> Path:
        """The strips that the submission answers, and their sizes."""
        return self.path / "answered.csv"

    @property
    def pairs(self) -> Path:
        """How each class of each strip that judges was answered, in pixels."""
        return self.path / "pairs.csv"

    def network(self, task: Task) -> Path:
        """The folder of one fitted network."""
        name = f"{task.step}-{task.number}-fold{task.fold}"
        return self._of_round("networks", task.round) / name

    def encoder(self, task: Task) -> Path:
        """The folder of the classifier that is fitted to lend a network its encoder."""
        return self.network(replace(task, step=f"{task.step}-encoder"))

    def probabilities(self, name: str, round_: int = 0) -> Path:
        """The folder of a store of probabilities."""
        return self._of_round("probabilities", round_) / name

    def pseudo_labels(self, round_: int, fold: int | None) -> Path:
        """What networks of a round learn of test strips: of one fold, or of all alike."""
        name = "pseudo_labels.csv" if fold is None else f"pseudo_labels-fold{fold}.csv"
        return self._of_round("rounds", round_) / name

    def _of_round(self, name: str, round_: int) -> Path:
        return self.path / name / f"round{round_}" if round_ else self.path / name

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for this process. Raises RunError when another one works in it."""
        with held(self.path):
            for pattern in (".*.part", "networks/**/.*.part", "rounds/*/.*.part"):
                for left_by_a_crash in self.path.glob(pattern):
                    left_by_a_crash.unlink()
            yield

    def begin(self, recipe: Recipe, record: RunRecord) -> None:
        """Write down what the run is made from, or check that a run begun here was made from it.

        Raises RunError, naming what changed.
        """
        if self.record.exists():
            changed = _changes(self.load_recipe(), recipe) + _changes(self.load_record(), record)
            if changed:
                found = f"holds a run with another {', '.join(changed)}"
                raise RunError(self.path, found, "Name another --out, or go on as it was begun")
            return
        write_text(self.recipe, recipe.model_dump_json(indent=2) + "\n")
        write_text(self.record, record.model_dump_json(indent=2) + "\n")

    def made_of(self) -> bytes:
        """What tells a finished run from all others."""
        return self.recipe.read_bytes() + self.record.read_bytes() + self.thresholds.read_bytes()

    def load_recipe(self) -> Recipe:
        """Read the recipe of this run. Raises RunError when the folder is no run."""
        return _load(Recipe, self.recipe)

    def load_record(self) -> RunRecord:
        """Read what this run was made from. Raises RunError when the folder is no run."""
        return _load(RunRecord, self.record)

    def read(self, path: Path) -> bytes:
        """Read a file that training writes at its end. Raises RunError when it is not there."""
        try:
            return path.read_bytes()
        except OSError:
            found = f"holds no {path.name}: its training has not ended, or an older program's"
            remedy = "Give the same train command again: it fits no network twice"
            raise RunError(self.path, found, remedy) from None

    def write_tuned(self, tuned: Tuned) -> None:
        """Write the rules that decide, and how they were found. Raises OutputError."""
        write_text(self.thresholds, tuned.model_dump_json(indent=2) + "\n")

    def load_tuned(self) -> Tuned:
        """Read the rules that decide. Raises RunError when the run has not come so far."""
        if not self.thresholds.exists():
            found = "holds no thresholds: its training has not ended"
            raise RunError(self.path, found, "Give the same train command again")
        return _load(Tuned, self.thresholds)


def versions() -> dict[str, str]:
    """The versions of what computes the numbers."""
    names = "steelscan", "torch", "timm", "segmentation-models-pytorch", "albumentations"
    found = {"python": platform.python_version()}
    for name in (*names, "numpy", "opencv-python-headless"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def _changes(old: Spec, new: Spec) -> list[str]:
    """The names of the fields in which two specs differ."""
    return [name for name in type(old).model_fields if getattr(old, name) != getattr(new, name)]


def _load(kind: type[AnySpec], path: Path) -> AnySpec:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError:
        remedy = "Name a folder that steelscan train made"
        raise RunError(path.parent, f"is no run: it holds no {path.name}", remedy) from None
    except ValidationError as error:
        found = f"is of another version or broken ({error.errors()[0]['msg']})"
        raise RunError(path, found, "Train again into a new folder") from None
