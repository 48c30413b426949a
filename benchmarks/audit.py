"""How many planted label errors `steelscan audit` lists first, compared with a random order.

Strips of the mill get errors of four kinds, equally often: the masks of a class removed, masks
added to a clean strip, a class changed to another, and masks moved aside by half their size. A
small version of `quick`, all of whose folds are used for validation, is then trained on the wrong
labels; the audit gets neither the list of errors nor the true labels. The table shows how many of
the first k strips of the audit have a planted error, and the share of each kind among them, next to
the expectation for a random order. The same follows for the audit without a run.

Run: OMP_NUM_THREADS=1 python benchmarks/audit.py --out FOLDER [--strips 300] [--each 8] [--seed 0]
"""

import argparse
from pathlib import Path

import numpy as np

from quick import FOLDER, print_result
from steelscan import recipes
from steelscan.analysis.audit import write_audit
from steelscan.data import Folds, RandomCrop, Shrink, open_dataset
from steelscan.mill import Mill, write_mill
from steelscan.pipeline import Options
from steelscan.pipeline.train import train
from steelscan.recipes import Classify, Recipe, Segment
from steelscan.strip import Masks, encode
from steelscan.strip.tables import read_rows, write_mask_table, write_rows
from steelscan.training import BalancedSampler

KINDS = ("removed", "added", "swapped", "moved")
HEIGHT, WIDTH = 64, 320


def planted(data: Path, each: int, seed: int) -> dict[str, str]:
    """Plant errors in the labels of a data set; return the kind of error per strip name."""
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
    """Return masks with an error of a kind; ``donor`` are the masks to add."""
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


def small_quick(folds: int = 2, draws: int = 128) -> Recipe:
    """Return `quick` for minutes of training on small strips; all of its folds validate."""
    recipe = recipes.load("quick")
    steps = [
        _small(step, draws) if isinstance(step, Classify | Segment) else step
        for step in recipe.steps
    ]
    validated = Folds(count=folds, validation=tuple(range(folds)))
    return recipe.but(name="small_quick", steps=tuple(steps), folds=validated, tune=None)


def _small(step: Classify | Segment, draws: int) -> Classify | Segment:
    (member,) = step.ensemble.members
    (stage,) = member.stages
    segments = isinstance(step, Segment)
    stage = stage.but(
        crop=RandomCrop(height=HEIGHT, width=160, defect=0.8) if segments else stage.crop,
        sampler=BalancedSampler(samples=draws, clean=0.2 if segments else 0.5),
        epochs=6 if segments else 3,
        validate_every=6 if segments else 3,
        validate_on=10,
    )
    member = member.but(stages=(stage,), resize=Shrink(pixels=HEIGHT * WIDTH))
    return step.but(ensemble=step.ensemble.but(members=(member,)))


def print_table(name: str, order: list[str], kinds: dict[str, str], strips: int) -> float:
    """Print precision among the first k and recall per kind; return precision over random."""
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
    hits = sum(image in kinds for image in order[: len(kinds)])
    return hits / len(kinds) / (len(kinds) / strips)


def main() -> None:
    """Plant errors, train, audit, count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=FOLDER / "audit")
    parser.add_argument("--strips", type=int, default=300)
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.strips, options.each = 100, 4
    data, listed = options.out / "strips", options.out / "planted.csv"
    if not listed.exists():
        mill = Mill(strips=options.strips, seed=options.seed, height=HEIGHT, width=WIDTH)
        write_mill(mill, data)
        write_rows(listed, ("image", "kind"), planted(data, options.each, options.seed).items())
    kinds = dict(read_rows(listed.read_bytes(), listed, "Remove it").rows)
    run = options.out / "run"
    recipe = small_quick(draws=64 if options.quick else 128)
    train(recipe, data, run, Options(seed=options.seed, device="cpu"))
    for name, chosen in (("with the run", run), ("without a run", None)):
        result = write_audit(data, options.out / f"audit {name}", run=chosen)
        order = [strip.name for strip in result.suspects]
        ratio = print_table(name, order, kinds, options.strips)
        if options.quick and chosen is not None:
            print_result("audit, planted errors among the first", "random order", ratio, ">= 1.5")


if __name__ == "__main__":
    main()
