"""10th place: a binary pyramid for each class, none for the second, whole strips.

Run:        steelscan train tenth_place --data DIR --out RUN
Published:  0.919 public mean Dice, private not stated (K:114465)
Reproduced: not yet
Costs:      19 networks
Ours:       which encoder, pyramid and augmentation each class has; optimizer, schedule, epochs; the
            thresholds and areas, which the author took from validation and did not publish; radii
            and share of the pseudo-label rule; how the shift of steel treats black ends; strips
            that judge are not varied, as his were. The classifier, for class 1 alone, is that of
            the public starter pipeline, with the usual head
"""

from steelscan.augment import (
    Blur,
    BrightnessContrast,
    Cutout,
    Gamma,
    GaussNoise,
    HFlip,
    IsoNoise,
    MotionBlur,
    Sharpen,
    SteelShift,
    UpTo,
    VFlip,
)
from steelscan.data import Folds, RandomCrop, WholeStrip
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE, Lovasz, Mix
from steelscan.models import FPN, Classifier
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, Member, PowerMean, View
from steelscan.recipes.pseudo_labels import ConfidentPixels, PseudoLabels
from steelscan.recipes.spec import Classify, Recipe, Segment
from steelscan.training import SGD, Cosine, RAdam, Training

brightness = BrightnessContrast(contrast=0.0, p=1.0)
contrast = BrightnessContrast(brightness=0.0, p=1.0)
noises = (IsoNoise(p=1.0), GaussNoise(p=1.0), Cutout(p=1.0))
blurs = (Sharpen(p=1.0), Blur(p=1.0), MotionBlur(p=1.0))
flips = (HFlip(p=1.0), VFlip(p=1.0))
up_to_two = UpTo(count=2, of=(*flips, *noises, brightness, Gamma(p=1.0), *blurs, contrast))

clear = Training(
    crop=RandomCrop(height=224, width=1568),
    augment=(HFlip(), VFlip()),
    loss=BCE(),
    optimizer=SGD(lr=1e-3, weight_decay=1e-4),
    batch=20,
    epochs=30,
)
plain = Training(
    crop=WholeStrip(),
    augment=(HFlip(),),
    loss=Mix(parts=((0.75, BCE()), (0.25, Lovasz()))),
    optimizer=RAdam(lr=1e-3),
    schedule=Cosine(),
    batch=4,
    epochs=50,
)
shifted = plain.but(augment=(HFlip(), SteelShift()))
varied = plain.but(augment=(up_to_two,), batch=3)

pyramid = FPN(encoder="legacy_seresnext50_32x4d")
beside = pyramid.but(merge="cat", segmentation_channels=32)
small = pyramid.but(encoder="tf_efficientnet_b3")
outliners = (
    Member(network=pyramid, stages=(plain,), classes=(1,)),
    Member(network=small, stages=(varied,), classes=(1,)),
    Member(network=pyramid, stages=(shifted,), classes=(3,)),
    Member(network=small, stages=(varied,), classes=(3,)),
    Member(network=beside, stages=(plain,), classes=(4,)),
    Member(network=beside.but(encoder=small.encoder), stages=(varied,), classes=(4,), folds=(0,)),
)
clearer = Member(network=Classifier(encoder="resnet34", dropout=0.5), stages=(clear,), classes=(1,))
three: tuple[View, ...] = ("identity", "hflip", "vflip")
judge = Ensemble(members=(clearer,), views=three, average=PowerMean(t=0.5, form="starter"))
recipe = Recipe(
    name="tenth_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(count=3, validation=(0, 1, 2)),
    steps=(
        Classify(ensemble=judge, threshold=0.5, gate="class"),
        Segment(ensemble=Ensemble(members=outliners)),
        Threshold(label=0.0, pixel=0.5),
        MinArea(pixels=600),
    ),
    tune=Tune(label=False),
    pseudo_labels=PseudoLabels(
        rule=ConfidentPixels(low=0.2, high=0.8, grown=(8, 8, 16, 24)), answered_by="all"
    ),
)
