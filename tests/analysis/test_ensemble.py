"""The ensemble of a run: members of which all is known, and a run that was trained."""

import json
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from tests.analysis.known_members import (
    BLIND,
    DULL,
    FRAME,
    MEMBER,
    NOISE,
    ORACLE,
    RULES,
    STAGE,
    STRIPS,
    World,
    voter,
)

from steelscan.analysis.ensemble import compare_ensemble, ensemble_text, write_ensemble_page
from steelscan.analysis.ensemble import members as members_module
from steelscan.analysis.ensemble import thresholds as module
from steelscan.analysis.ensemble.members import StripFiles
from steelscan.analysis.ensemble.rules import combining_rules
from steelscan.data import Folds, make_folds, open_dataset
from steelscan.data.duplicates import group_strips
from steelscan.evaluation.metrics import Pairs
from steelscan.evaluation.tuning import Tune, pairs_at, search_thresholds, strip_histograms
from steelscan.losses import SoftmaxFocal
from steelscan.models import Unet
from steelscan.pipeline import Outcome, RunFolder, StoredOutputs, read_evaluated
from steelscan.postprocess import RemoveSmallComponents, Triplet
from steelscan.prediction import (
    Ensemble,
    EnsembleMean,
    LogitMean,
    Mean,
    Member,
    PowerMean,
    to_uint8,
)
from steelscan.recipes import Recipe, Segment
from steelscan.strip.errors import InputError, RunError


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strips of grey noise with bright and dark squares, a third of them clean."""
    folder = tmp_path_factory.mktemp("bright")
    random = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    (folder / "classes.csv").write_text("value,name\n1,bright\n2,dark\n")
    for strip in range(STRIPS):
        picture = random.integers(90, 150, FRAME, dtype=np.uint8)
        index = np.zeros(FRAME, np.uint8)
        for class_id, grey in ((1, 240), (2, 10)):
            if strip % 3 == class_id or strip % 6 == 5:
                top, left = random.integers(0, 20), random.integers(0, 25) + 32 * (class_id - 1)
                place = slice(top, top + 8), slice(left, min(left + 9, 64))
                picture[place], index[place] = grey, class_id
        cv2.imwrite(str(folder / "images" / f"strip{strip:02}.png"), picture)
        cv2.imwrite(str(folder / "masks" / f"strip{strip:02}.png"), index)
    rows = "".join(f"strip{strip:02}.png,{strip // 2}\n" for strip in range(STRIPS))
    (folder / "groups.csv").write_text(f"image,group\n{rows}")
    return folder


@pytest.fixture
def world(tmp_path: Path, bright: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, bright, monkeypatch)


def compared(world: World, run: Path, out: str = "out", **options):
    return compare_ensemble(run, world.folder / out, device="cpu", **options)


def test_an_oracle_noise_and_two_copies_are_told_apart(world: World) -> None:
    eyes = [ORACLE, NOISE, DULL, DULL]
    found = compared(world, world.run(eyes))
    assert (found.same_pairs, found.pairs) == (2 * STRIPS, 2 * STRIPS)
    assert (found.strips, found.groups) == (STRIPS, STRIPS // 2)
    score = {
        chosen: world.mean_dice([eyes[at] for at in chosen])
        for size in range(1, 5)
        for chosen in combinations(range(4), size)
    }
    everyone = score[0, 1, 2, 3]
    assert found.rules[0].held.mean_dice.other == pytest.approx(everyone, abs=1e-3)
    assert score[0,] == 1.0
    for selection in (found.held.exhaustive, found.held.greedy):
        assert selection.members == (1,)
        assert selection.sets == 15
        assert selection.chosen.apparent.value == pytest.approx(1 - everyone, abs=1e-3)
        assert selection.chosen.honest.value == pytest.approx(1 - everyone, abs=1e-3)
        assert selection.time < 0.7
    for left_out in found.held.left_out:
        others = tuple(at for at in range(4) if at != left_out.member - 1)
        assert left_out.adds is not None
        expected = everyone - score[others]
        assert left_out.adds.mean_dice.value == pytest.approx(expected, abs=1e-3)
    verdicts = [left_out.verdict for left_out in found.held.left_out]
    assert verdicts[0] == "adds"
    assert verdicts[1] == "does harm"
    assert verdicts[2] == verdicts[3]


@pytest.mark.parametrize("average", [Mean(), LogitMean(), PowerMean(t=0.7, form="raw")])
def test_the_own_rule_comes_first_and_gives_the_runs_own_answers(world: World, average) -> None:
    found = compared(world, world.run([ORACLE, DULL], average=average))
    assert found.same_pairs == found.pairs
    own = found.rules[0]
    assert own.held.mean_dice.value == 0
    assert own.refitted is not None
    assert own.refitted.mean_dice.value == 0
    names = [rule.name for rule in found.rules]
    assert len(set(names)) == len(names) == (8 if "0.7" in names[0] else 7)
    assert {
        "mean",
        "logit mean",
        "raw power mean",
        "mixed power mean",
        "power mean",
        "root mean square",
    } <= set(names)


def test_refitted_thresholds_are_found_on_other_groups_than_those_that_they_decide(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune, rows = Tune(positives=1, gain=0, errors=0), range(STRIPS)
    run = world.run([DULL, NOISE], tune=tune)
    searched, real = [], module.search_thresholds

    def spy(levels, start, tune):
        searched.append(len(levels))
        return real(levels, start, tune)

    monkeypatch.setattr(module, "search_thresholds", spy)
    monkeypatch.setattr(module, "_PARTS", 5)
    found = compared(world, run, keep=True)
    assert len(searched) == 5 * (len(found.rules) + 3)  # and of three sets of members
    assert sum(searched[:5]) == 4 * STRIPS
    # the same by hand, from histograms instead of masks
    files = StripFiles(world.folder / "out" / "strips")
    raw = [rule.name for rule in found.rules].index("raw power mean")
    truth = [world.dataset.masks(row) for row in range(STRIPS)]
    levels = np.stack(
        [strip_histograms(files.rule_input(row, raw).pixels, truth[row]) for row in rows]
    )
    start = module.thresholds_of(RULES, 2)
    assert found.rules[raw].held.mean_dice.other == pytest.approx(_dice(pairs_at(levels, start)))
    groups = group_strips(world.dataset)
    parts = make_folds(world.dataset.present, groups, 5, 0)
    assert all(len(set(parts[groups == group])) == 1 for group in groups)
    total = 0.0
    for part in range(5):
        there = parts == part
        best = real(levels[~there], start, tune)
        total += _dice(pairs_at(levels[there], best)) * there.sum()
    refitted = found.rules[raw].refitted
    assert refitted is not None
    assert refitted.mean_dice.other == pytest.approx(total / STRIPS)


@pytest.mark.parametrize("eyes", [[DULL, NOISE, (9.0, 3.0, 5)], [BLIND, BLIND, (20.0, 0.0, 99)]])
def test_sets_are_refitted_as_ensembles_of_their_members_would_be(
    world: World, eyes: list[tuple[float, float, int]]
) -> None:
    """Of each set the whole maps, and the search on all of them, by hand."""
    tune = Tune(positives=1, gain=0, errors=0)
    found = compared(world, world.run(eyes, tune=tune))
    parts = make_folds(world.dataset.present, group_strips(world.dataset), 2, 0)
    start = module.thresholds_of(RULES, 2)
    score = {}
    for chosen in ((0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,)):
        models = [voter(eyes[at]) for at in chosen]
        levels = []
        for row in range(STRIPS):
            mean = EnsembleMean(("identity", "hflip"), world.dataset.picture(row), models=models)
            levels.append(strip_histograms(to_uint8(mean.masks()), world.dataset.masks(row)))
        both = np.stack(levels)
        total = 0.0
        for part in (0, 1):
            best = search_thresholds(both[parts != part], start, tune)
            total += _dice(pairs_at(both[parts == part], best)) * (parts == part).sum()
        score[chosen] = total / STRIPS
    assert found.refitted is not None
    for left_out in found.refitted.left_out:
        others = tuple(at for at in range(3) if at != left_out.member - 1)
        number = left_out.adds.mean_dice
        assert (number.one, number.other) == pytest.approx((score[others], score[0, 1, 2]))
    best = found.refitted.exhaustive
    assert score[tuple(member - 1 for member in best.members)] == max(score.values())
    assert best.chosen.apparent.value == pytest.approx(max(score.values()) - score[0, 1, 2])


def _dice(pairs: Pairs) -> float:
    total = pairs.predicted + pairs.truth
    return float(np.where(total == 0, 1, 2 * pairs.shared / np.maximum(total, 1)).mean())


def test_rules_that_no_search_knows_stay_and_are_told(world: World) -> None:
    rules = (*RULES, RemoveSmallComponents(pixels=4))
    found = compared(world, world.run([ORACLE, DULL], rules=rules))
    assert found.same_pairs == found.pairs
    assert found.rules[0].refitted is not None
    assert any("ignores remove_small_components" in note for note in found.notes)
    triplet = (Triplet(top=0.6, area=2, bottom=0.5),)
    found = compared(world, world.run([ORACLE, DULL], rules=triplet, name="other"), "out2")
    assert found.same_pairs == found.pairs
    assert all(rule.refitted is None for rule in found.rules)
    assert any("are not refitted" in note for note in found.notes)
    assert "thresholds refitted" not in ensemble_text(found).split("Note")[0]


def test_members_of_some_folds_and_classes_are_asked_about_no_others(world: World) -> None:
    members = (
        MEMBER.but(classes=(1,)),
        MEMBER.but(folds=(0,)),
        MEMBER.but(folds=(1,)),
        MEMBER.but(folds=(1,), classes=(2,)),
    )
    found = compared(world, world.run([ORACLE, DULL, DULL, ORACLE], members=members))
    assert found.same_pairs == found.pairs
    verdicts = {each.member: each.verdict for each in found.held.left_out}
    assert verdicts[2] == "the only one of its class and fold"
    assert list(verdicts.values()).count(verdicts[2]) == 1
    adds = {each.member: each.adds for each in found.held.left_out}
    assert adds[1].strips == STRIPS
    assert adds[4].strips == STRIPS // 2
    assert adds[1].mean_dice.other == found.rules[0].held.mean_dice.one > 0.6
    # sets hold member 2, and 3 or 4 with 1: class 1 of fold 1 needs 1 or 3, class 2 needs 3 or 4
    assert found.held.exhaustive.sets == 5


def test_members_named_may_be_left_out_and_the_others_stay(world: World) -> None:
    run = world.run([ORACLE, NOISE, DULL])
    found = compared(world, run, members=[2])
    assert found.held.exhaustive.sets == 2
    assert found.held.exhaustive.members == (1, 3)
    assert [each.member for each in found.held.left_out] == [2]
    assert [fact.free for fact in found.members] == [False, True, False]
    with pytest.raises(InputError, match="names 4"):
        compared(world, run, "other", members=[4])
    with pytest.raises(InputError, match="names 2"):
        compared(world, world.run([ORACLE], name="single"), "third", members=[2])


def test_too_many_members_are_refused_with_both_ways_out(world: World) -> None:
    run = world.run([DULL] * 11)
    with pytest.raises(InputError, match=r"makes 2047 sets.*--members.*--rules-only"):
        compared(world, run)
    found = compared(world, run, sets=False)
    assert found.held is None
    assert len(found.rules) == 7


def test_an_interrupted_comparison_goes_on_and_ends_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.run([ORACLE, DULL])
    whole = compared(world, run, "whole")
    calls = SimpleNamespace(count=0, stop=7)
    real = members_module.predict_each

    def stopping(*arguments):
        if calls.count == calls.stop:
            raise KeyboardInterrupt
        calls.count += 1
        return real(*arguments)

    monkeypatch.setattr(members_module, "predict_each", stopping)
    with pytest.raises(KeyboardInterrupt):
        compared(world, run)
    assert len(list((world.folder / "out" / "strips").iterdir())) == 7
    calls.stop = -1
    found = compared(world, run, keep=True)
    assert calls.count == STRIPS
    assert found.rules == whole.rules
    assert found.refitted.left_out == whole.refitted.left_out
    assert found.held.exhaustive.chosen == whole.held.exhaustive.chosen
    again = compared(world, run)
    assert calls.count == STRIPS  # what is kept is not asked again
    assert again.model_copy(update={"bytes": 0}) == found.model_copy(update={"bytes": 0})
    assert not (world.folder / "out" / "strips").exists()


def test_a_folder_of_another_run_or_question_is_refused(world: World) -> None:
    run = world.run([ORACLE, DULL])
    compared(world, run)
    with pytest.raises(RunError, match="predictions of another run"):
        compared(world, run, sets=False)
    with pytest.raises(RunError, match="predictions of another run"):
        compared(world, world.run([ORACLE, DULL], rules=RULES[:1], name="second"))


def test_data_that_moved_is_named_and_other_data_refused(world: World, tmp_path: Path) -> None:
    run = world.run([ORACLE, DULL])
    folder = RunFolder(run)
    folder.data.write_text(f"{tmp_path / 'gone'}\n")
    with pytest.raises(RunError, match=r"gone, which is no longer there.*--data"):
        compared(world, run)
    assert compared(world, run, data=world.data).same_pairs == 2 * STRIPS
    folder.data.unlink()
    with pytest.raises(RunError, match=r"does not record where its data is.*--data"):
        compared(world, run, "other")
    folder.record.write_text(folder.record.read_text().replace(world.dataset.fingerprint, "0" * 64))
    with pytest.raises(RunError, match="is other data than that of"):
        compared(world, run, "third", data=world.data)


def test_one_network_with_one_view_has_nothing_to_combine(world: World) -> None:
    run = world.run([ORACLE])
    recipe = RunFolder(run).load_recipe()
    single = recipe.segment.ensemble.but(views=("identity",))
    text = recipe.but(steps=(Segment(ensemble=single), *RULES)).model_dump_json()
    RunFolder(run).recipe.write_text(text)
    with pytest.raises(RunError, match="nothing is combined"):
        compared(world, run)


def test_members_of_two_outputs_have_no_mean_logit() -> None:
    stage = STAGE.but(loss=SoftmaxFocal())
    exclusive = Member(
        network=Unet(encoder="resnet18", weights="random", output="softmax"), stages=(stage,)
    )
    recipe = Recipe(
        name="two",
        folds=Folds(count=2, validation=(0,)),
        steps=(Segment(ensemble=Ensemble(members=(MEMBER, exclusive))), *RULES),
    )
    assert "logit mean" not in [rule.name for rule in combining_rules(recipe)]


def test_what_is_written_holds_what_was_found(world: World) -> None:
    found = compared(world, world.run([ORACLE, NOISE, DULL]))
    text = ensemble_text(found)
    assert "reproduces the run's pixel counts" in text
    assert "nan" not in text.replace("thresholds", "")
    assert text.splitlines()[-1].startswith("With thresholds refitted")
    plain = json.loads(found.model_dump_json(), parse_constant=pytest.fail)
    assert len(plain["rules"]) == len(found.rules)
    page = world.folder / "page.html"
    write_ensemble_page(page, found)
    content = page.read_text()
    assert "http" not in content
    assert "<script" not in content
    for expected in (*(rule.name for rule in found.rules), "best of all sets", "does harm"):
        assert expected in content


def test_a_trained_run_is_met_to_the_bit_with_its_gates(
    finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    """Maps are those of the run's store, wherever its classifier let them through."""
    run, outcome = finished
    found = compare_ensemble(run, tmp_path / "out", keep=True, device="cpu")
    assert found.same_pairs == found.pairs
    own = found.rules[0]
    assert own.held.mean_dice.one == outcome.scores["out of fold"].mean_dice.value
    assert found.held is None
    assert "soft gating" in [rule.name for rule in found.rules]
    folder = RunFolder(run)
    judged = read_evaluated(folder, 4)["out of fold"]
    dataset = open_dataset(Path(folder.data.read_text().strip()))
    stored, files = StoredOutputs(folder, dataset), StripFiles(tmp_path / "out/strips")
    for image in judged.images:
        row = dataset.names.index(image)
        pixels = files.rule_input(row, 0).pixels.astype(int)
        assert np.abs(pixels - stored.rule_input(row).pixels).max() <= 1
