"""What a run was made from, and the rules that it decides with."""

import platform
from importlib.metadata import PackageNotFoundError, version

from pydantic import NonNegativeInt

from steelscan.evaluation.tuning import Thresholds
from steelscan.pipeline.gates import TunedGate
from steelscan.postprocess import Rule
from steelscan.strip import Classes, Layout, Spec


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


class Tuned(Spec):
    """The rules that make the masks of a run, and the search that chose their thresholds.

    ``gates`` are the gates that were tuned; all others are those of the recipe. ``round`` is the
    last round of pseudo-labels, whose networks predict.
    """

    rules: tuple[Rule, ...]
    gates: tuple[TunedGate, ...] = ()
    search: Thresholds | None = None
    round: NonNegativeInt = 0


_LABELS = {"fingerprint": "fingerprint of the data set", "groups": "groups.csv"}
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
