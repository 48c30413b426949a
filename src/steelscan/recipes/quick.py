"""quick: first results on any strips, in minutes on two CPU cores.

A small classifier skips clean strips, a small feature pyramid segments the rest. Masks are
better training data than labels, so the classifier starts from the encoder of the fitted segmenter.

Run:        steelscan train quick --data DIR --out RUN
Published:  nothing: this recipe is ours, a small version of the 1st place (K:114254)
Reproduced: see the README
Costs:      2 networks of 3.4 and 3.2 million parameters
Ours:       all values
"""

from steelscan.augment import BrightnessContrast, HFlip, VFlip
from steelscan.data import Folds, RandomCrop, Shrink, WholeStrip
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE, Dice, Mix
from steelscan.models import FPN, Classifier
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import EncoderOf, Ensemble, Member, View
from steelscan.recipes.spec import Classify, Recipe, Segment
from steelscan.training import AdamW, BalancedSampler, Cosine, Last, Training

encoder = "tf_efficientnet_lite0"
augment = (HFlip(), VFlip(), BrightnessContrast(brightness_of="white"))
resize = Shrink(pixels=128 * 800)
views: tuple[View, ...] = ("identity", "hflip")

segment = Training(
    crop=RandomCrop(height=256, width=256, defect=0.8),
    augment=augment,
    sampler=BalancedSampler(samples=256, clean=0.2),
    loss=Mix(parts=((1.0, BCE()), (1.0, Dice()))),
    optimizer=AdamW(lr=2e-3),
    schedule=Cosine(warmup=0.1),
    batch=8,
    epochs=12,
    validate_every=4,
    validate_on=100,
    keep=Last(),
)
classify = segment.but(
    crop=WholeStrip(),
    sampler=BalancedSampler(samples=128, clean=0.5),
    loss=BCE(),
    optimizer=AdamW(lr=3e-4),
    epochs=4,
    validate_every=2,
)
segmenter = Member(
    name="segmenter",
    network=FPN(
        encoder=encoder, channels=1, pyramid_channels=64, segmentation_channels=64, dropout=0.1
    ),
    stages=(segment,),
    resize=resize,
)
classifier = Member(
    name="classifier",
    network=Classifier(encoder=encoder, channels=1, dropout=0.2),
    stages=(classify,),
    resize=resize,
    start=EncoderOf(step="segment", member="segmenter"),
)
recipe = Recipe(
    name="quick",
    folds=Folds(count=10, validation=(0,), holdout=(8, 9)),
    steps=(
        Classify(ensemble=Ensemble(members=(classifier,), views=views), threshold=0.05),
        Segment(ensemble=Ensemble(members=(segmenter,), views=views)),
        Threshold(label=0.8, pixel=0.4),
        MinArea(pixels=0),
    ),
    tune=Tune(gates="cost", neutral=True),
)
