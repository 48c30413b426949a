"""70th place: powers of probabilities instead of means; validation on what looks like the test.

Run:        steelscan train seventieth_place --data DIR --out RUN
Published:  nothing by its author; three ideas in a summary of the solutions
Reproduced: not yet
Costs:      2 networks
Ours:       all that the three ideas do not say: networks, losses, rates, thresholds (of the public
            starter pipeline and of the 1st place); a fifth of the strips validates. The power 0.5
            lifts probabilities: 0.25 becomes 0.5, so that thresholds lie higher
"""

from steelscan.augment import BrightnessContrast, HFlip, VFlip
from steelscan.data import LikeTest, RandomCrop
from steelscan.evaluation.tuning import Tune
from steelscan.losses import BCE, Dice, Mix
from steelscan.models import FPN, Unet
from steelscan.postprocess import MinArea, Threshold
from steelscan.prediction import Ensemble, Member, PowerMean
from steelscan.recipes.spec import Recipe, Segment
from steelscan.training import Cosine, RAdam, Training

training = Training(
    crop=RandomCrop(height=256, width=512),
    augment=(HFlip(), VFlip(), BrightnessContrast()),
    loss=Mix(parts=((0.75, BCE()), (0.25, Dice()))),
    optimizer=RAdam(lr=1e-3),
    schedule=Cosine(),
    batch=12,
    accumulate_to=24,
    epochs=60,
)
members = (
    Member(network=Unet(encoder="tf_efficientnet_b3"), stages=(training,)),
    Member(network=FPN(encoder="tf_efficientnet_b5"), stages=(training,)),
)
recipe = Recipe(
    name="seventieth_place",
    written_for=("1", "2", "3", "4"),
    folds=LikeTest(share=0.2),
    steps=(
        Segment(
            ensemble=Ensemble(
                members=members, views=("identity", "hflip", "vflip"), average=PowerMean(t=0.5)
            )
        ),
        Threshold(label=0.84, pixel=0.74),
        MinArea(pixels=(600, 600, 900, 2000)),
    ),
    tune=Tune(),
)
