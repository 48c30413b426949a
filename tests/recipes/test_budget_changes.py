"""What a budget says that it changes, and that the command prints it."""

import os
import subprocess
import sys

import pytest

from steelscan import cli, recipes
from steelscan.recipes import with_budget, with_random_weights
from steelscan.recipes.limits import LIMITS, smaller_encoders

every_recipe = pytest.mark.parametrize("name", recipes.names())
each_way = pytest.mark.parametrize("budget", ["small", "tiny"])


def changes_of(recipe, budget):
    """Return the changes of a recipe at a budget without "Budget ..."."""
    changes = with_budget(recipe, budget).changes
    head = f"Budget {budget}: "
    assert all(line.startswith(head) and line.endswith(".") for line in changes)
    return [line.removeprefix(head).removesuffix(".") for line in changes]


@every_recipe
@each_way
def test_each_change_is_described_once_and_briefly(name, budget):
    changes = changes_of(recipes.load(name), budget)
    assert 1 <= len(changes) <= 16
    assert len({line.partition(" became ")[0] for line in changes}) == len(changes)
    for line in changes:
        assert " became " in line
        assert "\n" not in line
        for change in line.split("; "):
            olds, new = change.split(" became ")
            assert new not in olds.split(", ")


def test_the_changes_of_the_12th():
    changes = changes_of(recipes.load("twelfth_place"), "tiny")
    senets = "legacy_senet154, legacy_seresnext101_32x4d, legacy_seresnext50_32x4d"
    for line in (
        f"encoder {senets} became test_resnet",
        "validation folds 0, 1, 2, 3 of 5 became 0 of 5",
        "epochs 40 became 3; 40 became 1",
        "crop 256x256 became 128x128; 256x768 became 128x384",
        "averaged checkpoints 5 became 2",
        "networks of segment2: 12 became 8",
    ):
        assert line in changes


class StoppedError(Exception):
    """Raised in the place of a training."""


@pytest.mark.parametrize("budget", ["full", "small", "tiny"])
def test_train_takes_a_budget_and_prints_what_it_changes(budget, monkeypatch, capsys, tmp_path):
    given = []

    def train(recipe, *_):
        given.append(recipe)
        raise StoppedError

    monkeypatch.setattr("steelscan.pipeline.train.train", train)
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--weights", "random"]
    command = ["steelscan", "train", "ninth_place", *arguments]
    monkeypatch.setattr(
        sys, "argv", command if budget == "full" else [*command, "--budget", budget]
    )
    with pytest.raises(SystemExit):
        cli.main()
    recipe = with_budget(recipes.load("ninth_place"), budget)
    assert given == [with_random_weights(recipe)]
    assert capsys.readouterr().out.splitlines() == list(recipe.changes)


def test_encoders_of_one_size_are_replaced_in_the_order_of_their_names():
    """A set has another order in each process."""
    names = "legacy_seresnext50_32x4d", "seresnext50_32x4d"
    for given in (names, names[::-1]):
        found = smaller_encoders(given, LIMITS["small"])
        assert [found[each] for each in names] == ["tf_efficientnet_lite0", "tf_efficientnet_lite1"]
    code = "from steelscan import recipes; from steelscan.recipes import with_budget; "
    code += "print(with_budget(recipes.load('fourteenth_place'), 'small').changes[0])"
    lines = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3", "4")
    }
    assert len(lines) == 1
