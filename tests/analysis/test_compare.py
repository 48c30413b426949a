"""Two runs compared strip by strip."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.compare import comparison_text
from steelscan.analysis.compare.compare import compare
from steelscan.data import open_dataset
from steelscan.data.folds import read_folds
from steelscan.evaluation.metrics import Pairs, score
from steelscan.pipeline import Evaluated, Outcome, RunFolder, read_evaluated
from steelscan.pipeline.pixel_counts import write_evaluated
from steelscan.recipes import Recipe
from steelscan.strip.errors import OutputError, RunError

Finished = tuple[Path, Outcome]
Copied = Callable[[str], RunFolder]


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> Copied:
    """Makes a run folder with the evaluated pairs of the finished run."""

    def copy(name: str) -> RunFolder:
        (tmp_path / name).mkdir()
        for file in ("run.json", "recipe.json", "pairs.csv"):
            shutil.copy(finished[0] / file, tmp_path / name)
        return RunFolder(tmp_path / name)

    return copy


def perfect(evaluated: Evaluated) -> Evaluated:
    truth = evaluated.pairs.truth
    return replace(evaluated, pairs=Pairs(truth, truth, truth))


def empty(evaluated: Evaluated) -> Evaluated:
    return replace(evaluated, pairs=evaluated.pairs.emptied())


def part_of(evaluated: Evaluated, rows: list[int]) -> Evaluated:
    images = tuple(evaluated.images[row] for row in rows)
    return Evaluated(
        images, evaluated.groups[rows], evaluated.folds[rows], evaluated.pairs.select(rows)
    )


def test_a_run_keeps_the_pairs_that_its_scores_were_made_of(
    finished: Finished, strips: Path, tiny: Recipe
) -> None:
    run, outcome = finished
    dataset = open_dataset(strips)
    folds = read_folds(run / "folds.csv", dataset.names)
    parts = read_evaluated(RunFolder(run), len(dataset.classes))
    assert list(parts) == ["held out", "out of fold"]
    for name, evaluated in parts.items():
        assert score(evaluated.pairs, evaluated.groups) == outcome.scores[name]
        rows = [dataset.names.index(image) for image in evaluated.images]
        assert evaluated.folds.tolist() == folds[rows].tolist()
        truth = [dataset.masks(row).sum(axis=(1, 2)).tolist() for row in rows]
        assert evaluated.pairs.truth.tolist() == truth
    assert set(parts["held out"].folds.tolist()) == set(tiny.folds.holdout)


def test_evaluated_pairs_are_read_as_written(copied: Copied) -> None:
    run = copied("a")
    parts = read_evaluated(run, 4)
    before = run.pairs.read_bytes()
    write_evaluated(run, parts)
    assert run.pairs.read_bytes() == before
    with run.pairs.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * sum(len(evaluated.images) for evaluated in parts.values())
    last, evaluated = rows[-1], parts["out of fold"]
    assert (last["part"], last["image"], last["class"]) == (
        "out of fold",
        evaluated.images[-1],
        "4",
    )
    assert int(last["predicted"]) == evaluated.pairs.predicted[-1, -1]


def test_a_run_against_itself_differs_by_nothing(finished: Finished) -> None:
    run, outcome = finished
    found = compare(run, run)
    assert found.part == "held out"
    assert found.scores.strips == outcome.scores["held out"].strips
    assert found.changes == ()
    for number in (found.scores.mean_dice, found.scores.escapes, found.scores.overkill):
        assert number.value == 0
        assert (number.low, number.high) == (0, 0) or np.isnan(number.low)
    assert "Decisions changed on 0 strips." in comparison_text(found)
    assert "better" not in found.sentence


def test_perfect_masks_are_better_than_empty_ones(copied: Copied, tmp_path: Path) -> None:
    a, b = copied("a"), copied("b")
    evaluated = read_evaluated(a, 4)["out of fold"]
    write_evaluated(a, {"out of fold": empty(evaluated)})
    write_evaluated(b, {"out of fold": perfect(evaluated)})
    found = compare(a.path, b.path)
    assert found.part == "out of fold"
    defective = (evaluated.pairs.truth > 0).any(axis=1)
    assert {change.kind for change in found.changes} == {"clean to defective"}
    assert {change.image for change in found.changes} == {
        image for image, has in zip(evaluated.images, defective, strict=True) if has
    }
    assert all(change.truth == change.b and change.a == () for change in found.changes)
    gains = [change.gain for change in found.changes]
    assert gains == sorted(gains, reverse=True)
    assert found.scores.mean_dice.value == pytest.approx((evaluated.pairs.truth > 0).mean())
    assert found.scores.escapes.value == -1
    assert found.scores.mean_dice.low > 0
    assert found.sentence.startswith("B is better than A: mean Dice +")
    assert compare(b.path, a.path).sentence.startswith("B is worse than A: mean Dice -")
    assert any("tuned on these strips" in note for note in found.notes)
    found.write_changes(tmp_path / "changed.csv")
    with (tmp_path / "changed.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert [row["image"] for row in listed] == [change.image for change in found.changes]
    assert [row["b"] for row in listed] == [" ".join(change.b) for change in found.changes]
    with pytest.raises(OutputError, match="cannot be written"):
        found.write_changes(Path("/proc/changed.csv"))


def test_kinds_of_changes(copied: Copied) -> None:
    a, b = copied("a"), copied("b")
    evaluated = read_evaluated(a, 4)["out of fold"]
    nothing = np.zeros_like(evaluated.pairs.truth)
    one, other = nothing.copy(), nothing.copy()
    one[0, 0] = other[1, 1] = one[2, 0] = other[2, 1] = one[3, 2] = 7
    other[3, 2] = 9  # more pixels of the same class: the same decision
    for run, predicted in ((a, one), (b, other)):
        pairs = Pairs(predicted, evaluated.pairs.truth, nothing)
        write_evaluated(run, {"out of fold": replace(evaluated, pairs=pairs)})
    kinds = {change.image: change.kind for change in compare(a.path, b.path).changes}
    assert kinds == dict(
        zip(
            evaluated.images,
            ("defective to clean", "clean to defective", "other classes"),
            strict=False,
        )
    )


def test_only_strips_of_the_same_part_are_compared(copied: Copied) -> None:
    a, b = copied("a"), copied("b")
    evaluated = read_evaluated(a, 4)["out of fold"]
    rows = list(range(len(evaluated.images)))
    write_evaluated(
        a, {"held out": part_of(evaluated, rows[:8]), "out of fold": part_of(evaluated, rows[8:])}
    )
    write_evaluated(
        b, {"held out": part_of(evaluated, rows[3:9]), "out of fold": part_of(evaluated, rows[9:])}
    )
    found = compare(a.path, b.path)
    assert (found.part, found.scores.strips) == ("held out", 5)
    assert any(
        note.startswith("Left out: 4 strips held out in one run only") for note in found.notes
    )
    write_evaluated(b, {"out of fold": part_of(evaluated, rows[3:9])})
    found = compare(a.path, b.path)
    assert (found.part, found.scores.strips) == ("out of fold", 1)
    assert found.sentence == "B and A cannot be compared: that takes at least two groups of strips."
    write_evaluated(b, {"out of fold": part_of(evaluated, rows[:8])})
    with pytest.raises(RunError, match="was evaluated on no strip"):
        compare(a.path, b.path)


def test_the_order_of_the_strips_does_not_matter(copied: Copied) -> None:
    a, b, c = copied("a"), copied("b"), copied("c")
    evaluated = read_evaluated(a, 4)["out of fold"]
    rows = np.random.default_rng(0).permutation(len(evaluated.images)).tolist()
    write_evaluated(b, {"out of fold": perfect(evaluated)})
    write_evaluated(c, {"out of fold": part_of(perfect(evaluated), rows)})
    write_evaluated(a, {"out of fold": evaluated})
    assert compare(a.path, b.path) == compare(a.path, c.path)


def test_groups_of_either_run_are_joined(copied: Copied) -> None:
    a, b = copied("a"), copied("b")
    evaluated = read_evaluated(a, 4)["out of fold"]
    count = len(evaluated.images)
    alone = np.arange(count)
    pairs = alone // 2
    shifted = (alone + 1) // 2
    write_evaluated(a, {"out of fold": replace(evaluated, groups=pairs)})
    write_evaluated(b, {"out of fold": replace(evaluated, groups=alone)})
    assert compare(a.path, b.path).scores.groups == -(-count // 2)
    write_evaluated(b, {"out of fold": replace(evaluated, groups=shifted)})
    assert compare(a.path, b.path).scores.groups == 1


@pytest.mark.parametrize(("count", "warned"), [(5, True), (6, False)])
def test_too_few_groups_that_differ_get_a_warning(copied: Copied, count: int, warned: bool) -> None:
    a, b = copied("a"), copied("b")
    truth = np.ones((9, 4), np.int64)
    partial = truth * (np.arange(9) >= count)[:, None]
    images = tuple(f"{number}.jpg" for number in range(9))
    for run, guess in ((a, partial), (b, truth)):
        pairs = Pairs(guess, truth, guess)
        write_evaluated(
            run, {"held out": Evaluated(images, np.arange(9), np.zeros(9, np.int64), pairs)}
        )
    found = compare(a.path, b.path)
    assert any(note.startswith("Groups that differ: 5") for note in found.notes) is warned
    assert found.sentence.startswith("B is better") is not warned


def test_the_text_lists_twenty_changes_and_counts_the_rest(copied: Copied) -> None:
    a, b = copied("a"), copied("b")
    some = read_evaluated(a, 4)["out of fold"].pairs.select([0] * 25)
    images = tuple(f"strip{number:02}.jpg" for number in range(25))
    evaluated = Evaluated(images, np.arange(25), np.zeros(25, np.int64), some)
    write_evaluated(a, {"held out": empty(evaluated)})
    write_evaluated(
        b, {"held out": replace(evaluated, pairs=Pairs(some.truth + 1, *[some.truth] * 2))}
    )
    text = comparison_text(compare(a.path, b.path))
    assert text.count("clean to defective") == 21  # the head has one more
    assert "and 5 more" in text
    assert "nan" not in text
    assert [line for line in text.splitlines() if line.startswith("mean Dice")]


def test_other_data_no_run_and_unfinished_runs_are_refused(
    finished: Finished, copied: Copied, tmp_path: Path
) -> None:
    b = copied("b")
    record = json.loads(b.record.read_text())
    b.record.write_text(json.dumps({**record, "fingerprint": "0" * 64}))
    with pytest.raises(RunError, match="made from different data"):
        compare(finished[0], b.path)
    with pytest.raises(RunError, match="is not a run"):
        compare(finished[0], tmp_path / "nowhere")
    half = copied("half")
    half.pairs.unlink()
    with pytest.raises(RunError, match=r"holds no pairs\.csv: its training has not ended"):
        compare(half.path, finished[0])


def test_runs_with_other_true_masks_are_refused(copied: Copied) -> None:
    a, b = copied("a"), copied("b")
    evaluated = read_evaluated(a, 4)["out of fold"]
    pairs = Pairs(evaluated.pairs.predicted, evaluated.pairs.truth + 1, evaluated.pairs.shared)
    write_evaluated(a, {"out of fold": evaluated})
    write_evaluated(b, {"out of fold": replace(evaluated, pairs=pairs)})
    with pytest.raises(RunError, match="has other true masks"):
        compare(a.path, b.path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda text: text.replace("truth", "wahr"),
        lambda text: text.replace(",4,", ",x,", 1),
        lambda text: "\n".join(text.splitlines()[:-1]),
        lambda text: "\n".join([*text.splitlines(), *text.splitlines()[-4:]]),
        lambda text: "\n".join([*text.splitlines()[:-1], text.splitlines()[-2]]),
        lambda text: text.replace(",0,0,0\n", ",0,0,9\n", 1),
    ],
    ids=["empty", "head", "number", "short", "twice", "class", "shared"],
)
def test_a_broken_file_is_one_error(copied: Copied, spoil: Callable[[str], str]) -> None:
    run = copied("a")
    text = run.pairs.read_text()
    run.pairs.write_text(spoil(text))
    assert run.pairs.read_text() != text
    with pytest.raises(RunError, match="is broken") as error:
        compare(run.path, run.path)
    assert "\n" not in str(error.value)
