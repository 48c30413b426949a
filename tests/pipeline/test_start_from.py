"""A run whose networks start with the weights of another run."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from steelscan.data import Folds
from steelscan.mill import Mill, write_mill
from steelscan.models import PSPNet
from steelscan.pipeline import Options, Outcome, RunFolder
from steelscan.pipeline import networks as networks_module
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.networks import fit_task, training_data
from steelscan.pipeline.train import begin_run, plan_run, train
from steelscan.pipeline.validation import ValidationStrips
from steelscan.prediction import EncoderFittedFor, EncoderOf
from steelscan.recipes import Recipe
from steelscan.strip.errors import InputError, RunError, SteelscanError

Finished = tuple[Path, Outcome]
FirstWeights = Callable[[RunContext], dict[str, dict[str, Tensor]]]

HEADS = {
    "classify": {"body.fc.weight", "body.fc.bias"},
    "segment": {"body.segmentation_head.0.weight", "body.segmentation_head.0.bias"},
}
"""The tensors of the tiny networks whose shape depends on the number of classes."""


@pytest.fixture(scope="module")
def other_strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strips that no network was trained on, with the names and classes of the others."""
    folder = tmp_path_factory.mktemp("other") / "strips"
    mill = Mill(strips=24, seed=8, height=64, width=160, roll=(1, 3), faint_share=0.0)
    write_mill(mill, folder, test_strips=2)
    return folder


@pytest.fixture
def first_weights(monkeypatch: pytest.MonkeyPatch) -> FirstWeights:
    """Return a function that returns the weights with which each fit of a run begins."""

    def first_weights(context: RunContext) -> dict[str, dict[str, Tensor]]:
        begun: dict[str, dict[str, Tensor]] = {}

        def fit(network: torch.nn.Module, *arguments: object, **_: object) -> None:
            folder = arguments[3]
            assert isinstance(folder, Path)
            begun[folder.name] = {k: v.clone() for k, v in network.state_dict().items()}

        monkeypatch.setattr(networks_module, "fit", fit)
        for task in context.new_tasks:
            none = np.zeros(0, np.int64)
            strips = ValidationStrips.ungated(none, context.classes)
            fit_task(
                context, task, training_data(context, task, context.dataset, none, None), strips
            )
        monkeypatch.undo()
        return begun

    return first_weights


def options(start: Path, **others: object) -> Options:
    return Options(device="cpu", start_from=start, **others)  # type: ignore[arg-type]


def weights(run: Path, name: str) -> dict[str, Tensor]:
    return load_file(run / "networks" / name / "checkpoint.safetensors")


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    """Return the names of the tensors that are equal."""
    assert one.keys() == other.keys()
    return {name for name in one if torch.equal(one[name], other[name])}


def with_network(recipe: Recipe, step: str, **changes: object) -> Recipe:
    """Return the recipe with other settings of the network of a step."""
    (member,) = recipe.named[step].ensemble.members
    return recipe.with_members({step: [member.but(network=member.network.but(**changes))]})


def only_segments(recipe: Recipe) -> Recipe:
    return recipe.but(steps=(recipe.segment, *recipe.rules))


def reclassed(strips: Path, folder: Path, names: list[str]) -> Path:
    """Copy strips, with other names of classes."""
    shutil.copytree(strips, folder)
    rows = [f"{value},{name}" for value, name in enumerate(names, start=1)]
    (folder / "classes.csv").write_text("\n".join(["value,name", *rows]) + "\n")
    return folder


def test_every_fit_begins_with_the_weights_of_the_same_member_and_fold(
    finished: Finished,
    other_strips: Path,
    tiny: Recipe,
    tmp_path: Path,
    first_weights: FirstWeights,
) -> None:
    run = RunFolder(tmp_path / "run")
    context, notes = begin_run(run, tiny, other_strips, options(finished[0]))
    begun = first_weights(context)
    assert len(begun) == 4
    for name, found in begun.items():
        expected = weights(finished[0], name)
        assert equal(found, expected) == set(expected), name
    record = json.loads((run.path / "run.json").read_text())["start_from"]
    for each in record["networks"]:
        file = finished[0] / each["file"]
        assert file.parent.name == f"{each['step']}-0-fold{each['fold']}"
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert each["sha256"] == digest
        assert each["from_fold"] == each["fold"]
        assert any(f"Start: {each['step']} 1 " in note and digest[:12] in note for note in notes)
    assert "Start: none of its strips is in this data set." in context.split


