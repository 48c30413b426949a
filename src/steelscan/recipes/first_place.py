"""1st place: clear the clean strips, outline the rest with nine networks, drop specks.

Run:        steelscan train first_place --data DIR --out RUN
Published:  0.92124 public, 0.90883 private mean Dice (K:114254)
Reproduced: not yet
Costs:      13 networks
Ours:       folds and which network is fitted on which; rates, momentum, decay, schedules, epochs
            save those of the three public U-Nets (their kernel's; one run of one-cycle; 28 crops
            for the third, too); how strong brightness and contrast change; chances and margin of
            blackout; a tenth of the rate for the second loss; one output a class to judge by; means
            of probabilities; a strip goes on when any class passes, with all classes
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
flips = (HFlip(), VFlip())
bce = BCE(pos_weight=(2.0, 2.0, 1.0, 1.5))

clear = Training(
    crop=RandomCrop(height=224, width=1568),
    augment=(*flips, BrightnessContrast(), DefectBlackout()),
    loss=BCE(),
    optimizer=SGD(lr=1e-2, weight_decay=1e-4),
    schedule=Cosine(),
    batch=8,
    accumulate_to=32,
    epochs=40,
)
outline = Training(
    crop=RandomCrop(height=256, width=512),
    augment=(*flips, BrightnessContrast()),
    loss=bce,
    optimizer=RAdam(lr=1e-3),
    schedule=Cosine(),
    batch=12,
    accumulate_to=24,
    epochs=60,
)
finetune = outline.but(
    loss=Mix(parts=((0.75, bce), (0.25, Dice()))), optimizer=RAdam(lr=1e-4), epochs=30
)
public = Training(
    crop=RandomCrop(height=256, width=256, defect=1.0),
    augment=(HFlip(),),
    pseudo=0.0,
    loss=Mix(parts=((1.0, BCE()), (1.0, Dice()))),
    optimizer=Adam(lr=1e-3, encoder_lr=1e-5, weight_decay=1e-4),
    schedule=OneCycle(warmup=0.35, start=0.04),
    batch=28,
    epochs=200,
)
b1, b3 = "tf_efficientnet_b1", "tf_efficientnet_b3"
clearers = (
    Member(network=Classifier(encoder=b1), stages=(clear,), folds=(0, 1, 2)),
    Member(network=Classifier(encoder="resnet34"), stages=(clear.but(batch=16),), folds=(3,)),
)
outliners = (
    Member(network=Unet(encoder=b3), stages=(outline,), folds=(3,)),
    Member(network=FPN(encoder=b3), stages=(outline, finetune), folds=(0, 1, 2)),
    Member(network=FPN(encoder=b3), stages=(outline.but(batch=24),), folds=(3, 0)),
    Member(network=Unet(encoder="resnet34"), stages=(public,), folds=(0,)),
    Member(
        network=Unet(encoder="legacy_seresnext50_32x4d"), stages=(public.but(batch=20),), folds=(1,)
    ),
    Member(network=Unet(encoder="mobilenetv2_100"), stages=(public,), folds=(2,)),
)
recipe = Recipe(
    name="first_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(count=5, validation=(0, 1, 2, 3)),
    steps=(
        Classify(ensemble=Ensemble(members=clearers, views=views), threshold=0.6),
        Segment(ensemble=Ensemble(members=outliners, views=views)),
        Threshold(label=(0.7, 0.7, 0.6, 0.6), pixel=0.55),
        MinArea(pixels=(600, 600, 900, 2000)),
        RemoveSmallComponents(pixels=150),
    ),
    pseudo_labels=PseudoLabels(
        rounds=2, rule=ConfidentAndAgreed(low=0.05, high=0.95), answered_by="all"
    ),
)
