"""A small mill of strips, a recipe that fits it in seconds, and a finished run of both."""

from pathlib import Path

import pytest

from steelscan.data import (
    BalancedDraws,
    Folds,
    HFlip,
    Mill,
    PseudoLabels,
    RandomCrop,
    Shrink,
    SureStrips,
    SuspectStrips,
    WholeStrip,
    write_mill,
)
from steelscan.evaluation import Tune
from steelscan.losses import BCE, Dice, Mix
from steelscan.models import Classifier, Fpn
from steelscan.pipeline import Classify, Options, Outcome, Recipe, Segment, train
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, Member
from steelscan.training import AdamW, Cosine, Last, Training


@pytest.fixture(scope="session")
def strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mill") / "strips"
    mill = Mill(strips=28, seed=3, height=64, width=160, roll=(1, 3), faint_share=0.0)
    write_mill(mill, folder, test_strips=3)
    return folder


@pytest.fixture(scope="session")
def tiny() -> Recipe:
    clear = Training(
        crop=WholeStrip(),
        draws=BalancedDraws(draws=12),
        loss=BCE(),
        optimizer=AdamW(lr=1e-3),
        batch=4,
        epochs=2,
    )
    outline = Training(
        crop=RandomCrop(height=64, width=64, defect=0.8),
        augment=(HFlip(),),
        draws=BalancedDraws(draws=12, clean=0.2),
        loss=Mix(parts=((1.0, BCE()), (1.0, Dice()))),
        optimizer=AdamW(lr=1e-3),
        schedule=Cosine(warmup=0.1),
        batch=4,
        epochs=2,
        keep=Last(),
    )
    classifier = Classifier(encoder="test_resnet", weights="random", dropout=0.1)
    segmenter = Fpn(
        encoder="test_resnet",
        weights="random",
        pyramid_channels=32,
        segmentation_channels=32,
    )
    return Recipe(
        name="tiny",
        folds=Folds(count=4, validation=(0, 1), holdout=(3,)),
        steps=(
            Classify(
                ensemble=Ensemble(
                    members=(
                        Member(network=classifier, stages=(clear,), resize=Shrink(pixels=64 * 80)),
                    )
                ),
                threshold=0.2,
            ),
            Segment(
                ensemble=Ensemble(
                    members=(Member(network=segmenter, stages=(outline,)),),
                    views=("identity", "hflip"),
                )
            ),
            Threshold(),
            MinArea(pixels=4),
        ),
        tune=Tune(positives=3),
    )


@pytest.fixture(scope="session")
def rounds(tiny: Recipe) -> Recipe:
    """Two rounds of pseudo-labels for the segmenter, which learns from what the judge suspects."""
    assert tiny.classify is not None
    (judge,), (outliner,) = tiny.classify.ensemble.members, tiny.segment.ensemble.members
    judge = judge.but(stages=tuple(stage.but(pseudo=0.0) for stage in judge.stages))
    stages = (stage.but(pseudo=0.4, strips=SuspectStrips(above=0.3)) for stage in outliner.stages)
    outliner = outliner.but(stages=tuple(stages))
    return tiny.but(
        name="rounds",
        steps=(
            tiny.classify.but(ensemble=Ensemble(members=(judge,))),
            tiny.segment.but(ensemble=Ensemble(members=(outliner,))),
            *tiny.rules,
        ),
        pseudo_labels=PseudoLabels(rounds=2, rule=SureStrips(apart=0.0)),
    )


@pytest.fixture(scope="session")
def finished(
    strips: Path, tiny: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    run = tmp_path_factory.mktemp("finished") / "run"
    return run, train(tiny, strips, run, Options(device="cpu"))
