"""Compare the ensemble of a finished run with other combining rules and with fewer members."""

from collections.abc import Iterator, Sequence
from math import nan
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, PlainSerializer

from steelscan.analysis.ensemble.members import EnsembleSetup, StripFiles, predict_members
from steelscan.analysis.ensemble.rules import combining_rules, last_segment
from steelscan.analysis.ensemble.selection import Members
from steelscan.analysis.ensemble.subsets import Picker, Sets
from steelscan.analysis.ensemble.thresholds import RuleEvaluator
from steelscan.data import Dataset
from steelscan.decision.claim import claim
from steelscan.evaluation.metrics import Differences, Pairs, dice, paired_differences
from steelscan.models import encoder_of
from steelscan.pipeline import (
    EVALUATED_PARTS,
    Device,
    Evaluated,
    RunFolder,
    accelerator,
    dependence_of,
    read_evaluated,
)
from steelscan.prediction import Ensemble, Member
from steelscan.strip.errors import InputError, RunError, printable
from steelscan.strip.files import lock_folder

MOST_FREE = 10
"""Members that may be left out; with more, there are too many sets to try each."""

_VERSION = "3"


class MemberFacts(BaseModel, frozen=True):
    """One member of the ensemble, and what it costs."""

    number: int
    """From 1, in the order of the recipe."""
    network: str
    folds: tuple[int, ...]
    parameters: int
    seconds: float
    """Median time to predict a strip here, all views; nan if it predicted none."""
    free: bool
    """Whether sets without it were tried."""


class RuleResult(BaseModel, frozen=True):
    """A combining rule compared with the recipe's own, with the run's thresholds and refitted ones.

    For ``refitted``, the thresholds of both rules were searched on other groups of strips than
    those that they are scored on. It is None if thresholds cannot be searched.
    """

    name: str
    meaning: str
    held: Differences
    refitted: Differences | None


class EnsembleComparison(BaseModel, frozen=True):
    """The ensemble of a run with other combining rules, and with fewer members."""

    run: Annotated[Path, PlainSerializer(lambda path: printable(str(path)), str)]
    recipe: str
    step: str
    views: int
    empty: float
    """Mean Dice if nothing is predicted."""
    strips: int
    groups: int
    members: tuple[MemberFacts, ...]
    rules: tuple[RuleResult, ...]
    """The recipe's own first."""
    held: Sets | None
    """Sets of members with the run's thresholds; None if only rules were compared."""
    refitted: Sets | None
    """Sets of members with refitted thresholds; None if these are not searched."""
    same_pairs: int
    """Pairs of strip and class for which the own rule reproduces the run's pixel counts."""
    pairs: int
    bytes: int
    """Size of the files of all strips."""
    notes: tuple[str, ...]


def compare_ensemble(
    run: Path,
    out: Path,
    *,
    data: Path | None = None,
    members: Sequence[int] = (),
    sets: bool = True,
    keep: bool = False,
    device: Device = "auto",
) -> EnsembleComparison:
    """Compare combining rules and sets of members of a finished run, out-of-fold.

    The members of the last segmentation step predict again the strips of the folds that they were
    not fitted on; earlier networks are used as in the run. ``members`` are the numbers, from 1, of
    those that may be left out, by default all. With ``sets`` False only rules are compared.
    ``out`` contains one file per strip until the end, or with ``keep`` permanently; after an
    interruption the same call continues.

    Raises RunError if the run is not finished, its data is missing or another process works in
    ``out``, InputError for members that do not exist or too many of them.
    """
    folder = RunFolder(run)
    recipe = folder.load_tuned_recipe()
    evaluated = _out_of_fold(folder)
    count = _count_members(run, last_segment(recipe).ensemble)
    free = _free(run, count, members) if sets else ()
    rules = combining_rules(recipe)
    with lock_folder(out):
        made_of = folder.digest(folder.thresholds).encode()
        names = (rule.name for rule in rules)
        claim(out, "compared_run.txt", made_of, _VERSION, str(free), *names)
        dataset = folder.open_data(data)
        rows = _rows(evaluated, dataset)
        setup = EnsembleSetup(
            run=folder,
            recipe=recipe,
            tuned=folder.load_tuned(),
            dataset=dataset,
            rules=rules,
            rows={fold: rows[evaluated.folds == fold].tolist() for fold in recipe.folds.validation},
            stays=tuple(number not in free for number in range(count)),
        )
        files = StripFiles(out / "strips")
        parameters = predict_members(setup, files, accelerator(device).device)
        comparison = _compared(setup, files, evaluated, rows, parameters)
        if not keep:
            files.remove()
        return comparison


def _out_of_fold(run: RunFolder) -> Evaluated:
    """Return the evaluated out-of-fold strips of a finished run. Raises RunError without any."""
    parts = read_evaluated(run, len(run.load_record().classes))
    evaluated = parts.get(EVALUATED_PARTS[1])
    if evaluated is None or not evaluated.images:
        raise RunError(run.path, "has no strip out of fold", "Train with validation folds")
    return evaluated


def _count_members(run: Path, ensemble: Ensemble) -> int:
    """Return the number of members. Raises RunError if nothing is combined."""
    count = len(ensemble.members)
    if count * len(ensemble.views) < 2:
        problem = "has one network and one view in its last step: nothing is combined"
        raise RunError(run, problem, "Choose a run with several members")
    return count