@pytest.mark.parametrize("names", [["a", "b", "c", "d"], ["1", "2", "3", "4", "5"]])
def test_with_other_classes_the_head_is_new_and_the_rest_is_taken(
    finished: Finished,
    other_strips: Path,
    tiny: Recipe,
    tmp_path: Path,
    first_weights: FirstWeights,
    names: list[str],
) -> None:
    data = reclassed(other_strips, tmp_path / "data", names)
    context, notes = begin_run(RunFolder(tmp_path / "run"), tiny, data, options(finished[0]))
    for name, found in first_weights(context).items():
        expected = weights(finished[0], name)
        head = HEADS[name.split("-")[0]]
        rest = expected.keys() - head
        assert equal({n: found[n] for n in rest}, {n: expected[n] for n in rest}) == rest
        weight = next(each for each in head if each.endswith("weight"))
        assert found[weight].shape[0] == len(names)
        assert not torch.equal(found[weight][:4], expected[weight])
    new = [note for note in notes if "its head is new, because the classes are others" in note]
    assert len(new) == 2


def test_a_fold_that_the_other_run_lacks_starts_from_its_first_fold(
    finished: Finished,
    other_strips: Path,
    tiny: Recipe,
    tmp_path: Path,
    first_weights: FirstWeights,
) -> None:
    recipe = tiny.but(folds=tiny.folds.but(validation=(1, 2)))
    context, notes = begin_run(
        RunFolder(tmp_path / "run"), recipe, other_strips, options(finished[0])
    )
    begun = first_weights(context)
    for fold, other in ((1, 1), (2, 0)):
        expected = weights(finished[0], f"segment-0-fold{other}")
        assert equal(begun[f"segment-0-fold{fold}"], expected) == set(expected)
        assert any(f"fold {fold} from fold {other} " in note for note in notes)


def test_networks_start_again_in_each_round_from_the_last_round_of_the_other_run(
    finished: Finished,
    other_strips: Path,
    rounds: Recipe,
    tmp_path: Path,
    first_weights: FirstWeights,
) -> None:
    """The other run has a first round of pseudo-labels, with one network."""
    other = tmp_path / "other"
    shutil.copytree(finished[0], other)
    (other / "recipe.json").write_text(rounds.model_dump_json())
    checkpoint = "segment-0-fold1/checkpoint.safetensors"
    later = {name: tensor + 1 for name, tensor in weights(other, "segment-0-fold1").items()}
    (other / "networks" / "round1" / checkpoint).parent.mkdir(parents=True)
    save_file(later, other / "networks" / "round1" / checkpoint)
    context, _ = begin_run(RunFolder(tmp_path / "run"), rounds, other_strips, options(other))
    for round_ in (1, 2):
        begun = first_weights(replace(context, round=round_))
        assert begun.keys() == {"segment-0-fold0", "segment-0-fold1"}
        expected = weights(other, "segment-0-fold0")
        assert equal(begun["segment-0-fold0"], expected) == set(expected)
        assert equal(begun["segment-0-fold1"], later) == set(later)


