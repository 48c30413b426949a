"""3rd place: no classifier; nine segmenters whose classes exclude each other, without flips.

Run:        steelscan train third_place --data DIR --out RUN
Published:  0.91863 public, 0.90765 private mean Dice; best 0.91824, 0.90934 (K:117377)
Reproduced: not yet
Costs:      9 networks
Ours:       lines marked "ours", and:
            - Which network is fitted on which fold.
            - The heavy augmentations are those of the 14th place.
            - Pyramids are those of segmentation-models-pytorch.
            - The loss, the scale of the input and the label threshold on the highest pixel are
              those of the public starter pipeline, on which the authors built.
            - Another reading of the label threshold is a share of pixels instead of the highest.
            - Mish replaces ReLU, which EfficientNets have in the decoder only, not their SiLU.
            - Four pixel thresholds, as the authors write; some summaries have three.
"""

from typing import Literal

from steelscan import augment as aug
from steelscan.data import Folds, RandomCrop
from steelscan.losses import SoftmaxFocal
from steelscan.models import FPN, Unet
from steelscan.postprocess import Threshold
from steelscan.prediction import Ensemble, Member
from steelscan.recipes.pseudo_labels import ConfidentAndAgreed, PseudoLabels
from steelscan.recipes.spec import Recipe, Segment
from steelscan.training import Adam, Plateau, Training, WeightedSampler

flip = (aug.HFlip(p=1.0), aug.VFlip(p=1.0), aug.Rotate180(p=1.0))
local = (aug.Clahe(clip=2.0, p=0.5), aug.Sharpen(p=0.25))
tone = (aug.BrightnessContrast(brightness=0.0), aug.Gamma(), aug.BrightnessContrast(contrast=0.0))
elastic = aug.Elastic(alpha=120.0, sigma=6.0)
bend = (elastic, aug.GridDistortion(), aug.OpticalDistortion(limit=2.0))
noise = (aug.GaussNoise(p=0.35), aug.SaltPepper(amount=0.0002, p=0.7), aug.IsoNoise(p=0.7))
heavy = (  # ours
    aug.OneOf(of=flip, p=0.5),
    aug.OneOf(of=local, p=0.35),
    aug.OneOf(of=tone, p=0.3),
    aug.OneOf(of=bend, p=0.3),
    aug.ShiftScaleRotate(shift=0.0625, scale=0.1, degrees=12.0),
    aug.OneOf(of=noise, p=0.5),
    aug.Cutout(holes=3, p=0.25),
)


def segment(*, heavy_augment: bool = False, pseudo: bool = False) -> Training:
    """Return the training of a network, with heavy augmentation or with pseudo-labels."""
    return Training(
        crop=RandomCrop(
            height=256,
            width=800,
            defect=0.5,  # ours
        ),
        augment=heavy if heavy_augment else (aug.HFlip(), aug.VFlip()),
        sampler=WeightedSampler(),  # ours: the weights
        pseudo="all" if pseudo else 0.0,
        loss=SoftmaxFocal(gamma=2.0),  # ours
        optimizer=Adam(lr=5e-4),
        schedule=Plateau(factor=0.5, patience=3, cooldown=3, min_lr=1e-8),
        batch=8,  # ours
        epochs=60,  # ours
    )


def unet(encoder: str, attention: Literal["none", "scse"] = "none", *, mish: bool = False) -> Unet:
    """Return a U-Net whose classes exclude each other."""
    return Unet(
        encoder=encoder, channels=3, scale="unit", output="softmax", attention=attention, mish=mish
    )


b3, b4, se50 = "tf_efficientnet_b3", "tf_efficientnet_b4", "legacy_seresnext50_32x4d"
fpn_b4 = FPN(encoder=b4, channels=3, scale="unit", output="softmax")
fpn_b5 = FPN(encoder="tf_efficientnet_b5", channels=3, scale="unit", output="softmax", merge="cat")
members = (
    Member(network=fpn_b5, stages=(segment(),), folds=(0,)),
    Member(network=fpn_b4, stages=(segment(),), folds=(1,)),
    Member(network=unet(b4), stages=(segment(pseudo=True),), folds=(2,)),
    Member(network=unet(b4), stages=(segment(heavy_augment=True),), folds=(3,)),
    Member(network=unet(b4, "scse"), stages=(segment(),), folds=(4,)),
    Member(network=unet(b4, "scse"), stages=(segment(pseudo=True),), folds=(0,)),
    Member(network=unet(b4, mish=True), stages=(segment(),), folds=(1,)),
    Member(network=unet(b3), stages=(segment(),), folds=(2,)),
    Member(network=unet(se50), stages=(segment(),), folds=(3,)),
)
recipe = Recipe(
    name="third_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(),  # ours
    steps=(
        Segment(ensemble=Ensemble(members=members)),
        Threshold(label=(0.7, 0.7, 0.6, 0.6), pixel=0.4),
    ),
    pseudo_labels=PseudoLabels(
        rule=ConfidentAndAgreed(low=0.1, high=0.9),  # ours
        predicted_by="all",
    ),
)
