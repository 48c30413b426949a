"""What a run was made from, and the rules that it decides with."""

import platform
from importlib.metadata import PackageNotFoundError, version

from pydantic import NonNegativeInt, PositiveInt

from steelscan.evaluation.tuning import Thresholds
from steelscan.postprocess import Rule
from steelscan.strip import Classes, Layout, Spec


class StartNetwork(Spec):
    """The weights with which one network of a run starts, in all rounds of pseudo-labels."""

    step: str
    member: str
    fold: NonNegativeInt

    file: str
    """The checkpoint in the folder of the other run; "." if only a checkpoint was given."""

    from_fold: NonNegativeInt | None
    """The fold of the other network; None for a single checkpoint."""

    sha256: str
    """Of the checkpoint."""

    classes: PositiveInt
    """How many classes the network predicts."""

    new_head: bool
    """Whether the layers whose shape depends on the number of classes are new."""

    @property
    def source(self) -> str:
        """The fold that it starts from, and the hash of the checkpoint, for a note."""
        hashed = f"sha256 {self.sha256[:12]}"
        if self.from_fold is None:
            return f"fold {self.fold} ({hashed})"
        return f"fold {self.fold} from fold {self.from_fold} ({hashed})"


class StartFrom(Spec):
    """The networks of another run, or the checkpoint, whose weights a run starts with."""

    origin: str
    """Its path, as it was given."""

    digest: str
    """SHA-256 of what the other run was made from, or of the checkpoint."""

    networks: tuple[StartNetwork, ...]

    def of(self, step: str, member: str, fold: int) -> StartNetwork:
        """Return the start of one network."""
        key = step, member, fold
        return next(each for each in self.networks if (each.step, each.member, each.fold) == key)

    @property
    def notes(self) -> list[str]:
        """A sentence per member on what it starts with."""
        members: dict[str, list[StartNetwork]] = {}
        for each in self.networks:
            members.setdefault(f"{each.step} {each.member}", []).append(each)
        return [
            f"Start: {name} with the weights in {self.origin} ({self.digest[:8]}), "
            + ", ".join(each.source for each in networks)
            + (
                "; its head is new, because the classes are others."
                if networks[0].new_head
                else "."
            )
            for name, networks in members.items()
        ]


class RunRecord(Spec):
    """What a run was made from; a run folder is continued only with an equal record."""

    fingerprint: str
    classes: Classes
    layout: Layout
    seed: int

    folds: str | None = None
    """SHA-256 of folds that the user gave; None if the run made its own."""

    groups: str | None = None
    """SHA-256 of the groups of ``groups.csv``; None if there is no such file."""

    start_from: StartFrom | None = None
    """The weights of another run that its networks start with; None: those of the recipe."""


class Tuned(Spec):
    """The rules that make the masks of a run, and the search that chose their thresholds.

    ``round`` is the last round of pseudo-labels, whose networks predict.
    """

    rules: tuple[Rule, ...]
    search: Thresholds | None = None
    round: NonNegativeInt = 0


_LABELS = {
    "fingerprint": "fingerprint of the data set",
    "groups": "groups.csv",
    "start_from": "--start-from",
}
"""Names of fields in messages, if the field's own name is not clear."""


def changed_fields(old: Spec, new: Spec) -> list[str]:
    """Return the names, as messages use them, of the fields in which two specs differ."""
    names = [name for name in type(old).model_fields if getattr(old, name) != getattr(new, name)]
    return [_LABELS.get(name, name) for name in names]


def versions() -> dict[str, str]:
    """Return the versions of the packages that compute the numbers."""
    names = "steelscan", "torch", "timm", "segmentation-models-pytorch", "albumentations"
    numbers = {"python": platform.python_version()}
    for name in (*names, "numpy", "opencv-python-headless"):
        try:
            numbers[name] = version(name)
        except PackageNotFoundError:
            numbers[name] = "absent"
    return numbers
