"""12th place: judge twice whether a class is there at all, then outline it anew, a class at a time.

Run:        steelscan train twelfth_place --data DIR --out RUN
Published:  about 0.95 on its own 451 strips, about 0.91 public mean Dice (K:114309)
Reproduced: not yet
Costs:      30 networks, and 2 that lend their encoders
Ours:       rates, plateaus, batches of 16, epochs; the classifier's thresholds (theirs: best F1),
            that any class lets a strip on; which folds, none held out, four classifiers, not the
            best three; areas, sizes of specks; all five binary networks for each class (the slides
            draw a set a class); all 31 averages of the best five checkpoints, norms with the rest;
            views of the last networks; how sure a pseudo-label is
"""

from steelscan.augment import BrightnessContrast, HFlip, Jpeg, Rotate180, ShiftScaleRotate, VFlip
from steelscan.data import Folds, RandomCrop, Shrink, WholeStrip
from steelscan.losses import BCE, Dice, Focal, Jaccard, Mix
from steelscan.models import FPN, Classifier, PSPNet, Unet
from steelscan.postprocess import FillHoles, MinArea, RemoveSmallComponents, Threshold
from steelscan.prediction import EncoderFittedFor, Ensemble, Member
from steelscan.recipes.pseudo_labels import ConfidentStrips, PseudoLabels
from steelscan.recipes.spec import Classify, KeepFound, Recipe, Segment
from steelscan.training import BestAverage, DefectiveStrips, Plateau, RAdam, Training

flips = (HFlip(), VFlip())
se50, senet = "legacy_seresnext50_32x4d", "legacy_senet154"

clear = Training(
    crop=WholeStrip(),
    augment=flips,
    loss=BCE(),
    optimizer=RAdam(lr=1e-3),
    schedule=Plateau(),
    batch=16,
    epochs=40,
    keep=BestAverage(count=5),
)
crops = clear.but(
    crop=RandomCrop(height=256, width=256, defect=1.0),
    loss=Mix(parts=((1.0, BCE()), (1.0, Jaccard()))),
    batch=32,
    pseudo=0.0,
)
whole = crops.but(crop=WholeStrip(), optimizer=RAdam(lr=1e-4), batch=4, accumulate_to=20)
simple = crops.but(loss=BCE())
outline = crops.but(
    crop=RandomCrop(height=256, width=768, defect=1.0),
    augment=(
        *flips,
        Rotate180(),
        BrightnessContrast(),
        Jpeg(),
        ShiftScaleRotate(shift=0.0, scale=0.1),
    ),
    strips=DefectiveStrips(),
    loss=Mix(parts=((1.0, Dice()), (1.0, Focal(gamma=2.0)))),
    batch=16,
)

judge = Classifier(encoder=senet)
clearer = Member(network=judge, stages=(clear,), resize=Shrink(pixels=128 * 800))
crop_judge = EncoderFittedFor(network=judge, stages=(simple,))
deciders = (
    Member(network=PSPNet(encoder="legacy_seresnext101_32x4d"), stages=(crops, whole)),
    Member(network=FPN(encoder=senet), stages=(simple,), start=crop_judge, folds=(0,)),
    Member(network=PSPNet(encoder=senet), stages=(simple,), start=crop_judge, folds=(1,)),
)
outliners = (
    (Unet(encoder=se50), (0, 1)),
    (FPN(encoder=se50), (2, 3)),
    (Unet(encoder=senet), (0,)),
)
binary = tuple(
    Member(network=network, stages=(outline,), classes=(class_id,), folds=folds)
    for network, folds in outliners
    for class_id in (1, 2, 3, 4)
)
recipe = Recipe(
    name="twelfth_place",
    written_for=("1", "2", "3", "4"),
    folds=Folds(count=5, validation=(0, 1, 2, 3)),
    steps=(
        Classify(ensemble=Ensemble(members=(clearer,)), threshold=0.5),
        Segment(ensemble=Ensemble(members=deciders, views=("identity", "hflip"))),
        Threshold(label=0.0, pixel=0.5),
        RemoveSmallComponents(pixels=100),
        FillHoles(),
        MinArea(pixels=(600, 600, 900, 2000)),
        KeepFound(),
        Segment(ensemble=Ensemble(members=binary, views=("identity", "hflip"))),
        Threshold(label=0.0, pixel=0.5),
    ),
    pseudo_labels=PseudoLabels(rule=ConfidentStrips(apart=0.45), answered_by="all"),
)
