"""How many planted label errors `steelscan audit` puts at the top, beside random order.

Strips of the mill get errors of four kinds, each on as many strips: a class's masks removed, a
mask added where nothing is, a class called another, and masks moved aside by half their size. A
small form of `quick`, whose folds all judge, is then fitted on the wrong labels; the audit sees
neither which labels are wrong nor the true ones. Printed: of the first k strips of the audit, how
many have a planted error, and for each kind, which share of its strips stands among them; beside
both what a random order would give, on the mean. The same follows for the audit without a run.

Run: OMP_NUM_THREADS=1 python benchmarks/audit.py --out FOLDER [--strips 300] [--each 8] [--seed 0]
"""

import argparse
from pathlib import Path

import numpy as np

from steelscan import recipes
from steelscan.analysis.audit.audit import audit
from steelscan.data import Folds, RandomCrop, Shrink, open_dataset
from steelscan.mill import Mill, write_mill
from steelscan.pipeline import Options
from steelscan.pipeline.train import train
from steelscan.recipes import Classify, Recipe, Segment
from steelscan.strip import Masks, encode, read_rows, write_mask_table, write_rows
from steelscan.training import BalancedSampler

KINDS = ("removed", "added", "swapped", "moved")
HEIGHT, WIDTH = 64, 320


def planted(data: Path, each: int, seed: int) -> dict[str, str]:
    """Plant errors in the labels of a milled data set: which kind each strip got, by its name."""
    dataset = open_dataset(data)
    rng = np.random.default_rng(seed)
    masks = {name: dataset.masks(row) for row, name in enumerate(dataset.names)}
    defective = [name for name in dataset.names if masks[name].any()]
    clean = [name for name in dataset.names if not masks[name].any()]
    kinds: dict[str, str] = {}
    for kind in KINDS:
        pool = [name for name in (clean if kind == "added" else defective) if name not in kinds]
        for name in rng.choice(pool, each, replace=False).tolist():
            donor = masks[rng.choice(defective)]
            masks[name] = wrong(masks[name], donor, kind, rng)
            kinds[name] = kind
    rows = [(name, [encode(mask) for mask in masks[name]]) for name in dataset.names]
    write_mask_table(data / "train.csv", rows, "columns")
    return kinds


def wrong(masks: Masks, donor: Masks, kind: str, rng: np.random.Generator) -> Masks:
    """Masks with an error of a kind; ``donor`` lends a mask to be added."""
    if kind == "added":
        return donor
    there = int(rng.choice(np.flatnonzero(masks.any((1, 2)))))
    changed = masks.copy()
    changed[there] = False
    if kind == "swapped":
        other = int(rng.choice([at for at in range(len(masks)) if at != there]))
        changed[other] |= masks[there]
    if kind == "moved":
        columns = np.flatnonzero(masks[there].any(0))
        aside = max(8, (columns[-1] - columns[0] + 1) // 2)
        changed[there] = np.roll(masks[there], aside if columns[0] < WIDTH // 2 else -aside, axis=1)
    return changed


def small_quick(folds: int = 2) -> Recipe:
    """`quick`, fitted for minutes on small strips; all of its folds judge."""
    recipe = recipes.load("quick")
    steps = [
        _small(step) if isinstance(step, Classify | Segment) else step for step in recipe.steps
    ]
    judged = Folds(count=folds, validation=tuple(range(folds)))
    return recipe.but(name="small_quick", steps=tuple(steps), folds=judged, tune=None)


def _small(step: Classify | Segment) -> Classify | Segment:
    (member,) = step.ensemble.members
    (stage,) = member.stages
    outlines = isinstance(step, Segment)
    stage = stage.but(
        crop=RandomCrop(height=HEIGHT, width=160, defect=0.8) if outlines else stage.crop,
        sampler=BalancedSampler(samples=128, clean=0.2 if outlines else 0.5),
        epochs=6 if outlines else 3,
        validate_every=6 if outlines else 3,
        validate_on=10,
    )
    member = member.but(stages=(stage,), resize=Shrink(pixels=HEIGHT * WIDTH))
    return step.but(ensemble=step.ensemble.but(members=(member,)))


def told(name: str, order: list[str], kinds: dict[str, str], strips: int) -> None:
    """Print precision among the first k and recall of each kind."""
    print(f"\n{name}: {len(order)} of {strips} strips listed")
    print(
        "first k  with an error  random  " + "  ".join(f"{kind:>8}" for kind in KINDS) + "  random"
    )
    for k in (10, 20, len(kinds), 2 * len(kinds)):
        first = order[:k]
        hits = sum(image in kinds for image in first)
        recalls = [
            sum(kinds.get(image) == kind for image in first)
            / sum(each == kind for each in kinds.values())
            for kind in KINDS
        ]
        shares = "  ".join(f"{share:8.2f}" for share in recalls)
        random = len(kinds) / strips
        print(f"{k:7}  {hits:6} = {hits / k:4.2f}  {random:6.2f}  {shares}  {k / strips:6.2f}")


def main() -> None:
    """Plant, fit, audit, count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--strips", type=int, default=300)
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    data, listed = given.out / "strips", given.out / "planted.csv"
    if not listed.exists():
        mill = Mill(strips=given.strips, seed=given.seed, height=HEIGHT, width=WIDTH)
        write_mill(mill, data)
        write_rows(listed, ("image", "kind"), planted(data, given.each, given.seed).items())
    kinds = dict(read_rows(listed.read_bytes(), listed, "Remove it").rows())
    run = given.out / "run"
    train(small_quick(), data, run, Options(seed=given.seed, device="cpu"))
    for name, chosen in (("with the run", run), ("without a run", None)):
        found = audit(data, given.out / f"audit {name}", run=chosen)
        told(name, [strip.name for strip in found.strips], kinds, given.strips)


if __name__ == "__main__":
    main()
