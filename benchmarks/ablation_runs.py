"""The run folder of an ablation, with all networks that are the same as in the run with the idea.

The folder begins with the recipe without the idea, and with copies of networks, pseudo-labels and
probabilities. `steelscan train` then fits, predicts and tunes what is left.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from ablation_list import Ablation
from steelscan.data import Dataset
from steelscan.data.folds import read_given_folds
from steelscan.pipeline import RunFolder, tasks
from steelscan.pipeline.fit_tasks import Task
from steelscan.prediction import EncoderOf
from steelscan.recipes import Recipe
from steelscan.strip.files import temporary_folder, write_text
from steelscan.strip.tables import write_rows


class Copy(NamedTuple):
    """A network of a run, and the same one of the run without the idea."""

    of_run: Task
    of_variant: Task


class Prepared(NamedTuple):
    """What `steelscan train` continues: a run folder, its recipe and its folds as files."""

    run: RunFolder
    recipe: Path
    folds: Path


def prepare(ablation: Ablation, base: RunFolder, dataset: Dataset, folder: Path) -> Prepared:
    """Begin the run of an ablation, or go on with it: write and copy what is not there yet.

    ``base`` is the finished run with the idea, on ``dataset``. Raises RunError if the folder holds
    a run of other settings, and if a run is damaged.
    """
    recipe, variant, run = base.load_recipe(), variant_of(ablation, base), RunFolder(folder)
    recipe_file, folds_file = Path(f"{folder}.recipe.json"), Path(f"{folder}.folds.csv")
    write_text(recipe_file, variant.model_dump_json(indent=2) + "\n")
    numbers = base.load_folds(dataset.names, parted=True).tolist()
    write_rows(folds_file, ("image", "fold"), zip(dataset.names, numbers, strict=True))
    given = read_given_folds(folds_file, dataset)
    run.begin(variant, base.load_record().but(folds=given.digest))
    copies = same_networks(ablation, recipe, variant)
    for each in copies:
        copy_folder(base.network(each.of_run), run.network(each.of_variant))
        copy_folder(base.encoder(each.of_run), run.encoder(each.of_variant))
    if ablation.kind == "decision":
        copy_folder(base.path / "rounds", run.path / "rounds")
        write_text(run.tests, base.tests.read_text(encoding="utf-8"))
    for step, round_ in _same_outputs(ablation, recipe, variant, copies):
        for kind in ("", "-classes"):
            source = base.probabilities(ablation.steps.get(step, step) + kind, round_)
            copy_folder(source, run.probabilities(step + kind, round_))
    return Prepared(run, recipe_file, folds_file)


def variant_of(ablation: Ablation, base: RunFolder) -> Recipe:
    """Return the recipe of a finished run without an idea."""
    recipe = base.load_recipe()
    return ablation.variant(recipe, strongest(base, recipe) if ablation.change is None else "")


def same_networks(ablation: Ablation, recipe: Recipe, variant: Recipe) -> list[Copy]:
    """Return the networks of a run that the run without the idea need not fit."""
    if ablation.kind == "training":
        return [Copy(task, task) for task in unchanged(recipe, variant)]
    return kept(recipe, variant, ablation.steps)


def unchanged(recipe: Recipe, variant: Recipe) -> list[Task]:
    """Return the networks that two recipes fit in the same way on the same data, to the last bit.

    A fit depends on its member, on the position of it, which gives its seed, and on the folds; on
    the networks of earlier steps and on the decision, which select its training and validation
    strips; on the network that it starts from; and in a round of pseudo-labels on all networks of
    the round before.
    """
    if (recipe.folds, recipe.decision) != (variant.folds, variant.decision):
        return []
    fitted = all_tasks(recipe)
    same_rounds = (recipe.pseudo_labels, recipe.tune) == (variant.pseudo_labels, variant.tune)
    same: list[Task] = []
    for task in all_tasks(variant):  # each after those that it depends on
        alike = task in fitted and (same_rounds or task.round == 0)
        if alike and all(each in same for each in _needed(variant, task)):
            same.append(task)
    return same


def kept(recipe: Recipe, variant: Recipe, steps: Mapping[str, str]) -> list[Copy]:
    """Return all networks of a recipe that only decides differently, with where they come from.

    ``steps`` are steps whose name changed: name in ``variant`` -> name in ``recipe``.
    """
    fitted = {
        (task.step, task.member.name, task.fold, task.round): task for task in all_tasks(recipe)
    }
    copies = [
        Copy(fitted[steps.get(task.step, task.step), task.member.name, task.fold, task.round], task)
        for task in all_tasks(variant)
    ]
    for each in copies:
        if each.of_run.member != each.of_variant.member:
            raise ValueError(f"{each.of_variant.label} is another network than in {recipe.name}")
    return copies


def copied_and_all(ablation: Ablation, base: RunFolder, run: RunFolder) -> tuple[int, int]:
    """Return how many fitted networks of a run without an idea are copies, and how many it has."""
    variant = run.load_recipe()
    copies = same_networks(ablation, base.load_recipe(), variant)
    copied = sum(_is_fitted(base.network(each.of_run)) for each in copies)
    return copied, sum(_is_fitted(run.network(task)) for task in all_tasks(variant))


def all_tasks(recipe: Recipe) -> list[Task]:
    """Return the networks of all rounds of pseudo-labels, once each, in the order of fitting."""
    rounds = recipe.pseudo_labels.rounds if recipe.pseudo_labels else 0
    fitted = (
        task
        for number in range(rounds + 1)
        for task in tasks(recipe, recipe.folds.validation, number)
        if task.round == number
    )
    return list(fitted)


def strongest(run: RunFolder, recipe: Recipe) -> str:
    """Return the member of the last segmenter with the best validation score.

    That is the highest score in the last stage of its fit, on the strips of its validation fold;
    for several folds their mean, and only members that are fitted for all of them count.
    """
    step, last = recipe.decision.last.segmenter.name, run.load_tuned().round
    scores: dict[str, list[float]] = {}
    for task in tasks(recipe, recipe.folds.validation, last):
        if task.step == step:
            scores.setdefault(task.member.name, []).append(_score(run.network(task), task))
    folds = len(recipe.folds.validation)
    whole = {name: sum(each) / folds for name, each in scores.items() if len(each) == folds}
    if not whole:
        raise ValueError(f"no network of {recipe.name} alone is fitted for all validation folds")
    return max(whole, key=lambda name: whole[name])


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder whole or not at all, if there is one and the copy is not there yet."""
    if target.exists() or not source.exists():
        return
    with temporary_folder(target) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)
        temporary.rename(target)


