"""12th place: decide twice which classes are present, then segment each class by itself.

Run:        steelscan train twelfth_place --data DIR --out RUN
Published:  about 0.95 on its own 451 strips, about 0.91 public mean Dice (K:114309)
Reproduced: not yet
Costs:      30 networks, and 2 classifiers for their encoders
Ours:       lines marked "ours", and:
            - Which network is fitted on which fold; four classifiers, not the best three.
            - The PSPNet on SENet154 is dilated, so that it starts from the whole classifier.
            - JPEGs have a quality of 80 or more; the default of that time, 99, changes little.
            - A strip continues if any class passes; each class has all five binary networks.
            - All 31 averages of the five best checkpoints are tried, with those of batch norms.
"""

from steelscan import augment as aug
from steelscan.data import Crop, Folds, RandomCrop, Shrink, WholeStrip
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE, Dice, Focal, Jaccard, Loss, Mix
from steelscan.models import FPN, Classifier, PSPNet, Unet
from steelscan.postprocess import FillHoles, MinArea, RemoveSmallComponents, Threshold
from steelscan.prediction import EncoderFittedFor, Ensemble, Member, View
from steelscan.recipes.pseudo_labels import ConfidentStrips, PseudoLabels
from steelscan.recipes.spec import Classify, KeepPresent, Recipe, Segment
from steelscan.training import AllStrips, BestAverage, DefectiveStrips, Plateau, RAdam, Training

views: tuple[View, ...] = ("identity", "hflip")
flips = (aug.HFlip(), aug.VFlip())
scale = aug.ShiftScaleRotate(shift=0.0, scale=0.1)
se50, se101, senet = "legacy_seresnext50_32x4d", "legacy_seresnext101_32x4d", "legacy_senet154"
square = RandomCrop(height=256, width=256, defect=1.0)


def training(
    crop: Crop,
    loss: Loss,
    batch: int,
    augment: tuple[aug.Augment, ...] = flips,
    *,
    defective: bool = False,
    pseudo: bool = False,
) -> Training:
    """Return a training with what all networks have in common."""
    return Training(
        crop=crop,
        augment=augment,
        strips=DefectiveStrips() if defective else AllStrips(),
        pseudo="all" if pseudo else 0.0,
        loss=loss,
        optimizer=RAdam(lr=1e-3),  # ours
        schedule=Plateau(),  # ours
        batch=batch,
        epochs=40,  # ours
        keep=BestAverage(count=5),
    )


classify = training(WholeStrip(), BCE(), batch=16, pseudo=True)  # ours: the batch
crops = training(square, BCE(), batch=32)
overlap = training(square, Mix(parts=((1.0, BCE()), (1.0, Jaccard()))), batch=32)
finetune = overlap.but(crop=WholeStrip(), optimizer=RAdam(lr=1e-4), batch=4, accumulate_to=20)
segment_class = training(
    RandomCrop(height=256, width=768, defect=1.0),
    Mix(parts=((1.0, Dice()), (1.0, Focal(gamma=2.0)))),
    batch=16,  # ours
    augment=(*flips, aug.Rotate180(), aug.BrightnessContrast(), aug.Jpeg(), scale),
    defective=True,
)
classes = Classifier(encoder=senet, channels=3)
classifier = Member(network=classes, stages=(classify,), resize=Shrink(pixels=128 * 800))
start = EncoderFittedFor(network=classes, stages=(crops,))
dilated = PSPNet(encoder=senet, channels=3, dilated=True)  # ours
deciders = (
    Member(network=PSPNet(encoder=se101, channels=3), stages=(overlap, finetune)),
    Member(network=FPN(encoder=senet, channels=3), stages=(crops,), start=start, folds=(0,)),
    Member(network=dilated, stages=(crops,), start=start, folds=(1,)),
)
unet, fpn = Unet(encoder=se50, channels=3), FPN(encoder=se50, channels=3)
segmenters = tuple(
    Member(network=network, stages=(segment_class,), classes=(class_id,), folds=folds)
    for network, folds in ((unet, (0, 1)), (fpn, (2, 3)), (Unet(encoder=senet, channels=3), (0,)))
    for class_id in (1, 2, 3, 4)
)
recipe = Recipe(
    name="twelfth_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(count=5, validation=(0, 1, 2, 3)),
    steps=(
        Classify(ensemble=Ensemble(members=(classifier,))),
        Segment(ensemble=Ensemble(members=deciders, views=views)),
        Threshold(label=0.0, pixel=0.5),
        RemoveSmallComponents(pixels=100),  # ours
        FillHoles(),
        MinArea(pixels=(600, 600, 900, 2000)),  # ours
        KeepPresent(),
        Segment(ensemble=Ensemble(members=segmenters, views=views)),  # ours: the views
        Threshold(label=0.0, pixel=0.5),
    ),
    tune=Tune(gates="f1", label=False, pixel=False, area=False),
    pseudo_labels=PseudoLabels(rule=ConfidentStrips(margin=0.45), predicted_by="fold"),  # ours
)
