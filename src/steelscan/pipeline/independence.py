"""Whether networks of a run depend on the strips that validate them. No torch here.

They do after pseudo-labels from the networks of all folds: a network then learns from predictions
of networks that were fitted on its validation strips. Scores of such a run are reported with a
sentence, and no threshold is chosen on them.
"""

from steelscan.pipeline.run_folder import RunFolder
from steelscan.recipes import PseudoLabels
from steelscan.strip.errors import RunError


def dependence_notes(labels: PseudoLabels | None, round_: int) -> list[str]:
    """Return a sentence if networks depend on the strips that validate them, else nothing.

    ``round_`` is the round of pseudo-labels of the networks, 0 for those fitted without any.
    """
    if labels is None or labels.predicted_by == "fold" or round_ == 0:
        return []
    return [
        "Pseudo-labels came from the networks of all folds, which were trained on each other's "
        "validation strips: out-of-fold scores are too high by an unknown, small amount."
    ]


def dependence_of(run: RunFolder) -> list[str]:
    """Return the `dependence_notes` of a finished run. Raises RunError if it is not finished."""
    return dependence_notes(run.load_recipe().pseudo_labels, run.load_tuned().round)


def check_independent(run: RunFolder, way_out: str = "Use") -> None:
    """Raise RunError if networks of a finished run depend on the strips that validate them.

    Thresholds must not be chosen on these strips then. ``way_out`` begins the remedy, with what
    can be done with this run if there is anything.
    """
    if dependence_of(run):
        problem = (
            "has pseudo-labels from the networks of all folds: its out-of-fold scores depend on "
            "the strips that they are measured on"
        )
        remedy = f'{way_out} a run whose recipe has pseudo-labels with predicted_by "fold"'
        raise RunError(run.path, problem, remedy)
