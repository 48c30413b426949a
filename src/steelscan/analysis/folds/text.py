"""A report on folds as plain text."""

from steelscan.analysis.folds.folds import FoldsReport
from steelscan.pages import plain_table, plural
from steelscan.pipeline.folds import percent, separated_strips

_COLUMNS = 10
"""Folds per table; more folds go into further tables below."""

_OFF = "off: largest difference of a fold from the mean"


def folds_text(report: FoldsReport) -> str:
    """Return tables of the folds, then sentences on near-duplicates."""
    return "\n".join([*_tables(report), _OFF, "", *_sentences(report)])


def _tables(report: FoldsReport) -> list[str]:
    """Return the counts per fold, ten folds per table."""
    tables = []
    for start in range(0, report.folds, _COLUMNS):
        folds = range(start, min(start + _COLUMNS, report.folds))
        rows = [["fold", *map(str, folds), "off"]]
        for name, counts in report.counts.items():
            off = report.deviation[name]
            share = percent(off, sum(counts) / report.folds)
            rows.append([name, *(str(counts[fold]) for fold in folds), f"{off:.1f} ({share})"])
        tables.append(plain_table(rows))
    return tables


def _sentences(report: FoldsReport) -> list[str]:
    strips, random, separated = len(report.names), report.random_folds_separate, report.separated
    sentences = [f"{strips} strips in {report.groups} {plural(report.groups, 'group')}."]
    if report.largest_groups:
        sizes = (f"{group.first} {group.strips}" for group in report.largest_groups)
        sentences[0] += f" Largest groups, by their first strip: {', '.join(sizes)}."
    if report.groups_named:
        sentences.append(
            "The groups are those of groups.csv; --look searches near-duplicates in the pictures."
        )
    sentences += report.notes
    if not random.all_pairs:
        return [*sentences, "There are no near-duplicates: any folds are safe."]
    sentences += [
        f"Near-duplicates: {random.all_strips} strips "
        f"({percent(random.all_strips, strips)}) in {random.all_pairs} pairs, "
        f"{random.all_differing} of them with different classes.",
        f"RANDOM folds would separate {random.pairs:.1f} pairs, {random.differing:.1f} of them "
        f"with different classes: {random.strips:.1f} strips ({percent(random.strips, strips)}) "
        "would be evaluated by networks trained on a near-duplicate.",
    ]
    if not separated.pairs:
        return [*sentences, "THESE folds separate none."]
    start = f"THESE folds separate {separated.pairs:.0f} of {separated.all_pairs}"
    return [*sentences, start + separated_strips(separated, strips)]
