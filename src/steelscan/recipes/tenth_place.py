"""10th place: binary feature pyramids per class, none for class 2, on whole strips.

Run:        steelscan train tenth_place --data DIR --out RUN
Published:  0.919 public mean Dice, private not stated (K:114465)
Reproduced: not yet
Costs:      19 networks
Ours:       lines marked "ours", and:
            - Which encoder, pyramid and augmentation each class has.
            - Thresholds and areas are tuned; the author does not state those from his validation.
            - Columns darker than 15 grey values count as black in the steel shift.
            - Validation strips are not augmented, as his were.
            - The pseudo-labels of a fold come from its own networks, since thresholds are tuned on
              its strips; a class that the classifier closes needs a probability below 0.2.
            - A class of a strip becomes a pseudo-label if 0.995 of its pixels are confident.
            - The classifier, for class 1 alone, is that of the public starter pipeline with the
              usual head.
"""

from steelscan import augment as aug
from steelscan.data import Folds, RandomCrop, WholeStrip
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE, Lovasz, Mix
from steelscan.models import FPN, Classifier
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, Member, PowerMean, View
from steelscan.recipes.pseudo_labels import ConfidentPixels, PseudoLabels
from steelscan.recipes.spec import Classify, Recipe, Segment
from steelscan.training import SGD, Cosine, RAdam, Training

flips = (aug.HFlip(p=1.0), aug.VFlip(p=1.0))
noises = (aug.IsoNoise(p=1.0), aug.GaussNoise(p=1.0), aug.Cutout(p=1.0))
tones = (aug.BrightnessContrast(contrast=0.0, p=1.0), aug.Gamma(p=1.0))
blurs = (aug.Sharpen(p=1.0), aug.Blur(p=1.0), aug.MotionBlur(p=1.0))
contrast = aug.BrightnessContrast(brightness=0.0, p=1.0)
up_to_two = aug.UpTo(count=2, of=(*flips, *noises, *tones, *blurs, contrast))


def segment(*augments: aug.Augment, batch: int) -> tuple[Training, ...]:
    """Return the training of a segmenter, in one stage."""
    stage = Training(
        crop=WholeStrip(),
        augment=augments,
        loss=Mix(parts=((0.75, BCE()), (0.25, Lovasz()))),
        optimizer=RAdam(lr=1e-3),  # ours
        schedule=Cosine(),  # ours
        batch=batch,
        epochs=50,  # ours
    )
    return (stage,)


classify = Training(
    crop=RandomCrop(height=224, width=1568),
    augment=(aug.HFlip(), aug.VFlip()),  # ours
    pseudo=0.0,
    loss=BCE(),
    optimizer=SGD(lr=1e-3, weight_decay=1e-4),  # ours: the decay
    batch=20,
    epochs=30,  # ours
)
plain = segment(aug.HFlip(), batch=4)
shifted = segment(aug.HFlip(), aug.SteelShift(), batch=4)
augmented = segment(up_to_two, batch=3)
se50, b3 = "legacy_seresnext50_32x4d", "tf_efficientnet_b3"
add_se50, add_b3 = FPN(encoder=se50, channels=3), FPN(encoder=b3, channels=3)
cat_se50 = FPN(encoder=se50, channels=3, merge="cat", segmentation_channels=32)
cat_b3 = FPN(encoder=b3, channels=3, merge="cat", segmentation_channels=32)
segmenters = (
    Member(network=add_se50, stages=plain, classes=(1,)),
    Member(network=add_b3, stages=augmented, classes=(1,)),
    Member(network=add_se50, stages=shifted, classes=(3,)),
    Member(network=add_b3, stages=augmented, classes=(3,)),
    Member(network=cat_se50, stages=plain, classes=(4,)),
    Member(network=cat_b3, stages=augmented, classes=(4,), folds=(0,)),
)
resnet34 = Classifier(encoder="resnet34", channels=3, dropout=0.5)
classifier = Member(network=resnet34, stages=(classify,), classes=(1,))
views: tuple[View, ...] = ("identity", "hflip", "vflip")
confident = ConfidentPixels(low=0.2, high=0.8, dilation=(8, 8, 16, 24))  # ours: the dilation
starter = PowerMean(t=0.5, form="starter")
recipe = Recipe(
    name="tenth_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(count=3, validation=(0, 1, 2)),
    steps=(
        Classify(
            ensemble=Ensemble(members=(classifier,), views=views, average=starter),
            threshold=0.5,
            gate="class",
        ),
        Segment(ensemble=Ensemble(members=segmenters)),
        Threshold(label=0.0, pixel=0.5),  # ours
        MinArea(pixels=600),  # ours
    ),
    tune=Tune(label=False),
    pseudo_labels=PseudoLabels(rule=confident, predicted_by="fold"),  # ours: by the fold
)
