"""Runs that were never trained: all about their members is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from steelscan.analysis.ensemble import members as members_module
from steelscan.analysis.ensemble import thresholds as module
from steelscan.data import Folds, WholeStrip, open_dataset
from steelscan.data.duplicates import group_strips
from steelscan.decision import Detector
from steelscan.evaluation.metrics import Pairs, count_pixels
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE
from steelscan.models import FPN, StripNetwork
from steelscan.pipeline import Evaluated, RunFolder, RunRecord, Tuned, tasks
from steelscan.pipeline.pixel_counts import write_evaluated
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, LogitMean, Mean, Member, PowerMean, TorchModel
from steelscan.recipes import Recipe, Segment
from steelscan.training import AdamW, Training

STRIPS, FRAME = 24, (32, 64)

RULES = (Threshold(label=0.6, pixel=0.5), MinArea(pixels=3))
STAGE = Training(crop=WholeStrip(), loss=BCE(), optimizer=AdamW(lr=1e-3), batch=1, epochs=1)
MEMBER = Member(network=FPN(encoder="resnet18", weights="random"), stages=(STAGE,))


class Eye(nn.Module):
    """Sees defects, which are bright (class 1) or dark (class 2), through noise of its own."""

    def __init__(
        self, sharpness: float, noise: float, seed: int, classes: tuple[int, ...] = (1, 2)
    ) -> None:
        super().__init__()
        self.planes = [class_id - 1 for class_id in classes]
        self.sharpness = nn.Parameter(torch.tensor(sharpness))
        self.noise, self.seed = noise, seed

    def forward(self, strips: torch.Tensor) -> torch.Tensor:
        clear = torch.cat([strips - 0.75, 0.2 - strips], 1) * self.sharpness
        waves = torch.sin(strips * 999 * (self.seed + 1) + torch.arange(strips.shape[-1]) ** 2)
        if self.seed == BLIND[2]:
            clear[:, 1] -= 30
        return (clear + self.noise * waves)[:, self.planes]


ORACLE, NOISE = (40.0, 0.0, 0), (0.0, 4.0, 1)

DULL = (6.0, 2.0, 2)
BLIND = (40.0, 0.0, 99)
"""Never sees what is dark."""


def voter(eye: tuple[float, float, int], classes: tuple[int, ...] | None = None) -> TorchModel:
    network = StripNetwork(
        Eye(*eye, classes or (1, 2)),
        encoder="",
        mean=0.0,
        std=1.0,
        stride=32,
        head="masks",
        output="sigmoid",
    )
    return TorchModel(network.eval(), None, classes)


class World:
    """A run that was never trained: its members are eyes of which all is known."""

    def __init__(self, folder: Path, data: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.data, self.patch = folder, data, patch
        self.dataset = open_dataset(data)
        patch.setattr(module, "_PARTS", 2)  # a search takes longer than all else here

    def run(
        self,
        eyes: list[tuple[float, float, int]],
        *,
        members: tuple[Member, ...] | None = None,
        average: Mean | LogitMean | PowerMean | None = None,
        rules: tuple = RULES,
        tune: Tune | None = None,
        name: str = "run",
    ) -> Path:
        ensemble = Ensemble(
            members=members or (MEMBER,) * len(eyes),
            views=("identity", "hflip"),
            average=average or Mean(),
        )
        recipe = Recipe(
            name=name,
            folds=Folds(count=2, validation=(0, 1)),
            steps=(Segment(ensemble=ensemble), *rules),
            tune=tune,
        )
        dataset, run = self.dataset, RunFolder(self.folder / name)
        run.path.mkdir()
        record = RunRecord(
            fingerprint=dataset.fingerprint,
            classes=dataset.classes,
            layout="joined",
            seed=0,
            groups=dataset.group_fingerprint,
        )
        run.begin(recipe, record)
        run.write_tuned(Tuned(rules=rules))
        run.data.write_text(f"{self.data}\n")
        self.patch.setattr(members_module, "open_folds", self._open_folds(eyes))
        groups = group_strips(dataset)
        folds = np.arange(STRIPS) // 2 % 2
        pairs = Pairs.of([self._counts(recipe, row, int(folds[row])) for row in range(STRIPS)])
        write_evaluated(run, {"out of fold": Evaluated(dataset.names, groups, folds, pairs)})
        return run.path

    def _open_folds(self, eyes):
        def open_folds(_run, recipe, _rules, round_, folds, _device):
            fitted = tasks(recipe, folds, round_)
            models = [voter(eyes[task.number], task.member.classes) for task in fitted]
            return Detector(recipe.decision, {"segment": models}, 2)

        return open_folds

    def _counts(self, recipe, row, fold):
        detector = members_module.open_folds(None, recipe, None, 0, (fold,), None)
        masks = detector.masks(self.dataset.picture(row))
        return count_pixels(masks, self.dataset.masks(row))

    def mean_dice(self, eyes) -> float:
        """Of the mean of these eyes' probabilities, in float64, from the pictures alone."""
        total = []
        for row in range(STRIPS):
            grey = torch.from_numpy(self.dataset.picture(row) / np.float32(255))[None, None]
            views = []
            for eye in eyes:
                for mirror in (False, True):
                    seen = grey.flip(-1) if mirror else grey
                    answer = torch.sigmoid(Eye(*eye)(seen)).detach()
                    views.append((answer.flip(-1) if mirror else answer)[0].numpy())
            mean = np.mean(views, axis=0, dtype=np.float64)
            for plane, true in zip(mean, self.dataset.masks(row), strict=True):
                mask = plane > 0.5
                if plane.max() <= 0.6 or mask.sum() < 3:
                    mask[:] = False
                both = mask.sum() + true.sum()
                total.append(1.0 if both == 0 else 2 * (mask & true).sum() / both)
        return float(np.mean(total))
