"""9th place: a classifier with low thresholds passes each class to a binary network of its own.

Run:        steelscan train ninth_place --data DIR --out RUN
Published:  no score stated (K:114297)
Reproduced: not yet
Costs:      21 networks
Ours:       lines marked "ours", and:
            - The plateau of the rate follows the score, not the loss.
            - The classifier is one network fitted on folds, as the author writes; some summaries
              have four binary ones.
            - It is fitted on the five folds of the binary networks, not on four, so that each
              strip has a probability from a classifier that was not fitted on it.
"""

from steelscan.augment import BrightnessContrast, HFlip, VFlip
from steelscan.data import Folds, RandomCrop, WholeStrip
from steelscan.losses import BCE, Lovasz
from steelscan.models import FPN, Classifier
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, Member
from steelscan.recipes.spec import Classify, Recipe, Segment
from steelscan.training import Adam, CropPass, Plateau, SuspectStrips, Training

augment = (HFlip(), VFlip(), BrightnessContrast())  # ours
classify = Training(
    crop=WholeStrip(),  # ours
    augment=augment,
    loss=BCE(),
    optimizer=Adam(lr=1e-4),  # ours
    schedule=Plateau(),  # ours
    batch=16,  # ours
    epochs=30,  # ours
)
segment = Training(
    crop=RandomCrop(height=256, width=256),
    batch=12,
    extra_passes=(
        CropPass(crop=RandomCrop(height=256, width=416), batch=12),
        CropPass(crop=RandomCrop(height=256, width=608), batch=8),
    ),
    augment=augment,
    strips=SuspectStrips(above=0.01),
    loss=BCE(),
    optimizer=Adam(lr=1e-3),
    schedule=Plateau(factor=0.5, patience=3, eps=1e-9),
    epochs=20,  # ours
)
finetune = segment.but(loss=Lovasz(), optimizer=Adam(lr=1e-4))


def binary(class_id: int, *folds: int) -> Member:
    """Return the binary network of one class."""
    return Member(
        network=FPN(encoder="tf_efficientnet_b2", channels=3),
        stages=(segment, finetune),
        classes=(class_id,),
        folds=folds,
    )


five = (0, 1, 2, 3, 4)
classifier = Member(network=Classifier(encoder="resnet34", channels=3), stages=(classify,))
segmenters = (binary(1, *five), binary(2, 0), binary(3, *five), binary(4, *five))
recipe = Recipe(
    name="ninth_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(),
    steps=(
        Classify(
            ensemble=Ensemble(members=(classifier,)),
            threshold=(0.3, 0.3, 0.25, 0.1),
            gate="class",
        ),
        Segment(ensemble=Ensemble(members=segmenters)),
        Threshold(label=0.0, pixel=(0.55, 0.7, 0.53, 0.5)),
        MinArea(pixels=1000),
    ),
)