def _needed(recipe: Recipe, task: Task) -> Iterator[Task]:
    """Yield the networks on whose outputs or weights the fit of another one depends."""
    names = list(recipe.named)
    before = names[: names.index(task.step)]
    folds = recipe.folds.validation
    for each in tasks(recipe, folds, task.round):
        start = task.member.start
        starts = isinstance(start, EncoderOf) and (start.step, start.member) == (
            each.step,
            each.member.name,
        )
        if each.step in before or starts:
            yield each
    if task.round:
        yield from tasks(recipe, folds, task.round - 1)


def _same_outputs(
    ablation: Ablation, recipe: Recipe, variant: Recipe, copies: Iterable[Copy]
) -> Iterator[tuple[str, int]]:
    """Yield each step and round whose networks, views and averages are those of the run."""
    copied = [each.of_variant for each in copies]
    rounds = variant.pseudo_labels.rounds if variant.pseudo_labels else 0
    for name, step in variant.named.items():
        if step.ensemble != recipe.named[ablation.steps.get(name, name)].ensemble:
            continue
        for number in range(rounds + 1):
            predicting = tasks(variant, variant.folds.validation, number)
            if all(task in copied for task in predicting if task.step == name):
                yield name, number


def _is_fitted(folder: Path) -> bool:
    return (folder / "checkpoint.safetensors").exists()


def _score(folder: Path, task: Task) -> float:
    """Return the best number by which the last stage of a fit ranked its checkpoints."""
    table = pl.read_csv(folder / "metrics.csv")
    last = table.filter(pl.col("stage") == len(task.member.stages) - 1)
    columns = ["gated_mean_dice" if "gated_mean_dice" in table.columns else "mean_dice"]
    monitor = task.member.stages[-1].monitor
    return float(last[columns[0] if monitor == "score" else monitor].max())  # type: ignore[arg-type]
