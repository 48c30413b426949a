"""The report of a run: collects what its page shows."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import torch

from steelscan import __version__
from steelscan.evaluation.metrics import Pairs, dice
from steelscan.pages import Curve
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_tasks import tasks
from steelscan.pipeline.out_of_fold import OutOfFold
from steelscan.pipeline.report_page import Example, Report, pick_examples, write_report
from steelscan.pipeline.run_record import Tuned, versions
from steelscan.pipeline.verdict import Verdict
from steelscan.pipeline.verdict_text import verdict_sentences
from steelscan.strip.errors import RunError
from steelscan.training import BestAverage, Last, Training

_EXAMPLES = 3


def report_run(
    context: RunContext,
    outputs: OutOfFold,
    tuned: Tuned,
    pairs: Mapping[str, Pairs],
    notes: Sequence[str],
    verdict: Verdict,
) -> None:
    """Write ``report.html`` of a run. Raises OutputError."""
    report = Report(
        title=f"{context.recipe.name} on {context.dataset.root.name}",
        classes=context.dataset.classes,
        parts={
            name: (part, context.groups[context.parts[name]], context.folds[context.parts[name]])
            for name, part in pairs.items()
        },
        thresholds=tuned.search,
        curves=_curves(context),
        examples=_examples(context, outputs, tuned, pairs),
        about=_about(context),
        notes=notes,
        verdict=verdict_sentences(verdict),
        gates=verdict.gates,
    )
    write_report(context.run.report, report)


def _curves(context: RunContext) -> list[Curve]:
    curves = []
    for task in tasks(context.recipe, context.recipe.folds.validation, context.round):
        metrics = _metrics(context.run.network(task) / "metrics.csv")
        rows = [
            {name: value for name, value in row.items() if value is not None}
            for row in metrics.to_dicts()
        ]
        curves.append(Curve(task.label, rows, _kept(task.member.stages[-1], metrics.columns)))
    return curves


def _kept(stage: Training, columns: Sequence[str]) -> str:
    """Return which weights a stage keeps, from the names of the numbers that it logs."""
    if isinstance(stage.keep, Last):
        return "last epoch"
    _, _, *numbers = columns  # epoch, loss, and the numbers of validations, the score first
    number = numbers[0] if numbers and stage.monitor == "score" else stage.monitor
    most = "average of epochs" if isinstance(stage.keep, BestAverage) else "epoch"
    return f"{most} chosen by {number.replace('_', ' ')}"


def _metrics(path: Path) -> pl.DataFrame:
    """Read the metrics of a fit's epochs. Raises RunError for a damaged file."""
    try:
        others = pl.exclude("stage", "epoch", "loss", "lr", "encoder_lr")
        table = pl.read_csv(path).select("epoch", "loss", others)
        if all(kind.is_numeric() for kind in table.dtypes) and not table.is_empty():
            return table
        found = "holds cells that are not numbers"
    except (OSError, pl.exceptions.PolarsError) as error:
        found = f"cannot be read ({str(error).partition(chr(10))[0]})"
    remedy = f"Restore it, or remove {path.parent}; then the same train command fits that network"
    raise RunError(path, found, remedy)


def _examples(
    context: RunContext, outputs: OutOfFold, tuned: Tuned, pairs: Mapping[str, Pairs]
) -> dict[str, list[Example]]:
    """Return the best, median and worst strips of the first part."""
    name, part = next(iter(pairs.items()))
    values = dice(part)
    return {
        kind: [
            Example(
                context.dataset.names[row],
                context.dataset.picture(row),
                context.dataset.masks(row),
                outputs.masks(row, tuned.rules),
                values[place],
            )
            for place in places
            for row in [int(context.parts[name][place])]
        ]
        for kind, places in pick_examples(part, _EXAMPLES).items()
    }


def _about(context: RunContext) -> dict[str, str]:
    dataset = context.dataset
    counts = ", ".join(
        f"class {name}: {count}"
        for name, count in zip(dataset.classes.names, dataset.present.sum(0).tolist(), strict=True)
    )
    clean = int((~dataset.present.any(1)).sum())
    return {
        "Recipe": context.recipe.name,
        "Data": f"{dataset.root.name}: {len(dataset)} strips, {clean} clean; {counts}",
        "Data fingerprint": dataset.fingerprint,
        "Groups": f"{len(set(context.groups.tolist()))}; strips of one group share a fold",
        "Seed": str(context.options.seed),
        "Device": f"{context.accelerator.device}, {torch.get_num_threads()} threads",
        "Machine": f"{platform.machine()}, {platform.system()}",
        "Versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
        "Program": f"steelscan {__version__}",
    }
