"""The sentences that summarise an exploration."""

from collections.abc import Sequence

from steelscan.explore.exploration import Exploration, in_one_group
from steelscan.explore.suspects import KINDS
from steelscan.pages import plural

_RARE = 10.0
"""A class is rare if the most frequent class is on this many times as many pictures."""

_FEW = 30
"""Fewer pictures with a class are too few to train on and to score."""


def findings(exploration: Exploration) -> list[str]:
    """Return the sentences at the top of the page."""
    sentences = [
        *_how_many(exploration),
        *_how_large(exploration),
        *_overlap(exploration),
        *_black(exploration),
        *_near_duplicates(exploration),
        *_suspects(exploration),
    ]
    if exploration.skipped:
        sentences.append(f"{_pictures(len(exploration.skipped))} could not be read; see the end.")
    return sentences


def summary(exploration: Exploration) -> str:
    """Return the result in a few lines of plain text."""
    first = exploration.counts[0]
    clean = f"{first.clean} clean" if first.lists_clean else "clean ones not listed"
    per_class = zip(exploration.classes, first.per_class, strict=True)
    lines = [
        f"{_pictures(first.pictures)}, {clean}; "
        + ", ".join(f"class {name}: {count}" for name, count in per_class)
    ]
    if exploration.pixels_with_two_classes is not None:
        lines.append(f"Pixels with two classes: {exploration.pixels_with_two_classes}")
    copies = exploration.near_duplicates
    if copies is not None:
        lines.append(
            f"Near-duplicates: {_many(copies.groups, 'group')}, "
            f"{copies.differing} labelled differently"
        )
    kinds = [each.kind for each in exploration.suspects]
    counts = [f"{KINDS[kind].lower()}: {kinds.count(kind)}" for kind in KINDS if kind in kinds]
    lines.append(f"Labels worth a second look: {'; '.join(counts) or 'none'}")
    lines += [f"Could not be read: {reason}" for _, reason in exploration.skipped[:5]]
    return "\n".join(lines)


def number(value: float) -> str:
    """Return a whole number with narrow spaces between its thousands."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _how_many(exploration: Exploration) -> list[str]:
    counts, names = exploration.counts[0], exploration.class_titles
    sentences = []
    if counts.lists_clean and counts.clean:
        share = counts.clean / max(counts.pictures, 1)
        sentences.append(f"{100 * share:.0f} % of the pictures are clean.")
    elif counts.lists_clean:
        sentences.append("No picture is clean: false alarms cannot be measured with this data.")
    ranked = sorted(range(len(names)), key=lambda at: -counts.per_class[at])
    most, least = ranked[0], ranked[-1]
    if counts.per_class[most] > _RARE * counts.per_class[least]:
        many, few = counts.per_class[most], counts.per_class[least]
        times = f", {many / few:.0f} times fewer" if few else ""
        sentences.append(
            f"The classes are unbalanced: {names[most]} is on {_pictures(many)}, {names[least]} on "
            f"{number(few)}{times}."
        )
    few_of = [names[at] for at in range(len(names)) if counts.per_class[at] < _FEW]
    if few_of:
        shown = ", ".join(few_of[:5]) + (", …" if len(few_of) > 5 else "")
        sentences.append(
            f"Fewer than {_FEW} pictures show {shown}: a network can learn little from so few."
        )
    mixed = sum(counts.per_number[2:])
    defective = sum(counts.per_number[1:])
    if defective:
        which = f"{100 * mixed / defective:.1f} % of the pictures with defects have"
        sentences.append(f"{which if mixed else 'No picture has'} more than one class.")
    return sentences


def _how_large(exploration: Exploration) -> list[str]:
    if not exploration.areas:
        return []
    medians = [
        (facts.shares[4], name)
        for facts, name in zip(exploration.areas[0].classes, exploration.class_titles, strict=True)
        if facts.shares
    ]
    if len(medians) < 2:
        return []
    (small, least), (large, most) = min(medians), max(medians)
    return [
        f"A typical mask covers {_percent(small)} of the picture for {least}, {_percent(large)} "
        f"for {most}."
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _overlap(exploration: Exploration) -> list[str]:
    pixels = exploration.pixels_with_two_classes
    if pixels is None:
        return []
    if not pixels:
        return ["No pixel has two classes."]
    on = sum(bool(each.shared) for each in exploration.measured.strips)
    return [f"{number(pixels)} pixels on {_pictures(on)} have two or more classes."]


def _black(exploration: Exploration) -> list[str]:
    exposure = exploration.exposure
    if exposure is None:
        return []
    ended = exposure.left + exposure.right + exposure.both
    share = 100 * ended / len(exploration.measured.strips)
    sentences = [f"{share:.0f} % of the pictures have a black end."] if ended else []
    if exposure.all_black:
        sentences.append(f"{_pictures(exposure.all_black)} show no steel at all.")
    return sentences


def _near_duplicates(exploration: Exploration) -> list[str]:
    copies = exploration.near_duplicates
    if copies is None:
        return []
    if not copies.groups:
        return ["No near-duplicates were found."]
    many = f"{number(copies.strips)} pictures are near-duplicates, in "
    many += _many(copies.groups, "group")
    differ = f"; in {number(copies.differing)} of them labels differ" if copies.differing else ""
    sentences = [f"{many}{differ}."]
    if copies.split_by_file:
        groups = _many(copies.split_by_file, "group")
        sentences.append(f"groups.csv separates the pictures of {groups}: a split may leak.")
    return sentences


def _suspects(exploration: Exploration) -> list[str]:
    # The sentences above already count groups that differ, and pixels with two classes.
    suspects = [
        each
        for each in exploration.suspects
        if each.kind != "shared pixels" and not in_one_group(each, exploration.measured)
    ]
    if not suspects:
        return []
    kinds = [each.kind for each in suspects]
    counts = [f"{KINDS[kind].lower()} ({kinds.count(kind)})" for kind in KINDS if kind in kinds]
    strips = len({each.strip for each in suspects})
    have = "has" if strips == 1 else "have"
    return [f"{_pictures(strips)} {have} labels worth a second look: {_listed(counts)}."]


def _pictures(count: int) -> str:
    return _many(count, "picture")


def _many(count: int, what: str) -> str:
    return f"{number(count)} {plural(count, what)}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
