"""1st place: classify strips, segment the defective ones with nine networks, drop small areas.

Run:        steelscan train first_place --data DIR --out RUN
Published:  0.92124 public, 0.90883 private mean Dice (K:114254)
Reproduced: not yet
Costs:      13 networks
Ours:       lines marked "ours", and:
            - Folds of networks; batch of the last U-Net; limits and shares of augmentations.
            - Classifiers have one output per class; if any passes, a strip continues with all.
            - Probabilities are averaged, not logits; the label threshold is on the highest pixel.
"""

from steelscan.augment import BrightnessContrast, DefectBlackout, HFlip, VFlip
from steelscan.data import Folds, RandomCrop
from steelscan.losses import BCE, Dice, Mix
from steelscan.models import FPN, Classifier, Unet
from steelscan.postprocess import MinArea, RemoveSmallComponents, Threshold
from steelscan.prediction import Ensemble, Member, View
from steelscan.recipes.pseudo_labels import ConfidentAndAgreed, PseudoLabels
from steelscan.recipes.spec import Classify, Recipe, Segment
from steelscan.training import SGD, Adam, Cosine, OneCycle, RAdam, Training

views: tuple[View, ...] = ("identity", "hflip", "vflip")
confident = ConfidentAndAgreed(low=0.05, high=0.95)
bce = BCE(pos_weight=(2.0, 2.0, 1.0, 1.5))


def classifier(encoder: str, batch: int, *folds: int) -> Member:
    """Return a classifier that is fitted for some folds."""
    classify = Training(
        crop=RandomCrop(height=224, width=1568),
        augment=(HFlip(), VFlip(), BrightnessContrast(), DefectBlackout()),
        loss=BCE(),
        optimizer=SGD(lr=1e-2, weight_decay=1e-4),  # ours
        schedule=Cosine(),  # ours
        batch=batch,
        accumulate_to=32,
        epochs=40,  # ours
    )
    return Member(network=Classifier(encoder=encoder, channels=3), stages=(classify,), folds=folds)


def segment(batch: int) -> Training:
    """Return the training of a segmenter, or its first stage."""
    return Training(
        crop=RandomCrop(height=256, width=512),
        augment=(HFlip(), VFlip(), BrightnessContrast()),
        loss=bce,
        optimizer=RAdam(lr=1e-3),  # ours
        schedule=Cosine(),  # ours
        batch=batch,
        accumulate_to=24,
        epochs=60,  # ours
    )


def public_unet(encoder: str, batch: int, fold: int) -> Member:
    """Return a U-Net of the public kernel."""
    segment = Training(
        crop=RandomCrop(height=256, width=256, defect=1.0),
        augment=(HFlip(),),
        pseudo=0.0,
        loss=Mix(parts=((1.0, BCE()), (1.0, Dice()))),
        optimizer=Adam(lr=1e-3, encoder_lr=1e-5, weight_decay=1e-4),
        schedule=OneCycle(warmup=0.35, start=0.04),  # ours: a single cycle
        batch=batch,
        epochs=200,
    )
    return Member(network=Unet(encoder=encoder, channels=3), stages=(segment,), folds=(fold,))


tuned = segment(12).but(
    loss=Mix(parts=((0.75, bce), (0.25, Dice()))),
    optimizer=RAdam(lr=1e-4),  # ours
    epochs=30,  # ours
)
classifiers = (classifier("tf_efficientnet_b1", 8, 0, 1, 2), classifier("resnet34", 16, 3))
b3 = "tf_efficientnet_b3"
segmenters = (
    Member(network=Unet(encoder=b3, channels=3), stages=(segment(12),), folds=(3,)),
    Member(network=FPN(encoder=b3, channels=3), stages=(segment(12), tuned), folds=(0, 1, 2)),
    Member(network=FPN(encoder=b3, channels=3), stages=(segment(24),), folds=(3, 0)),
    public_unet("resnet34", 28, 0),
    public_unet("legacy_seresnext50_32x4d", 20, 1),
    public_unet("mobilenetv2_100", 28, 2),
)
recipe = Recipe(
    name="first_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(count=5, validation=(0, 1, 2, 3)),
    steps=(
        Classify(ensemble=Ensemble(members=classifiers, views=views), threshold=0.6),
        Segment(ensemble=Ensemble(members=segmenters, views=views)),
        Threshold(label=(0.7, 0.7, 0.6, 0.6), pixel=0.55),
        MinArea(pixels=(600, 600, 900, 2000)),
        RemoveSmallComponents(pixels=150),
    ),
    pseudo_labels=PseudoLabels(rounds=2, rule=confident, predicted_by="all"),
)
