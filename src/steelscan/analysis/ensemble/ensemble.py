"""The ensemble of a finished run: its rule beside others, and which of its members it needs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelscan.analysis.ensemble.members import Question, StripFiles, predict_members
from steelscan.analysis.ensemble.rules import combining_rules, last_segment
from steelscan.analysis.ensemble.subsets import Picker, Sets
from steelscan.analysis.ensemble.thresholds import Judge
from steelscan.data import Dataset
from steelscan.decision.claim import claim
from steelscan.evaluation.metrics import Differences, Pairs, dice, paired_differences
from steelscan.evaluation.tuning import Members
from steelscan.models import encoder_of
from steelscan.pages import plain_value
from steelscan.pipeline import (
    PARTS,
    Device,
    Evaluated,
    RunFolder,
    accelerator,
    open_data_of,
    read_evaluated,
)
from steelscan.prediction import Member
from steelscan.strip import InputError, RunError, held

MOST_FREE = 10
"""Members that may be left out: with more, there are too many sets of them to try each."""

_VERSION = "2"


@dataclass(frozen=True)
class MemberFacts:
    """One member of the ensemble: what it is, and what it costs."""

    number: int
    """From 1, as the recipe has it."""
    network: str
    folds: tuple[int, ...]
    parameters: int
    seconds: float
    """Median of what asking it about a strip took here, all views; nan where none was asked."""
    free: bool
    """Whether sets without it were tried."""


@dataclass(frozen=True)
class RuleResult:
    """A rule beside the recipe's own, by thresholds as they are and by thresholds found anew.

    ``refitted`` is None where thresholds cannot be searched; both sides of it have thresholds that
    were found on other groups of strips than those that judge them.
    """

    name: str
    meaning: str
    held: Differences
    refitted: Differences | None


@dataclass(frozen=True)
class EnsembleComparison:
    """What became of the ensemble of a run under other rules, and with fewer members."""

    run: Path
    recipe: str
    step: str
    views: int
    empty: float
    """Mean Dice of the answer that finds nothing."""
    strips: int
    groups: int
    members: tuple[MemberFacts, ...]
    rules: tuple[RuleResult, ...]
    """The recipe's own first."""
    held: Sets | None
    """Sets of members by the run's thresholds; None where only rules were compared."""
    refitted: Sets | None
    """Sets of members by thresholds that suit each of them; None where these are not searched."""
    same_pairs: int
    """Pairs of strip and class that the own rule answers as the run did, to the pixel."""
    pairs: int
    bytes: int
    """What the answers took on disk meanwhile."""
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """The same as plain values for JSON; None where undefined."""
        plain = plain_value(asdict(self))
        assert isinstance(plain, dict)
        return plain


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
    """Compare the rules and the sets of members of a finished run, out-of-fold.

    The members of the last step that outlines are asked anew about the strips of the folds that
    they were not fitted on; networks before it have their say as in the run. ``members`` names
    those that may be left out, from 1; none: all. With ``sets`` False only rules are compared.
    ``out`` holds a file a strip until the end, or with ``keep`` for good; the same call after an
    interruption goes on.

    Raises RunError when the run is not finished, its data is not there or another process works in
    ``out``, InputError for members that are not there or too many of them.
    """
    folder = RunFolder(run)
    recipe, record, tuned = folder.load_recipe(), folder.load_record(), folder.load_tuned()
    judged = read_evaluated(folder, len(record.classes)).get(PARTS[1])
    if judged is None or not judged.images:
        raise RunError(run, "judged no strip out of fold", "Train with folds that validate")
    segment = last_segment(recipe)
    count = len(segment.ensemble.members)
    if count * len(segment.ensemble.views) < 2:
        found = "has one network and one view in its last step: there is nothing to combine"
        raise RunError(run, found, "Name a run with several members")
    free = _free(run, count, members) if sets and count > 1 else ()
    rules = combining_rules(recipe)
    with held(out):
        claim(
            out,
            "compared_run.txt",
            folder.made_of(),
            _VERSION,
            str(free),
            *(rule.name for rule in rules),
        )
        dataset = open_data_of(folder, data)
        rows = _rows(judged, dataset)
        question = Question(
            folder,
            recipe,
            tuned,
            dataset,
            rules,
            {fold: rows[judged.folds == fold].tolist() for fold in recipe.folds.validation},
            tuple(number not in free for number in range(count)),
            bool(free),
        )
        files = StripFiles(out / "strips")
        parameters = predict_members(question, files, accelerator(device).device)
        comparison = _compared(question, files, judged, rows, parameters)
        if not keep:
            files.remove()
        return comparison


