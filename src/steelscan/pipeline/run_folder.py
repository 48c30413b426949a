"""The run folder: its results with their checksums, its data set, and its lock."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, RootModel, ValidationError

from steelscan.data import Dataset, open_dataset
from steelscan.data.files import PREDICT_MARKER
from steelscan.data.folds import read_folds, write_folds
from steelscan.pipeline.gates import with_gates
from steelscan.pipeline.lease import Lease
from steelscan.pipeline.run_paths import RunPaths
from steelscan.pipeline.run_record import RunRecord, Tuned, changed_fields
from steelscan.recipes import Recipe
from steelscan.strip.errors import DatasetError, InputError, RunError, SteelscanError
from steelscan.strip.files import write_bytes, write_json, write_text
from steelscan.strip.tables import MaskTable, Table, read_mask_table, read_rows

AnyModel = TypeVar("AnyModel", bound=BaseModel)

TRAIN_AGAIN = "Give the same train command again: networks that are fitted are kept"
_REMOVE = f"Remove it. {TRAIN_AGAIN}"
_NAME_DATA = "Name the folder or zip of the data set: --data"

_LONGEST = 4096
"""Characters of a path that every system accepts."""


class _Checksums(RootModel[dict[str, str]]):
    """The checksum of each result, by its path in the run folder."""


@dataclass(frozen=True)
class RunFolder(RunPaths):
    """A folder that holds one run: what reads, checks and writes its files."""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease of the folder: for all of it except networks and probabilities.

        Waits while another process holds it.
        """
        with Lease(self.path).held():
            for pattern in (".*.part", "rounds/*/.*.part"):
                for unfinished in self.path.glob(pattern):
                    unfinished.unlink(missing_ok=True)
            yield

    def begin(self, recipe: Recipe, record: RunRecord, source: bytes | None = None) -> None:
        """Write what the run is made from, or check that a run begun here was made from the same.

        ``source`` is the Python file of the recipe; only the recipe's values are compared. Raises
        RunError, naming what changed.
        """
        if not self.record.exists() and (self.path / PREDICT_MARKER).exists():
            problem = "holds predictions: training would replace their submission.csv"
            raise RunError(self.path, problem, "Choose another --out")
        if not self.record.exists() and (self.path / "networks").exists():
            found = f"holds networks, and no {self.record.name} that records what made them"
            raise RunError(self.path, found, "Restore the file, or choose another --out")
        if self.record.exists():
            changed = changed_fields(self.load_recipe(), recipe)
            changed += changed_fields(self.load_record(), record)
            if changed:
                problem = f"holds a run that began with other values of: {', '.join(changed)}"
                remedy = "Choose another --out, or use the recipe, data and options it began with"
                raise RunError(self.path, problem, remedy)
            return
        if source is not None:
            write_bytes(self.source, source)
        write_text(self.recipe, recipe.model_dump_json(indent=2) + "\n")
        write_text(self.record, record.model_dump_json(indent=2) + "\n")

    def source_notes(self) -> list[str]:
        """Return a sentence on the Python file of the recipe, if it was read from one."""
        if not self.source.exists():
            return []
        digest = hashlib.sha256(self.source.read_bytes()).hexdigest()
        return [f"Recipe: from a Python file with sha256 {digest}, kept as {self.source.name}."]

    def forget(self) -> None:
        """Remove what was written when the run began; for a run that is refused after that."""
        made = (self.folds, self.likeness, self.checksums, self.tests)
        for path in (*made, self.source, self.recipe, self.record):
            path.unlink(missing_ok=True)

    def take_tests(self, fingerprint: str) -> list[str]:
        """Record the test pictures; remove predictions of earlier ones if they changed.

        Returns a sentence if so. Raises RunError if folds or networks depend on the earlier ones.
        """
        try:
            if self.tests.exists() and self.tests.read_bytes() == f"{fingerprint}\n".encode():
                return []
        except OSError as error:
            raise RunError(self.tests, f"cannot be read ({error.strerror})", _REMOVE) from None
        logs = [*self.path.glob("rounds/*/*.jsonl"), *self.path.glob("submission.jsonl")]
        dependent = [*self.path.glob("rounds/*/*.csv"), *self.path.glob(self.likeness.name)]
        if dependent:
            found = f"shows that {dependent[0].name} was made from other test pictures than these"
            remedy = "Choose another --out; submit --images predicts other pictures with this run"
            raise RunError(self.tests, found, remedy)
        for log in logs:
            log.unlink()
        write_text(self.tests, f"{fingerprint}\n")
        return ["Test pictures changed: they were predicted again."] if logs else []

    def digest(self, *files: Path) -> str:
        """Return a SHA-256 of what the run was made from and of further files."""
        content = b"".join(file.read_bytes() for file in (self.recipe, self.record, *files))
        return hashlib.sha256(content).hexdigest()

    def open_data(
        self, data: Path | None = None, on_error: Literal["stop", "skip"] = "skip"
    ) -> Dataset:
        """Open the data set of the run, at ``data`` or where it was when the run was trained.

        Pictures that training left out are left out again. Raises RunError if the data set is
        gone, if its place is not recorded, or if it is another one; DatasetError and its kin if
        there is none at ``data``.
        """
        self.load_record()
        place = data or self._recorded_place()
        try:
            dataset = open_dataset(place, on_error)
        except (DatasetError, OSError) as error:
            if data is not None:
                raise
            reason = getattr(error, "found", None) or getattr(error, "strerror", None)
            found = f"was made from {place}, which is no longer there ({reason})"
            raise RunError(self.path, found, _NAME_DATA) from None
        self.check_data(dataset)
        return dataset

    def check_data(self, dataset: Dataset) -> None:
        """Raise RunError unless the run was made from this very data set."""
        record = self.load_record()
        remedy = "Name the data set that the run was trained on"
        if record.fingerprint != dataset.fingerprint:
            numbers = f"{dataset.fingerprint[:8]}, not {record.fingerprint[:8]}"
            found = f"is other data than that of {self.path}, or has other labels ({numbers})"
            raise RunError(dataset.root, found, remedy)
        if record.groups != dataset.group_fingerprint:
            found = f"has another groups.csv than that of {self.path}"
            raise RunError(dataset.root, found, remedy)

    def write_data(self, data: Path) -> None:
        """Record where the data set of the run is. Raises OutputError."""
        write_bytes(self.data, os.fsencode(data.absolute()) + b"\n")

    def _recorded_place(self) -> Path:
        try:
            place = Path(os.fsdecode(self.data.read_bytes().removesuffix(b"\n")))
        except OSError as error:
            found = f"does not record where its data is ({self.data.name}: {error.strerror})"
            raise RunError(self.path, found, _NAME_DATA) from None
        if not place.is_absolute() or "\0" in str(place) or len(str(place)) > _LONGEST:
            found = f"does not record where its data is ({self.data.name})"
            raise RunError(self.path, found, _NAME_DATA)
        return place

    def load_recipe(self) -> Recipe:
        """Read the recipe. Raises RunError if the folder is not a run."""
        return _load(Recipe, self.recipe)

    def load_record(self) -> RunRecord:
        """Read what the run was made from. Raises RunError if the folder is not a run."""
        return _load(RunRecord, self.record)

    def seal(self, *paths: Path) -> None:
        """Record the checksums of results, by which reading them detects damage.

        Raises RunError for a damaged list of checksums, OutputError.
        """
        sums = self._checksums()
        sums |= {self._relative(path): _checksum(path.read_bytes()) for path in paths}
        write_json(self.checksums, sums)

    def read(self, path: Path) -> bytes:
        """Read a result of the run. Raises RunError if it is missing or damaged."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            found = f"holds no {path.name}: its training has not ended"
            raise RunError(self.path, found, TRAIN_AGAIN) from None
        except OSError as error:
            raise RunError(path, f"cannot be read ({error.strerror})", _REMOVE) from None
        checksum = _checksum(content)
        if self._checksums().get(self._relative(path), checksum) != checksum:
            raise RunError(path, "is damaged: it is not what training wrote", _REMOVE)
        return content

    def load_json(self, path: Path) -> Any:
        """Read a result as JSON. Raises RunError as `read` does, and for invalid JSON."""
        try:
            return json.loads(self.read(path))
        except (ValueError, RecursionError):
            raise RunError(path, "is damaged: it is not valid JSON", _REMOVE) from None

    @contextmanager
    def reading_table(self, path: Path) -> Iterator[Table]:
        """Read a result as a CSV table, and turn errors in the block into RunError.

        Raises RunError as `read` does, and for a table that is not whole or whose cells the block
        cannot convert.
        """
        content = self.read(path)
        try:
            table = read_rows(content, path, TRAIN_AGAIN)
            if not table.whole:
                raise ValueError("its last line is cut off")
            yield table
        except (SteelscanError, ValueError, OverflowError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(path, f"is broken ({reason})", "Remove it and train again") from None

    def load_pseudo_labels(self, round_: int, fold: int | None) -> MaskTable:
        """Read the pseudo-labels of a round. Raises RunError as `read` does."""
        path = self.pseudo_labels(round_, fold)
        try:
            return read_mask_table(self.read(path), path)
        except (InputError, ValueError) as error:
            found = getattr(error, "found", "holds a number of too many digits")
            raise RunError(path, found, _REMOVE) from None

    def write_tuned(self, tuned: Tuned) -> None:
        """Write the rules of the run, and how they were tuned. Raises OutputError."""
        write_text(self.thresholds, tuned.model_dump_json(indent=2) + "\n")
        self.seal(self.thresholds)

    def load_tuned_recipe(self) -> Recipe:
        """Load the recipe with the gates that the run tuned. Raises RunError as `load_tuned`."""
        return with_gates(self.load_recipe(), self.load_tuned().gates)

    def load_tuned(self) -> Tuned:
        """Read the rules of the run. Raises RunError if training has not written them yet."""
        self.read(self.thresholds)
        return _load(Tuned, self.thresholds, _REMOVE)

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
            return read_folds(self.folds, names, separated=parted)
        except InputError as error:
            raise RunError(self.folds, error.problem, _REMOVE) from None

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _checksums(self) -> dict[str, str]:
        if not self.checksums.exists():
            return {}
        return _load(_Checksums, self.checksums, _REMOVE).root


def _load(kind: type[AnyModel], path: Path, remedy: str = "") -> AnyModel:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        found = f"is not a run, or was stopped before it began: it has no {path.name}"
        remedy = "Name a folder that steelscan train wrote, or give the same train command again"
        raise RunError(path.parent, found, remedy) from None
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
    except ValidationError as error:
        found = f"is of another version or damaged ({error.errors()[0]['msg']})"
    raise RunError(path, found, remedy or "Train again into a new folder") from None


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
