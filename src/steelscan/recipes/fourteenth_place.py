"""14th place: an asymmetric U-Net whose masks learn from defects and whose second head judges.

Run:        steelscan train fourteenth_place --data DIR --out RUN
Published:  0.90310 private mean Dice for a single network, 0.90625 with plain thresholds (K:114367)
Reproduced: not yet
Costs:      3 networks
Ours:       which folds; the elastic bend leaves its affine part out; epochs as its text counts
            them; pseudo-labels are of all three networks, not of three like the first. Crops are
            cut before they are augmented, as its code does and its text does not; masks of classes
            1, 2 and 4 learn by the truth of a crop, not by what the second head says of it, as some
            summaries have it
"""

from steelscan.augment import (
    BrightnessContrast,
    Clahe,
    Cutout,
    Elastic,
    Gamma,
    GaussNoise,
    GridDistortion,
    HFlip,
    IsoNoise,
    OneOf,
    OpticalDistortion,
    Rotate180,
    SaltPepper,
    Sharpen,
    ShiftScaleRotate,
    VFlip,
)
from steelscan.data import Folds, SteelCrop
from steelscan.decision import HardGate
from steelscan.losses import BCE, BothHeads, Lovasz, WherePresent
from steelscan.models import AsymmetricUnet, TwoHeaded
from steelscan.postprocess import FillEdges, MinArea, Threshold
from steelscan.prediction import Ensemble, Member
from steelscan.recipes.pseudo_labels import ConfidentClasses, PseudoLabels
from steelscan.recipes.spec import Recipe, Segment
from steelscan.training import Adam, CycledDraws, FlatCosine, Training

flip = OneOf(of=(HFlip(p=1.0), VFlip(p=1.0), Rotate180(p=1.0)), p=0.5)
local = OneOf(of=(Clahe(clip=2.0, p=0.5), Sharpen(p=0.25)), p=0.35)
tone = OneOf(
    of=(BrightnessContrast(brightness=0.0), Gamma(), BrightnessContrast(contrast=0.0)), p=0.3
)
bend = OneOf(
    of=(Elastic(alpha=120.0, sigma=6.0), GridDistortion(), OpticalDistortion(limit=2.0)), p=0.3
)
place = ShiftScaleRotate(shift=0.0625, scale=0.1, degrees=12.0)
noise = OneOf(of=(GaussNoise(p=0.35), SaltPepper(amount=0.0002, p=0.7), IsoNoise(p=0.7)), p=0.5)
medium = (flip, local, tone, bend, place, noise, Cutout(holes=3, p=0.25))

training = Training(
    crop=SteelCrop(height=256, width=512, dark=10, black=0.85, mean=15.0),
    augment=medium,
    draws=CycledDraws(epoch="text"),
    pseudo=0.0,
    loss=BothHeads(
        masks=WherePresent(
            loss=Lovasz(symmetric=True, rectifier="elu"), always=(False, False, True, False)
        ),
        classes=BCE(),
        weight=10.0,
    ),
    optimizer=Adam(lr=1e-4),
    schedule=FlatCosine(warmup=0.005, flat=0.495),
    batch=6,
    epochs=100,
)
first = AsymmetricUnet(encoder="legacy_seresnext50_32x4d", channels=3)
second = first.but(encoder="seresnext50_32x4d", stem="deep", mish=True)


def member(segmenter: AsymmetricUnet, training: Training, *folds: int) -> Member:
    """A two-headed network, fitted for some folds."""
    network = TwoHeaded(segmenter=segmenter, dropout=0.5)
    return Member(network=network, stages=(training,), folds=folds)


members = (member(first, training, 0, 1), member(second, training.but(pseudo=0.26), 2))
recipe = Recipe(
    name="fourteenth_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(count=5, validation=(0, 1, 2)),
    steps=(
        Segment(
            ensemble=Ensemble(members=members, views=("identity", "hflip", "vflip")),
            gate=HardGate(threshold=(0.55, 0.99, 0.25, 0.5)),
        ),
        Threshold(label=0.0, pixel=0.5),
        MinArea(pixels=(0, 0, 1200, 0)),
        FillEdges(),
    ),
    pseudo_labels=PseudoLabels(
        rule=ConfidentClasses(least=(0.85, 0.0, 0.75, 0.0)), answered_by="all"
    ),
)
