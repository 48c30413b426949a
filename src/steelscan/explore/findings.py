"""What an exploration found, in sentences for people who read nothing else."""

from collections.abc import Sequence

from steelscan.explore.exploration import Exploration
from steelscan.explore.suspects import KINDS

_RARE = 10.0
"""A class that stands on so many times fewer pictures than the most frequent one is rare."""

_FEW = 30
"""From fewer masks little can be learnt, and less be judged."""


def findings(found: Exploration) -> list[str]:
    """The sentences that open the page."""
    sentences = [
        *_how_many(found),
        *_how_large(found),
        *_overlap(found),
        *_black(found),
        *_twins(found),
        *_suspects(found),
    ]
    skipped = len(found.gathered.skipped)
    if skipped:
        sentences.append(f"{_pictures(skipped)} could not be read; the list is at the end.")
    return sentences


def number(value: float) -> str:
    """A whole number with its thousands apart."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _how_many(found: Exploration) -> list[str]:
    counts, names = found.counts[0], found.called
    said = []
    if counts.lists_clean:
        share = counts.clean / max(counts.pictures, 1)
        said.append(f"{100 * share:.0f} % of the pictures are clean.")
        if not counts.clean:
            said[-1] = "No picture is clean: false alarms on sound steel cannot be judged on them."
    ranked = sorted(range(len(names)), key=lambda at: -counts.per_class[at])
    most, least = ranked[0], ranked[-1]
    if counts.per_class[most] > _RARE * counts.per_class[least]:
        many, few = counts.per_class[most], counts.per_class[least]
        times = f", {many / few:.0f} times fewer" if few else ""
        said.append(
            f"Classes are uneven: {names[most]} is on {_pictures(many)}, {names[least]} on "
            f"{number(few)}{times}."
        )
    few_of = [names[at] for at in range(len(names)) if counts.per_class[at] < _FEW]
    if few_of:
        shown = ", ".join(few_of[:5]) + (", …" if len(few_of) > 5 else "")
        said.append(f"Fewer than {_FEW} pictures hold {shown}: expect little of a network there.")
    mixed = sum(counts.per_number[2:])
    defective = sum(counts.per_number[1:])
    if defective:
        who = f"{100 * mixed / defective:.1f} % of the pictures with defects hold"
        said.append(f"{who if mixed else 'No picture holds'} more than one class.")
    return said


def _how_large(found: Exploration) -> list[str]:
    if not found.areas:
        return []
    middle = [
        (facts.shares[4], name)
        for facts, name in zip(found.areas[0].classes, found.called, strict=True)
        if facts.shares
    ]
    if len(middle) < 2:
        return []
    (small, least), (large, most) = min(middle), max(middle)
    return [
        f"A typical mask covers {_percent(small)} of the picture for {least}, {_percent(large)} "
        f"for {most}."
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _overlap(found: Exploration) -> list[str]:
    if found.shared_pixels is None:
        return []
    if not found.shared_pixels:
        return ["No pixel has two classes."]
    on = sum(bool(each.shared) for each in found.gathered.strips)
    return [f"{number(found.shared_pixels)} pixels on {_pictures(on)} have two classes or more."]


def _black(found: Exploration) -> list[str]:
    light = found.light
    if light is None:
        return []
    ended = light.left + light.right + light.both
    whole = len(found.gathered.strips)
    said = [f"{100 * ended / whole:.0f} % of the pictures have a black end."] if ended else []
    if light.all_black:
        said.append(f"{_pictures(light.all_black)} show no steel at all.")
    return said


def _twins(found: Exploration) -> list[str]:
    twins = found.twins
    if twins is None:
        return []
    if not twins.groups:
        return ["No near-duplicates were found."]
    said = f"{number(twins.strips)} pictures are near-duplicates, in {_many(twins.groups, 'group')}"
    differ = f"; in {number(twins.differing)} of them labels differ" if twins.differing else ""
    sentences = [f"{said}{differ}."]
    if twins.parted:
        apart = _many(twins.parted, "group")
        sentences.append(f"groups.csv puts the pictures of {apart} apart: a split may leak.")
    return sentences


def _suspects(found: Exploration) -> list[str]:
    kinds = [each.kind for each in found.suspects if each.kind not in ("twin", "shared")]
    if not kinds:
        return []
    strips = {each.strip for each in found.suspects if each.kind in kinds}
    counted = [f"{KINDS[kind].lower()} ({kinds.count(kind)})" for kind in KINDS if kind in kinds]
    return [f"{_pictures(len(strips))} have labels worth a second look: {_listed(counted)}."]


def _pictures(count: int) -> str:
    return _many(count, "picture")


def _many(count: int, what: str) -> str:
    return f"{number(count)} {what}{'' if count == 1 else 's'}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
