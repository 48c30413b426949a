"""The names of the files in a run folder."""

from dataclasses import dataclass, replace
from pathlib import Path

from steelscan.pipeline.fit_tasks import Task


@dataclass(frozen=True)
class RunPaths:
    """The paths in the folder of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The recipe, as JSON."""
        return self.path / "recipe.json"

    @property
    def source(self) -> Path:
        """The Python file that the recipe was read from."""
        return self.path / "recipe.py"

    @property
    def record(self) -> Path:
        """What the run was made from."""
        return self.path / "run.json"

    @property
    def data(self) -> Path:
        """Where the data set was when the run was last trained."""
        return self.path / "data.txt"

    @property
    def jobs(self) -> Path:
        """How many networks the run fits at the same time, if the program chose that."""
        return self.path / "jobs.txt"

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
        """How well training and test strips can be told apart, if the folds depend on that."""
        return self.path / "likeness.json"

    @property
    def thresholds(self) -> Path:
        """The tuned rules; the last file that is written before the scores."""
        return self.path / "thresholds.json"

    @property
    def scores(self) -> Path:
        """The five numbers of every part."""
        return self.path / "scores.json"

    @property
    def verdict(self) -> Path:
        """Whether the run finds anything, classes that it never finds, and costs of gates."""
        return self.path / "verdict.json"

    @property
    def notes(self) -> Path:
        """Sentences on first weights, on how strips were split, and on thresholds."""
        return self.path / "notes.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def submission(self) -> Path:
        """The masks of the test strips, or of the validation strips if there are no test strips."""
        return self.path / "submission.csv"

    @property
    def predicted(self) -> Path:
        """The strips of the submission, and their sizes."""
        return self.path / "predicted.csv"

    @property
    def checksums(self) -> Path:
        """The checksums of results."""
        return self.path / "checksums.json"

    @property
    def pairs(self) -> Path:
        """Predicted, true and shared pixels of each class of each validation strip."""
        return self.path / "pairs.csv"

    def network(self, task: Task) -> Path:
        """Return the folder of one fitted network."""
        name = f"{task.step}-{task.number}-fold{task.fold}"
        return self._of_round("networks", task.round) / name

    def encoder(self, task: Task) -> Path:
        """Return the folder of the classifier that is fitted to give a network its encoder."""
        return self.network(replace(task, step=f"{task.step}-encoder"))

    def probabilities(self, name: str, round_: int = 0) -> Path:
        """Return the folder of a store of probabilities."""
        return self._of_round("probabilities", round_) / name

    def pseudo_labels(self, round_: int, fold: int | None) -> Path:
        """Return the file of the pseudo-labels of a round: of one fold, or of all (None)."""
        name = "pseudo_labels.csv" if fold is None else f"pseudo_labels-fold{fold}.csv"
        return self._of_round("rounds", round_) / name

    def _of_round(self, name: str, round_: int) -> Path:
        return self.path / name / f"round{round_}" if round_ else self.path / name