def test_given_weights_replace_the_encoders_of_other_members(
    finished: Finished, other_strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    assert tiny.classify is not None
    (classifier,), (segmenter,) = tiny.classify.ensemble.members, tiny.segment.ensemble.members
    encoder = EncoderFittedFor(network=classifier.network, stages=classifier.stages)
    for step, member, start in (
        ("classify", classifier, EncoderOf(step="segment", member="1")),
        ("segment", segmenter, encoder),
    ):
        recipe = tiny.with_members({step: [member.but(start=start)]})
        run = tmp_path / step
        context, notes = begin_run(RunFolder(run), recipe, other_strips, options(finished[0]))
        assert f"Start: replaces the encoders that the recipe gives to {step} 1." in notes
        assert context.recipe == tiny
        assert len(plan_run(recipe, other_strips, run, options(finished[0])).fits) == 2


@pytest.mark.parametrize(
    ("step", "changes", "problem"),
    [
        (
            "segment",
            {"pyramid_channels": 64},
            "segment 1: has pyramid_channels 64, in .* it has 32",
        ),
        ("segment", {"channels": 3}, "segment 1: has channels 3, in .* it has 1"),
        ("segment", {"encoder": "test_efficientnet"}, "segment 1: has encoder test_efficientnet"),
        ("classify", {"encoder": "test_efficientnet"}, "classify 1: has encoder test_efficientnet"),
        ("classify", {"stem": "deep"}, "classify 1: has stem deep, in .* it has plain"),
        ("segment", {"scale": "unit"}, "segment 1: has scale unit, in .* it has imagenet"),
    ],
)
def test_another_architecture_is_refused_before_anything_is_written(
    finished: Finished,
    other_strips: Path,
    tiny: Recipe,
    tmp_path: Path,
    step: str,
    changes: dict[str, object],
    problem: str,
) -> None:
    recipe = with_network(tiny, step, **changes)
    with pytest.raises(InputError, match=problem):
        train(recipe, other_strips, tmp_path / "run", options(finished[0]))
    assert not (tmp_path / "run" / "recipe.json").exists()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"folds": Folds(count=99, validation=(0,), holdout=())}, "cannot fill 99 folds"),
        ({"encoder": "resnet99"}, "resnet99: is not an encoder of timm"),
    ],
)
def test_a_refused_new_run_leaves_its_folder_to_the_corrected_command(
    other_strips: Path, tiny: Recipe, tmp_path: Path, changes: dict[str, object], problem: str
) -> None:
    run, chosen = RunFolder(tmp_path / "run"), Options(device="cpu")
    recipe = tiny.but(**changes) if "folds" in changes else with_network(tiny, "segment", **changes)
    with pytest.raises(SteelscanError, match=problem):
        train(recipe, other_strips, run.path, chosen)
    begin_run(run, tiny, other_strips, chosen)


