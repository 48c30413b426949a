"""The comparison of an ensemble's rules and members as text."""

from collections.abc import Iterator
from math import isnan

from steelscan.analysis.ensemble.ensemble import EnsembleComparison, MemberFacts
from steelscan.analysis.ensemble.subsets import LeftOut, Selection, Sets
from steelscan.evaluation.metrics import Difference
from steelscan.evaluation.statistics import Estimate
from steelscan.pages import plain_table, plural

SETTINGS = {"held": "thresholds held", "refitted": "thresholds refitted"}


def ensemble_text(comparison: EnsembleComparison) -> str:
    """Return a comparison as plain text."""
    blocks = [
        f"{comparison.strips} {plural(comparison.strips, 'strip')} out of fold in "
        f"{comparison.groups} {plural(comparison.groups, 'group')}; step "
        f"{comparison.step} of {comparison.recipe}, members: {len(comparison.members)}, "
        f"views: {comparison.views}; predicting nothing has a mean Dice of {comparison.empty:.4f}.",
        reproduction(comparison),
        *(rules_table(comparison, setting) for setting in SETTINGS),
        plain_table(
            [("member", "network", "folds", "parameters", "s per strip"), *_members(comparison)]
        ),
        *_sets(comparison),
        *(f"Note: {note}" for note in comparison.notes),
        conclusion(comparison),
    ]
    return "\n\n".join(block for block in blocks if block)


def reproduction(comparison: EnsembleComparison) -> str:
    """Return a sentence on how well the run's own masks were reproduced."""
    pairs = f"{comparison.same_pairs} of {comparison.pairs} pairs of strip and class"
    text = f"The recipe's own rule reproduces the run's pixel counts on {pairs}"
    if comparison.same_pairs == comparison.pairs:
        return f"{text}."
    return f"{text}; on the others, a pixel is so close to a threshold that rounding differs."


def rules_table(comparison: EnsembleComparison, setting: str) -> str:
    """Return the rules compared with the recipe's own, for one setting of thresholds."""
    head = (SETTINGS[setting], "mean Dice", "minus own", "95 % interval", "escapes", "overkill")
    rows = [
        (
            rule.name if at else f"{rule.name} (own)",
            *_cells(scores.mean_dice),
            _share(scores.escapes.other),
            _share(scores.overkill.other),
            scores.mean_dice.verdict if at else "",
        )
        for at, rule in enumerate(comparison.rules)
        if (scores := getattr(rule, setting)) is not None
    ]
    return plain_table([(*head, "is"), *rows]) if rows else ""


def conclusion(comparison: EnsembleComparison) -> str:
    """Return the result in sentences."""
    setting = "refitted" if comparison.rules[0].refitted is not None else "held"
    sentences = []
    for verdict in ("better", "worse"):
        results = [(rule.name, getattr(rule, setting)) for rule in comparison.rules[1:]]
        names = [
            f"{name}, but more defective strips escape"
            if verdict == "better" and scores.escapes.verdict == "worse"
            else name
            for name, scores in results
            if scores.mean_dice.verdict == verdict
        ]
        if names:
            sentences.append(f"{verdict.capitalize()} than its own rule: {'; '.join(names)}.")
    if not sentences:
        sentences.append("No rule is distinguishable from the run's own rule.")
    first = sentences[0]
    sentences[0] = f"With {SETTINGS[setting]}: {first[0].lower()}{first[1:]}"
    sets = comparison.refitted or comparison.held
    idle = [str(each.member) for each in sets.left_out if is_idle(each)] if sets else []
    if sets:
        sentences.append(
            f"Members that can be left out, one at a time, without a loss: {', '.join(idle)}."
            if idle
            else "Leaving out any single member is a loss."
        )
    return " ".join(sentences)


def is_idle(left_out: LeftOut) -> bool:
    """Return whether a member can be left out alone without a loss beyond chance."""
    return left_out.adds is not None and left_out.adds.mean_dice.verdict != "better"


def named(selection: Selection) -> str:
    """Return the members of a selection as text."""
    return " ".join(map(str, selection.members))


def gain_text(score: Estimate) -> str:
    """Return a gain in Dice with its interval as text."""
    return "unknown" if isnan(score.value) else score.text(sign=True)


def _members(comparison: EnsembleComparison) -> list[tuple[str, ...]]:
    return [
        (
            str(each.number),
            each.network,
            " ".join(map(str, each.folds)),
            f"{each.parameters / 1e6:.2f} M",
            seconds(each),
        )
        for each in comparison.members
    ]


def seconds(member: MemberFacts) -> str:
    """Return the time of a member per strip as text."""
    return "unknown" if isnan(member.seconds) else f"{member.seconds:.3f}"


def _sets(comparison: EnsembleComparison) -> Iterator[str]:
    """Yield the sets of members for each setting of thresholds."""
    for setting, title in SETTINGS.items():
        sets: Sets | None = getattr(comparison, setting)
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
        head = ("set", "members", "gain where chosen", "gain on other groups", "optimism")
        left_out = [(str(each.member), *_added(each), each.verdict) for each in sets.left_out]
        yield (
            f"Sets of members with its own rule, {title}: gain in mean Dice over all members; "
            f"{sets.exhaustive.sets} sets:"
        )
        yield plain_table([(*head, "chosen again", "time"), *rows])
        yield plain_table([("member", "adds to the others", "95 % interval", "verdict"), *left_out])


def selections(sets: Sets) -> dict[str, Selection]:
    """Return the chosen sets, by how they were chosen."""
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
