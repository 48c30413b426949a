"""The comparison of an ensemble's rules and members, written out for people."""

from collections.abc import Iterator
from math import isnan

from steelscan.analysis.ensemble.ensemble import EnsembleComparison, MemberFacts
from steelscan.analysis.ensemble.subsets import LeftOut, Selection, Sets
from steelscan.evaluation.metrics import Difference
from steelscan.evaluation.statistics import Estimate
from steelscan.pages import plain_table

SETTINGS = {"held": "thresholds held", "refitted": "thresholds refitted"}


def ensemble_text(found: EnsembleComparison) -> str:
    """All of a comparison as plain text."""
    blocks = [
        f"{found.strips} strips out of fold in {found.groups} groups; step {found.step} of "
        f"{found.recipe}, {len(found.members)} members, {found.views} views; the answer that finds "
        f"nothing has a mean Dice of {found.empty:.4f}.",
        reproduction(found),
        *(rules_table(found, setting) for setting in SETTINGS),
        plain_table([("member", "network", "folds", "parameters", "s a strip"), *_members(found)]),
        *_sets(found),
        *(f"Note: {note}" for note in found.notes),
        conclusion(found),
    ]
    return "\n\n".join(block for block in blocks if block)


def reproduction(found: EnsembleComparison) -> str:
    """How well the run's own answers were met, as a sentence."""
    told = f"{found.same_pairs} of {found.pairs} pairs of strip and class"
    if found.same_pairs == found.pairs:
        return f"The recipe's own rule gives the run's own masks on {told}, to the pixel count."
    return (
        f"The recipe's own rule gives the run's own pixel counts on {told}; elsewhere a pixel lies "
        "so near to a threshold that another machine rounds it to the other side."
    )


def rules_table(found: EnsembleComparison, setting: str) -> str:
    """The rules beside the recipe's own, by one of the two settings of thresholds."""
    head = (SETTINGS[setting], "mean Dice", "less own", "95 % interval", "escapes", "overkill")
    rows = [
        (
            rule.name if at else f"{rule.name} (own)",
            *_cells(scores.mean_dice),
            _share(scores.escapes.other),
            _share(scores.overkill.other),
            scores.mean_dice.verdict if at else "",
        )
        for at, rule in enumerate(found.rules)
        if (scores := getattr(rule, setting)) is not None
    ]
    return plain_table([(*head, "is"), *rows]) if rows else ""


def conclusion(found: EnsembleComparison) -> str:
    """What it comes to, in sentences."""
    setting = "refitted" if found.rules[0].refitted is not None else "held"
    told = []
    for verdict in ("better", "worse"):
        judged = [(rule.name, getattr(rule, setting)) for rule in found.rules[1:]]
        names = [
            f"{name}, though more defective strips escape"
            if verdict == "better" and scores.escapes.verdict == "worse"
            else name
            for name, scores in judged
            if scores.mean_dice.verdict == verdict
        ]
        if names:
            told.append(f"{verdict.capitalize()} than its own rule: {'; '.join(names)}.")
    if not told:
        told.append("No rule is distinguishable from its own.")
    told[0] = f"With {SETTINGS[setting]}: {told[0][0].lower()}{told[0][1:]}"
    sets = found.refitted or found.held
    idle = [str(each.member) for each in sets.left_out if is_idle(each)] if sets else []
    if sets:
        told.append(
            f"Members that, left out one at a time, are not missed: {', '.join(idle)}."
            if idle
            else "Every member is missed when it alone is left out."
        )
    return " ".join(told)


def is_idle(left_out: LeftOut) -> bool:
    """Whether a member can be left out alone without a loss that is more than luck."""
    return left_out.adds is not None and left_out.adds.mean_dice.verdict != "better"


def named(selection: Selection) -> str:
    """The members of a selection."""
    return " ".join(map(str, selection.members))


def gain_text(score: Estimate) -> str:
    """A gain in Dice with its interval."""
    if isnan(score.value):
        return "unknown"
    if isnan(score.low):
        return f"{score.value:+.4f}"
    return f"{score.value:+.4f} [{score.low:+.4f}, {score.high:+.4f}]"


def _members(found: EnsembleComparison) -> list[tuple[str, ...]]:
    return [
        (
            str(each.number),
            each.network,
            " ".join(map(str, each.folds)),
            f"{each.parameters / 1e6:.2f} M",
            seconds(each),
        )
        for each in found.members
    ]


def seconds(member: MemberFacts) -> str:
    """What a member takes for a strip."""
    return "unknown" if isnan(member.seconds) else f"{member.seconds:.3f}"


def _sets(found: EnsembleComparison) -> Iterator[str]:
    """The sets of members by each setting of thresholds."""
    for setting, title in SETTINGS.items():
        sets: Sets | None = getattr(found, setting)
        if sets is None:
            continue
        rows = [
            (
                name,
                named(each),
                gain_text(each.chosen.apparent),
                gain_text(each.chosen.honest),
                gain_text(each.chosen.optimism),
                f"{100 * each.chosen.often:.0f} %",
                f"{100 * each.time:.0f} %",
            )
            for name, each in selections(sets).items()
        ]
        head = ("chosen", "members", "gain where chosen", "gain on other groups", "optimism")
        left_out = [(str(each.member), *_added(each), each.verdict) for each in sets.left_out]
        yield (
            f"Sets of members by its own rule, {title}, over all members, in mean Dice; "
            f"{sets.exhaustive.sets} sets:"
        )
        yield plain_table([(*head, "as often", "time"), *rows])
        yield plain_table([("member", "adds to the others", "95 % interval", "it"), *left_out])


def selections(sets: Sets) -> dict[str, Selection]:
    """The sets that were chosen, by how."""
    return {"best of all sets": sets.exhaustive, "grown greedily": sets.greedy}


def _added(left_out: LeftOut) -> tuple[str, str]:
    if left_out.adds is None:
        return "", ""
    return _cells(left_out.adds.mean_dice)[1:]


def _cells(number: Difference) -> tuple[str, str, str]:
    if isnan(number.value):
        return "undefined", "", ""
    known = not isnan(number.low)
    return (
        f"{number.other:.4f}",
        f"{number.value:+.4f}",
        f"{number.low:+.4f} to {number.high:+.4f}" if known else "unknown",
    )


def _share(value: float) -> str:
    return "undefined" if isnan(value) else f"{100 * value:.1f} %"