def _free(run: Path, count: int, members: Sequence[int]) -> Members:
    """Return the members that may be left out, from 0; none of a single one. Raises InputError."""
    unknown = [number for number in members if not 1 <= number <= count]
    if unknown:
        problem = f"names {unknown[0]}, and {run} has the members 1 to {count}"
        raise InputError("members", problem, "Give numbers of members in the order of the recipe")
    if count == 1:
        return ()
    free = tuple(sorted({number - 1 for number in members})) or tuple(range(count))
    if len(free) > MOST_FREE:
        problem = f"are {len(free)} that may be left out, which makes {2 ** len(free) - 1} sets"
        remedy = f"Give at most {MOST_FREE} of them with --members, or use --rules-only"
        raise InputError("members", problem, remedy)
    return free


def _rows(evaluated: Evaluated, dataset: Dataset) -> NDArray[np.int64]:
    """Return the indices of the evaluated strips in the data set."""
    row_of = {name: row for row, name in enumerate(dataset.names)}
    return np.array([row_of[image] for image in evaluated.images], np.int64)


def _compared(
    setup: EnsembleSetup,
    files: StripFiles,
    evaluated: Evaluated,
    rows: NDArray[np.int64],
    parameters: dict[int, int],
) -> EnsembleComparison:
    evaluator = RuleEvaluator(setup, files, rows.tolist(), evaluated.groups)
    own_held, own_refitted = evaluator.held_and_refitted(0)
    results = []
    for at, rule in enumerate(setup.rules):
        held, refitted = evaluator.held_and_refitted(at) if at else (own_held, own_refitted)
        results.append(
            RuleResult(
                name=rule.name,
                meaning=rule.meaning,
                held=paired_differences(own_held, held, evaluated.groups),
                refitted=None
                if own_refitted is None or refitted is None
                else paired_differences(own_refitted, refitted, evaluated.groups),
            )
        )
    facts = _facts(setup, files, rows.tolist(), parameters)
    seconds = np.array([fact.seconds for fact in facts])
    picker = Picker(setup, files, rows.tolist(), evaluated, seconds) if setup.sets else None
    stored = evaluated.pairs
    same = (own_held.predicted == stored.predicted) & (own_held.shared == stored.shared)
    return EnsembleComparison(
        run=setup.run.path,
        recipe=setup.recipe.name,
        step=setup.step_name,
        views=len(setup.step.ensemble.views),
        empty=float(dice(stored.emptied()).mean()),
        strips=len(evaluated.images),
        groups=len(np.unique(evaluated.groups)),
        members=facts,
        rules=tuple(results),
        held=picker.held() if picker else None,
        refitted=picker.refitted(evaluator) if picker and not evaluator.refusal else None,
        same_pairs=int(same.sum()),
        pairs=same.size,
        bytes=files.bytes(),
        notes=(*_notes(setup, evaluator), *_own_gain(setup, own_held, own_refitted, evaluated)),
    )


def _facts(
    setup: EnsembleSetup, files: StripFiles, rows: Sequence[int], parameters: dict[int, int]
) -> tuple[MemberFacts, ...]:
    seconds = np.stack([files.seconds(row) for row in rows])
    medians = [nan if np.isnan(took).all() else float(np.nanmedian(took)) for took in seconds.T]
    return tuple(
        MemberFacts(
            number=number + 1,
            network=_network(member),
            folds=setup.recipe.folds_of(member),
            parameters=parameters[number],
            seconds=medians[number],
            free=setup.sets and not setup.stays[number],
        )
        for number, member in enumerate(setup.step.ensemble.members)
    )


def _network(member: Member) -> str:
    """Describe a member in a few words."""
    network = member.network
    inner = f"{network.segmenter.kind} with an aux head" if network.kind == "two_headed" else ""
    classes = f", class {' '.join(map(str, member.classes))}" if member.classes else ""
    return f"{inner or network.kind} {encoder_of(network).encoder}{classes}"


def _notes(setup: EnsembleSetup, evaluator: RuleEvaluator) -> Iterator[str]:
    """Yield remarks on the numbers."""
    yield from dependence_of(setup.run)
    if setup.tuned.search is not None and any(setup.tuned.search.tuned):
        yield (
            "The run's thresholds were tuned on these strips with its own rule; with thresholds "
            "held, that rule has an advantage."
        )
    if evaluator.refusal:
        yield f"Thresholds are not refitted: {evaluator.refusal}."
    elif len(setup.tuned.rules) > evaluator.searched:
        kinds = ", ".join(rule.kind for rule in setup.tuned.rules[evaluator.searched :])
        yield f"The threshold search ignores {kinds}; the masks that are evaluated do not."
    names = {rule.name for rule in setup.rules}
    if "logit mean" not in names:
        yield "Some members have sigmoid and some softmax outputs: there is no mean logit."
    views = setup.step.ensemble.views
    if all(view == "identity" for view in views):
        yield "No view is mirrored: the mixed power mean equals the mean."
    if len(setup.stays) < 2:
        yield "The step has one member: no sets of members are compared."


def _own_gain(
    setup: EnsembleSetup, held: Pairs, refitted: Pairs | None, evaluated: Evaluated
) -> Iterator[str]:
    """Yield a sentence if refitted thresholds improve the run's own rule."""
    if refitted is None:
        return
    gain = paired_differences(held, refitted, evaluated.groups).mean_dice
    if gain.verdict == "better":
        advice = "" if dependence_of(setup.run) else " Tune them first."
        yield (
            f"Refitted thresholds improve its own rule by {gain.estimate.text(sign=True)}: with "
            "thresholds held, differences between rules and between members are mostly "
            f"differences of thresholds.{advice}"
        )
