"""The run folder: what was asked for, who works in it, and where each result lies."""

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeInt, RootModel, ValidationError

from steelscan.data import Dataset, open_dataset, read_folds, write_folds
from steelscan.evaluation.tuning import Thresholds
from steelscan.postprocess import Rule
from steelscan.prediction import EncoderOf, Member
from steelscan.recipes import Recipe
from steelscan.strip import (
    Classes,
    DatasetError,
    InputError,
    Layout,
    MaskTable,
    RunError,
    Spec,
    held,
    read_mask_table,
    write_bytes,
    write_json,
    write_text,
)

AnyModel = TypeVar("AnyModel", bound=BaseModel)

_AGAIN = "the same train command again: it fits no network twice"
_TRAIN_AGAIN = f"Remove it and give {_AGAIN}"


class _Checksums(RootModel[dict[str, str]]):
    """The checksum of each result, by its place in the run folder."""


class RunRecord(Spec):
    """What a run was made from; a run folder goes on only with an equal one."""

    fingerprint: str
    classes: Classes
    layout: Layout
    seed: int

    folds: str | None = None
    """SHA-256 of folds that were brought; None when the run dealt its own."""

    groups: str | None = None
    """SHA-256 of the groups of ``groups.csv``; None where there is no such file."""


_CALLED = {
    "fingerprint": "fingerprint of the data set",
    "groups": "groups.csv",
}
"""What messages call the fields of a record that are no words for a user."""


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
        Task(name, number, member, fold, round_ if recipe.trains_on_pseudo_labels(member) else 0)
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
    def tests(self) -> Path:
        """The fingerprint of the test pictures that were predicted last."""
        return self.path / "tests.txt"

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
    def checksums(self) -> Path:
        """The checksums of results."""
        return self.path / "checksums.json"

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

    def seal(self, *paths: Path) -> None:
        """Keep the checksums of results, by which they are known to be whole when they are read.

        Raises RunError for a damaged list of checksums, OutputError.
        """
        sums = self._checksums()
        sums |= {self._inside(path): _checksum(path.read_bytes()) for path in paths}
        write_json(self.checksums, sums)

    def _inside(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _checksums(self) -> dict[str, str]:
        if not self.checksums.exists():
            return {}
        return _load(_Checksums, self.checksums, _TRAIN_AGAIN).root

    def begin(self, recipe: Recipe, record: RunRecord) -> None:
        """Write down what the run is made from, or check that a run begun here was made from it.

        Raises RunError, naming what changed.
        """
        if not self.record.exists() and (self.path / "networks").exists():
            found = f"holds networks, and no {self.record.name} that says what they were made from"
            raise RunError(self.path, found, "Restore the file, or name another --out")
        if self.record.exists():
            changed = _changes(self.load_recipe(), recipe) + _changes(self.load_record(), record)
            if changed:
                found = f"holds a run with another {', '.join(_CALLED.get(n, n) for n in changed)}"
                raise RunError(self.path, found, "Name another --out, or go on as it was begun")
            return
        write_text(self.recipe, recipe.model_dump_json(indent=2) + "\n")
        write_text(self.record, record.model_dump_json(indent=2) + "\n")

    def take_tests(self, fingerprint: str) -> list[str]:
        """Write down which test pictures there are; what was predicted of others is dropped.

        Returns a sentence on that. Raises RunError where folds or networks came of the others.
        """
        try:
            if self.tests.exists() and self.tests.read_bytes() == f"{fingerprint}\n".encode():
                return []
        except OSError as error:
            found = f"cannot be read ({error.strerror})"
            raise RunError(self.tests, found, _TRAIN_AGAIN) from None
        logs = [*self.path.glob("rounds/*/*.jsonl"), *self.path.glob("submission.jsonl")]
        learned = [*self.path.glob("rounds/*/*.csv"), *self.path.glob(self.likeness.name)]
        if learned:
            found = f"says that {learned[0].name} came of other test pictures than there are now"
            remedy = "Name another --out; submit --images predicts other pictures with its networks"
            raise RunError(self.tests, found, remedy)
        for log in logs:
            log.unlink()
        write_text(self.tests, f"{fingerprint}\n")
        return ["Test pictures changed: they were predicted anew."] if logs else []

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
        """Read a result that training writes.

        Raises RunError when it is not there, or not as it was written. A run of an older program
        has no checksums.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            found = f"holds no {path.name}: its training has not ended, or an older program's"
            raise RunError(self.path, found, f"Give {_AGAIN}") from None
        except OSError as error:
            raise RunError(path, f"cannot be read ({error.strerror})", _TRAIN_AGAIN) from None
        checksum = _checksum(content)
        if self._checksums().get(self._inside(path), checksum) != checksum:
            raise RunError(path, "is damaged: it is not what training wrote", _TRAIN_AGAIN)
        return content

    def load_json(self, path: Path) -> Any:
        """Read a result as JSON. Raises RunError as `read` does, and for what is no JSON."""
        try:
            return json.loads(self.read(path))
        except (ValueError, RecursionError):
            raise RunError(path, "is broken: it is no JSON", _TRAIN_AGAIN) from None

    def load_pseudo_labels(self, round_: int, fold: int | None) -> MaskTable:
        """Read what networks of a round learn of test strips. Raises RunError as `read` does."""
        path = self.pseudo_labels(round_, fold)
        try:
            return read_mask_table(self.read(path), path)
        except (InputError, ValueError) as error:
            found = getattr(error, "found", "holds a number of too many digits")
            raise RunError(path, found, _TRAIN_AGAIN) from None

    def write_tuned(self, tuned: Tuned) -> None:
        """Write the rules that decide, and how they were found. Raises OutputError."""
        write_text(self.thresholds, tuned.model_dump_json(indent=2) + "\n")
        self.seal(self.thresholds)

    def load_tuned(self) -> Tuned:
        """Read the rules that decide. Raises RunError when the run has not come so far."""
        self.read(self.thresholds)
        return _load(Tuned, self.thresholds, _TRAIN_AGAIN)

    def write_folds(
        self, names: Sequence[str], groups: NDArray[np.int64], folds: NDArray[np.int64]
    ) -> None:
        """Write the group and the fold of each strip. Raises OutputError."""
        write_folds(self.folds, names, groups, folds)
        self.seal(self.folds)

    def load_folds(self, names: Sequence[str], *, parted: bool = False) -> NDArray[np.int64]:
        """Read the fold of each strip, int64 ``(strips,)``, as `steelscan.data.read_folds` does.

        Raises RunError for a file that is missing, damaged or of other strips.
        """
        self.read(self.folds)
        try:
            return read_folds(self.folds, names, parted=parted)
        except InputError as error:
            raise RunError(self.folds, error.found, _TRAIN_AGAIN) from None


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


def _load(kind: type[AnyModel], path: Path, remedy: str = "") -> AnyModel:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        found = f"is no run: it holds no {path.name}"
        raise RunError(path.parent, found, "Name a folder that steelscan train made") from None
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
    except ValidationError as error:
        found = f"is of another version or broken ({error.errors()[0]['msg']})"
    raise RunError(path, found, remedy or "Train again into a new folder") from None


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


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
    remedy = "Name the data set that it was trained on, by --data where the verb has that"
    if record.fingerprint != dataset.fingerprint:
        found = f"is other data than that of {run.path}, or has other labels"
        told = f"{dataset.fingerprint[:8]}, not {record.fingerprint[:8]}"
        raise RunError(dataset.root, f"{found} ({told})", remedy)
    if record.groups != dataset.group_fingerprint:
        raise RunError(dataset.root, f"has another groups.csv than that of {run.path}", remedy)


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