def test_another_kind_of_network_or_another_name_is_refused(
    finished: Finished, other_strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    (member,) = tiny.segment.ensemble.members
    psp = member.but(network=PSPNet(encoder="test_resnet", weights="random"))
    for changed, problem in (
        (psp, "segment 1: has kind psp, in .* it has fpn"),
        (member.but(name="b3"), "has no segment b3; its networks are classify 1, segment 1"),
    ):
        recipe = tiny.with_members({"segment": [changed]})
        with pytest.raises(InputError, match=problem):
            begin_run(RunFolder(tmp_path / "run"), recipe, other_strips, options(finished[0]))


def test_what_is_not_a_finished_run_or_a_checkpoint_is_refused(
    finished: Finished, other_strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    unfitted, cut, empty = tmp_path / "unfitted", tmp_path / "cut", tmp_path / "empty"
    for copy in (unfitted, cut):
        shutil.copytree(finished[0], copy)
    shutil.rmtree(unfitted / "networks")
    damaged = cut / "networks" / "segment-0-fold1" / "checkpoint.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    empty.mkdir()
    for start, problem in (
        (tmp_path / "nowhere", "nowhere: does not exist"),
        (empty, "is not a run, or was stopped before it began: it has no recipe.json"),
        (unfitted, "has not fitted classify 1 yet"),
        (cut, r"segment-0-fold1/checkpoint.safetensors: is not a whole checkpoint"),
        (tmp_path / "run", "is the folder of this run itself"),
    ):
        (tmp_path / "run").mkdir(exist_ok=True)
        with pytest.raises(SteelscanError, match=problem):
            begin_run(RunFolder(tmp_path / "run"), tiny, other_strips, options(start))


def test_one_checkpoint_is_the_start_of_a_recipe_with_one_network(
    finished: Finished,
    other_strips: Path,
    tiny: Recipe,
    tmp_path: Path,
    first_weights: FirstWeights,
) -> None:
    file = tmp_path / "checkpoint.safetensors"
    shutil.copy(finished[0] / "networks" / "segment-0-fold1" / file.name, file)
    recipe = only_segments(tiny)
    context, notes = begin_run(RunFolder(tmp_path / "run"), recipe, other_strips, options(file))
    for found in first_weights(context).values():
        assert equal(found, load_file(file)) == set(load_file(file))
    assert any("a checkpoint does not record its training strips" in note for note in notes)
    begin_run(RunFolder(tmp_path / "run"), recipe, other_strips, options(file))
    five = reclassed(other_strips, tmp_path / "five", ["1", "2", "3", "4", "5"])
    _, notes = begin_run(RunFolder(tmp_path / "run5"), recipe, five, options(file))
    assert any("its head is new" in note for note in notes)


def test_one_checkpoint_of_another_network_is_refused(
    finished: Finished, other_strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    networks, foreign = finished[0] / "networks", tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"PK\3\4 a bundle")
    segmenter = networks / "segment-0-fold0" / "checkpoint.safetensors"
    classifier = networks / "classify-0-fold0" / "checkpoint.safetensors"
    one = only_segments(tiny)
    wide = with_network(one, "segment", pyramid_channels=64)
    for recipe, file, problem in (
        (tiny, segmenter, r"is one checkpoint; the recipe has 2 networks \(classify 1, segment 1"),
        (one, classifier, "segment 1: has the tensor body.encoder.* it is missing"),
        (wide, segmenter, "segment 1: has the tensor body.decoder.* of 64x.*, in .* it is 32x"),
        (one, foreign, "is not a whole checkpoint of steelscan"),
    ):
        with pytest.raises(InputError, match=problem):
            begin_run(RunFolder(tmp_path / "run"), recipe, other_strips, options(file))
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_the_same_folds_of_the_same_strips_may_continue(
    finished: Finished, strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    _, notes = begin_run(RunFolder(tmp_path / "run"), tiny, strips, options(finished[0]))
    assert any(
        note.startswith("Start: 28 of its strips are in this data set; none") for note in notes
    )


def test_weights_that_were_trained_on_validation_strips_are_refused(
    finished: Finished, strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    """Other folds by another seed; folds that the other run trained on; its folds again."""
    run = RunFolder(tmp_path / "run")
    others = (
        (tiny, options(finished[0], seed=1)),
        (tiny.but(folds=tiny.folds.but(validation=(0, 2))), options(finished[0])),
        (tiny.but(folds=tiny.folds.but(holdout=(2,))), options(finished[0])),
    )
    for recipe, chosen in others:
        with pytest.raises(InputError, match=r"was trained on \d+ of the \d+ strips.*--folds"):
            train(recipe, strips, run.path, chosen)
        assert {path.name for path in run.path.iterdir()} <= {".lock"}
    given = finished[0] / "folds.csv"
    begin_run(run, tiny, strips, options(finished[0], seed=1, folds=given))


@pytest.mark.parametrize(("there", "refused"), [(0, {1, 3}), (2, {0, 1, 3}), (3, set())])
def test_a_single_shared_strip_is_found_by_its_content(
    finished: Finished,
    strips: Path,
    other_strips: Path,
    tiny: Recipe,
    tmp_path: Path,
    there: int,
    refused: set[int],
) -> None:
    """A strip of one fold there, under another name, in one fold here after the other.

    Folds 0 and 1 are for validation, and 3 is held out from all networks, in both runs.
    """
    rows = [row.split(",") for row in (finished[0] / "folds.csv").read_text().splitlines()]
    name = next(image for image, _, fold in rows if fold == str(there))
    data = tmp_path / "data"
    shutil.copytree(other_strips, data)
    shutil.copy(strips / "train_images" / name, data / "train_images" / "shared.jpg")
    with (data / "groups.csv").open("a") as groups:
        groups.write("shared.jpg,999\n")
    names = sorted(path.name for path in (data / "train_images").iterdir())
    found = set()
    for fold in range(4):
        table = tmp_path / f"folds{fold}.csv"
        lines = [f"{each},{at % 4}" for at, each in enumerate(names) if each != "shared.jpg"]
        table.write_text("\n".join(["image,fold", *lines, f"shared.jpg,{fold}"]) + "\n")
        chosen = options(finished[0], folds=table)
        try:
            begin_run(RunFolder(tmp_path / f"run{fold}"), tiny, data, chosen)
        except InputError as error:
            assert "was trained on 1 of the" in error.problem  # noqa: PT017
            found.add(fold)
    assert found == refused


def test_without_the_other_data_set_strips_are_compared_by_name(
    finished: Finished, other_strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    other, data = tmp_path / "other", tmp_path / "data"
    shutil.copytree(finished[0], other)
    shutil.copytree(other_strips, data)
    (other / "data.txt").write_text(f"{tmp_path / 'gone'}\n")
    _, notes = begin_run(RunFolder(tmp_path / "none"), tiny, data, options(other))
    assert any(note.endswith("compared by name: none is in this data set.") for note in notes)
    theirs = (other / "folds.csv").read_text().splitlines()[1].split(",")[0]
    picture = next((data / "train_images").iterdir())
    for table in (data / "train.csv", data / "groups.csv"):
        table.write_text(table.read_text().replace(picture.name, theirs))
    picture.rename(picture.with_name(theirs))
    _, notes = begin_run(RunFolder(tmp_path / "one"), tiny, data, options(other))
    assert any("compared by name: 1 are here. If they are the same" in note for note in notes)


@pytest.mark.usefixtures("unreported")
def test_a_run_that_started_from_another_continues_when_that_has_moved(
    finished: Finished, other_strips: Path, tiny: Recipe, tmp_path: Path
) -> None:
    other, run = tmp_path / "other", tmp_path / "run"
    shutil.copytree(finished[0], other)
    first = train(tiny, other_strips, run, options(other))
    assert any(note.startswith("Start: segment 1 with the weights in ") for note in first.notes)
    for path in other.glob("networks/*/first_weights.txt"):
        began = path.read_text().strip()
        assert re.search(
            rf"those of the same member in {re.escape(str(other))} \(\w+\), which started with "
            + re.escape(began),
            " ".join(first.notes),
        )
    assert json.loads((run / "notes.json").read_text()) == list(first.notes)
    fitted = {path: path.read_bytes() for path in run.rglob("*.safetensors")}
    assert len(fitted) == 4
    third = tmp_path / "third"
    shutil.copytree(other, third)
    record = json.loads((third / "run.json").read_text())
    (third / "run.json").write_text(json.dumps({**record, "seed": 5}))
    for chosen in (Options(device="cpu"), options(third)):
        with pytest.raises(RunError, match=r"began with other values of: .*--start-from"):
            train(tiny, other_strips, run, chosen)
    moved = other.rename(tmp_path / "moved")
    for place in (other, moved):
        again = train(tiny, other_strips, run, options(place))
        assert again.scores == first.scores
    checkpoint = run / "networks" / "segment-0-fold1" / "checkpoint.safetensors"
    checkpoint.unlink()
    with pytest.raises(InputError, match="segment 1, fold 1 is still to be fitted"):
        train(tiny, other_strips, run, options(other))
    train(tiny, other_strips, run, options(moved))
    assert {path: path.read_bytes() for path in run.rglob("*.safetensors")} == fitted


def test_a_checkpoint_that_changed_since_is_not_used(
    finished: Finished,
    other_strips: Path,
    tiny: Recipe,
    tmp_path: Path,
    first_weights: FirstWeights,
) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished[0], other)
    context, _ = begin_run(RunFolder(tmp_path / "run"), tiny, other_strips, options(other))
    path = other / "networks" / "segment-0-fold0" / "checkpoint.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)
    with pytest.raises(InputError, match="is not the checkpoint with which segment 1, fold 0"):
        first_weights(context)
    with pytest.raises(RunError, match="began with other values of: --start-from"):
        begin_run(RunFolder(tmp_path / "run"), tiny, other_strips, options(other))
