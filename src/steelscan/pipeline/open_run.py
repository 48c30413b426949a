"""Fitted networks and rules as one function from a strip to its masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch

from steelscan.decision import (
    AskOpen,
    Prediction,
    RuleInput,
    StepOutput,
    answer_pictures,
    claimed,
    consult,
    find_distinct,
)
from steelscan.decision.decide import decide
from steelscan.pipeline.context import Device, accelerator
from steelscan.pipeline.fit_tasks import tasks
from steelscan.pipeline.networks import ask, load_models
from steelscan.pipeline.predicted_strips import predicted_frames
from steelscan.pipeline.run_folder import RunFolder
from steelscan.pipeline.run_record import RunRecord
from steelscan.pipeline.tuned_thresholds import read_tuned, with_gate
from steelscan.postprocess import Rule
from steelscan.prediction import TorchModel
from steelscan.recipes import Recipe
from steelscan.strip import Frame, Masks, Picture


@dataclass(frozen=True)
class Predictor:
    """Strips of any size go in, masks come out; ``rules`` are the last of the recipe."""

    recipe: Recipe
    record: RunRecord
    rules: Sequence[Rule]
    models: Mapping[str, Sequence[TorchModel]]
    """The networks of each step, by its name."""

    @classmethod
    def load(cls, run: RunFolder, device: torch.device, thresholds: Path | None = None) -> Self:
        """Load a run whose training has ended, maybe with thresholds that were tuned later.

        Raises RunError for a run that is not finished, and for thresholds of another one.
        """
        recipe, tuned = run.load_recipe(), run.load_tuned()
        rules = tuned.rules
        if thresholds is not None:
            later = read_tuned(thresholds, run)
            rules = later.rules
            recipe = recipe if later.gate is None else with_gate(recipe, later.gate)
        return cls.of_round(run, recipe, rules, tuned.round, recipe.folds.validation, device)

    @classmethod
    def of_round(
        cls,
        run: RunFolder,
        recipe: Recipe,
        rules: Sequence[Rule],
        round_: int,
        folds: Sequence[int],
        device: torch.device,
    ) -> Self:
        """Load the networks of some folds as they were in a round. Raises RunError."""
        record = run.load_record()
        fitted = tasks(recipe, folds, round_)
        models = {
            name: load_models(
                run, [task for task in fitted if task.step == name], len(record.classes), device
            )
            for name in recipe.named
        }
        return cls(recipe, record, rules, models)

    def ask(self, picture: Picture) -> AskOpen:
        """Who gives what the networks of a step say of a strip."""

        def said(name: str, _: object) -> StepOutput:
            step, models = self.recipe.named[name], self.models[name]
            return ask(step, models, picture, len(self.record.classes))

        return said

    def opened(self, picture: Picture) -> RuleInput:
        """What the rules get to see; networks whose step has no class left are not asked."""
        asking, frame = self.ask(picture), Frame(*picture.shape)
        return consult(self.recipe, asking, len(self.record.classes), frame)

    def masks(self, picture: Picture) -> Masks:
        """The masks of a strip, bool ``(classes, height, width)``."""
        return decide(self.opened(picture), self.rules)


def predict(
    run: Path,
    pictures: str,
    out: Path,
    *,
    device: Device = "auto",
    on_error: Literal["stop", "skip"] = "stop",
    overlays: bool = True,
    thresholds: Path | None = None,
) -> Prediction:
    """Outline the defects of pictures: a folder, a file, a glob pattern or a zip.

    Writes ``submission.csv``, ``masks/*.png`` (pixel value = class id, 0 = sound steel; where
    classes overlap the highest id) and ``overlays/*.jpg``. The same call after an interruption
    goes on. ``thresholds`` is a file that `tune_run` wrote for this run; without one its own
    thresholds decide. Raises PictureError for a picture that cannot be read, or with
    ``on_error="skip"`` lists it in ``skipped.csv``; it then has no mask, and rows that say so.
    Raises RunError where another process works in ``out``, or where its table was changed since.
    """
    sources = find_distinct(pictures, out)
    run_folder = RunFolder(run)
    predictor = Predictor.load(run_folder, accelerator(device).device, thresholds)
    used = () if thresholds is None else (thresholds.read_text(encoding="utf-8"),)
    with claimed(out, run_folder.digest(run_folder.thresholds).encode(), *used):
        return answer_pictures(
            sources,
            predictor.masks,
            out,
            predictor.record.classes,
            predictor.record.layout,
            on_error=on_error,
            overlays=overlays,
            frames=predicted_frames(run_folder),
        )
