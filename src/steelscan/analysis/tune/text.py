"""The tuning of a run, written out for people."""

from typing import Any

from steelscan.analysis.tune.page import numbers_text, stretches_text, verdict
from steelscan.analysis.tune.tune import Tuned, notes_on
from steelscan.evaluation.metrics import Scores
from steelscan.evaluation.tuning import Crossfit, Decision, Numbers
from steelscan.pages import plain_table

_HEAD = ("", "recipe's numbers", "best, strips searched", "best, strips not searched", "optimism")


def tuning_text(done: Tuned) -> str:
    """All of a tuning; what it comes to stands last."""
    found = done.tuning
    rows = [_HEAD, _row("all classes", found.total)]
    named = list(zip(done.classes.names, found.classes, strict=True))
    rows += [_row(name, each.fit) for name, each in named if each.searched]
    blocks = [
        f"{found.strips} strips out of fold in {found.groups} groups; {done.objective}.",
        plain_table(rows),
    ]
    if found.image_gate is not None:
        gate = found.image_gate
        changed = f"{gate.default:.2f} -> {gate.used:.2f}" if gate.tuned else f"{gate.used:.2f}"
        blocks.append(f"classifier's threshold: {changed} ({gate.reason})")
    blocks += [_of_class(name, each, done) for name, each in named]
    if done.held_out is not None:
        columns = ("recipe's numbers", "best found", "used")
        table = Scores.table(dict(zip(columns, done.held_out, strict=True)))
        blocks.append(f"Strips held out, which no search saw:\n{table}")
    blocks += [f"Note: {note}" for note in notes_on(done)]
    blocks.append(verdict(found))
    return "\n\n".join(blocks)


def _row(name: str, fit: Crossfit[Any]) -> tuple[str, ...]:
    return (name, *(fit.score(which).text() for which in range(3)), fit.optimism.text(sign=True))


def _of_class(name: str, each: Decision[Numbers], done: Tuned) -> str:
    kind = done.kind
    kept = "tuned" if each.tuned else "recipe's numbers kept" if each.searched else "not searched"
    lines = [f"{name}: {kept}; {each.reason}"]
    if each.tuned:
        lines.append(f"  from     {numbers_text(each.default, kind)}")
    lines.append(f"  used     {numbers_text(each.used, kind)}")
    if each.plateau is not None:
        lines.append(f"  as good  {stretches_text(each.plateau, kind)}")
    return "\n".join(lines)