def _free(run: Path, count: int, members: Sequence[int]) -> Members:
    """The members that may be left out, from 0. Raises InputError."""
    strange = [number for number in members if not 1 <= number <= count]
    if strange:
        found = f"names {strange[0]}, {run} has the members 1 to {count}"
        raise InputError("members", found, "Name members by their numbers in the recipe")
    free = tuple(sorted({number - 1 for number in members})) or tuple(range(count))
    if len(free) > MOST_FREE:
        found = f"are {len(free)} that may be left out: {2 ** len(free) - 1} sets to try"
        remedy = f"Name at most {MOST_FREE} of them by --members, or compare --rules-only"
        raise InputError("members", found, remedy)
    return free


def _rows(judged: Evaluated, dataset: Dataset) -> NDArray[np.int64]:
    """Where the strips that judge stand in the data set."""
    row_of = {name: row for row, name in enumerate(dataset.names)}
    return np.array([row_of[image] for image in judged.images], np.int64)


def _compared(
    question: Question,
    files: StripFiles,
    judged: Evaluated,
    rows: NDArray[np.int64],
    parameters: dict[int, int],
) -> EnsembleComparison:
    judge = Judge(question, files, rows.tolist(), judged.groups)
    own_held, own_refitted = judge.held_and_refitted(0)
    results = []
    for at, rule in enumerate(question.rules):
        held, refitted = judge.held_and_refitted(at) if at else (own_held, own_refitted)
        results.append(
            RuleResult(
                rule.name,
                rule.meaning,
                paired_differences(own_held, held, judged.groups),
                None
                if own_refitted is None or refitted is None
                else paired_differences(own_refitted, refitted, judged.groups),
            )
        )
    facts = _facts(question, files, rows.tolist(), parameters)
    seconds = np.array([fact.seconds for fact in facts])
    picker = Picker(question, files, rows.tolist(), judged, seconds) if question.sets else None
    same = _same(own_held, judged.pairs)
    return EnsembleComparison(
        run=question.run.path,
        recipe=question.recipe.name,
        step=question.step_name,
        views=len(question.step.ensemble.views),
        empty=float(dice(judged.pairs.emptied()).mean()),
        strips=len(judged.images),
        groups=len(np.unique(judged.groups)),
        members=facts,
        rules=tuple(results),
        held=picker.held() if picker else None,
        refitted=picker.refitted(judge) if picker and not judge.refusal else None,
        same_pairs=int(same.sum()),
        pairs=same.size,
        bytes=files.bytes(),
        notes=(*_notes(question, judge), *_own_gain(own_held, own_refitted, judged)),
    )


def _same(own: Pairs, stored: Pairs) -> NDArray[np.bool_]:
    same = (own.predicted == stored.predicted) & (own.shared == stored.shared)
    return np.asarray(same)


def _facts(
    question: Question, files: StripFiles, rows: Sequence[int], parameters: dict[int, int]
) -> tuple[MemberFacts, ...]:
    seconds = np.stack([files.seconds(row) for row in rows])
    return tuple(
        MemberFacts(
            number + 1,
            _network(member),
            question.recipe.folds_of(member),
            parameters[number],
            float(np.median(took)) if (took := _known(seconds[:, number])).size else nan,
            free=question.sets and not question.stays[number],
        )
        for number, member in enumerate(question.step.ensemble.members)
    )


def _known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[~np.isnan(values)]


def _network(member: Member) -> str:
    """What a member is, in a few words."""
    network = member.network
    inner = f"{network.segmenter.kind} with two heads" if network.kind == "two_headed" else ""
    classes = f", class {' '.join(map(str, member.classes))}" if member.classes else ""
    return f"{inner or network.kind} {encoder_of(network).encoder}{classes}"


def _notes(question: Question, judge: Judge) -> Iterator[str]:
    """What must be known beside the numbers, as sentences."""
    if question.tuned.search is not None and any(question.tuned.search.tuned):
        yield (
            "The run's thresholds were tuned on these strips with its own rule, which flatters "
            "that rule where thresholds are held."
        )
    if judge.refusal:
        yield f"Thresholds are not found anew: {judge.refusal}."
    elif len(question.tuned.rules) > judge.searched:
        kinds = ", ".join(rule.kind for rule in question.tuned.rules[judge.searched :])
        yield f"The search for thresholds does not see {kinds}; the masks that are judged do."
    names = {rule.name for rule in question.rules}
    if "logit mean" not in names:
        yield "Members of output sigmoid and of output softmax have no mean logit."
    views = question.step.ensemble.views
    if all(view == "identity" for view in views):
        yield "No view is mirrored: heng_mixed is the mean."
    if len(question.stays) < 2:
        yield "The step has one member: there are no sets of members to compare."


def _own_gain(held: Pairs, refitted: Pairs | None, judged: Evaluated) -> Iterator[str]:
    """A sentence where the run's thresholds do not even suit its own rule."""
    if refitted is None:
        return
    gain = paired_differences(held, refitted, judged.groups).mean_dice
    if gain.verdict == "better":
        yield (
            f"Thresholds found anew gain its own rule {gain.value:+.4f} [{gain.low:+.4f}, "
            f"{gain.high:+.4f}]: where thresholds are held, differences of rules and of members "
            "are mostly about thresholds. Tune them first."
        )
