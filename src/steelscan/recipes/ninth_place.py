"""9th place: a lenient classifier opens each class by itself; a binary network outlines it.

Run:        steelscan train ninth_place --data DIR --out RUN
Published:  no score stated (K:114297)
Reproduced: not yet
Costs:      21 networks
Ours:       crop, rates, batch and epochs of the classifier; epochs of the two losses, and that
            rates are cut by the score, not by the loss; flips and brightness. The classifier is one
            network fitted on four folds, not four binary ones as some summaries have it; here it is
            fitted on the five folds of the binary networks, so that every strip is judged by one
            that has not seen it
"""

from steelscan.augment import BrightnessContrast, HFlip, VFlip
from steelscan.data import Folds, RandomCrop, WholeStrip
from steelscan.losses import BCE, Lovasz
from steelscan.models import FPN, Classifier
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, Member
from steelscan.recipes.spec import Classify, Recipe, Segment
from steelscan.training import Adam, Pass, Plateau, SuspectStrips, Training

augment = (HFlip(), VFlip(), BrightnessContrast())
clear = Training(
    crop=WholeStrip(),
    augment=augment,
    loss=BCE(),
    optimizer=Adam(lr=1e-4),
    schedule=Plateau(),
    batch=16,
    epochs=30,
)
outline = Training(
    crop=RandomCrop(height=256, width=256),
    more_passes=(
        Pass(crop=RandomCrop(height=256, width=416), batch=12),
        Pass(crop=RandomCrop(height=256, width=608), batch=8),
    ),
    augment=augment,
    strips=SuspectStrips(above=0.01),
    loss=BCE(),
    optimizer=Adam(lr=1e-3),
    schedule=Plateau(factor=0.5, patience=3, eps=1e-9),
    batch=12,
    epochs=20,
)
sharpen = outline.but(loss=Lovasz(), optimizer=Adam(lr=1e-4))


def outliner(class_id: int, *folds: int) -> Member:
    """The binary network of one class."""
    return Member(
        network=FPN(encoder="tf_efficientnet_b2"),
        stages=(outline, sharpen),
        classes=(class_id,),
        folds=folds,
    )


five = (0, 1, 2, 3, 4)
recipe = Recipe(
    name="ninth_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(),
    steps=(
        Classify(
            ensemble=Ensemble(
                members=(Member(network=Classifier(encoder="resnet34"), stages=(clear,)),)
            ),
            threshold=(0.3, 0.3, 0.25, 0.1),
            gate="class",
        ),
        Segment(
            ensemble=Ensemble(
                members=(outliner(1, *five), outliner(2, 0), outliner(3, *five), outliner(4, *five))
            )
        ),
        Threshold(label=0.0, pixel=(0.55, 0.7, 0.53, 0.5)),
        MinArea(pixels=1000),
    ),
)
