"""The page of two runs: numbers, changed decisions, and the strips themselves."""

import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from steelscan.analysis.compare import write_comparison_page
from steelscan.analysis.compare.compare import Change, compare
from steelscan.analysis.compare.page import SHOWN, chosen_changes
from steelscan.data import open_dataset
from steelscan.evaluation.metrics import Pairs, count_pixels
from steelscan.pipeline import Outcome, RunFolder, StoredOutputs, Tuned, read_evaluated
from steelscan.pipeline.pixel_counts import write_evaluated
from steelscan.postprocess import MinArea, Rule, Threshold
from steelscan.strip.errors import RunError


def decided_by(finished: Path, copy: Path, *rules: Rule) -> Path:
    """The same run, whose strips are decided by other rules."""
    shutil.copytree(finished, copy)
    run = RunFolder(copy)
    run.write_tuned(Tuned(rules=rules))
    dataset = open_dataset(Path(run.data.read_text().strip()))
    outputs = StoredOutputs(run, dataset)
    parts = {}
    for name, evaluated in read_evaluated(run, 4).items():
        rows = [dataset.names.index(image) for image in evaluated.images]
        counts = [count_pixels(outputs.masks(row), dataset.masks(row)) for row in rows]
        parts[name] = replace(evaluated, pairs=Pairs.of(counts))
    write_evaluated(run, parts)
    return copy


@pytest.fixture(scope="module")
def two_runs(
    finished: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """One that predicts many defects, and one that predicts none."""
    folder = tmp_path_factory.mktemp("two")
    much = decided_by(finished[0], folder / "much", Threshold(label=0.1, pixel=0.1))
    none = decided_by(finished[0], folder / "none", Threshold(label=1.0), MinArea(pixels=9))
    return much, none


def test_stored_outputs_make_the_evaluated_masks(finished: tuple[Path, Outcome]) -> None:
    run = RunFolder(finished[0])
    dataset = open_dataset(Path(run.data.read_text().strip()))
    outputs = StoredOutputs(run, dataset)
    for evaluated in read_evaluated(run, 4).values():
        for image, predicted in zip(evaluated.images, evaluated.pairs.predicted, strict=True):
            masks = outputs.masks(dataset.names.index(image))
            assert masks.sum(axis=(1, 2)).tolist() == predicted.tolist()


def test_each_changed_strip_has_three_pictures_and_the_page_is_one_file(
    two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    found = compare(*two_runs)
    assert found.changes
    page = tmp_path / "page.html"
    assert write_comparison_page(page, found, *two_runs) == ""
    content = page.read_text()
    pictures = re.findall(r'<img src="([^"]*)"', content)
    shown = [*chosen_changes(found.changes)[0], *chosen_changes(found.changes)[1]]
    assert len(pictures) == 3 * len(shown)
    assert all(each.startswith("data:image/jpeg;base64,") for each in pictures)
    assert "http" not in content
    assert "<script" not in content
    for change in shown:
        assert change.image in content
    text = unescape(re.sub(r"<[^>]*>", " ", content))
    assert found.sentence in text
    escaped = sum(bool(change.truth) and not change.b for change in shown)
    assert escaped > 0
    assert text.count("escapes with B") == escaped
    kinds = {
        kind: sum(change.kind == kind for change in found.changes)
        for kind in ("clean to defective", "defective to clean", "other classes")
    }
    for kind, count in kinds.items():
        assert re.search(rf"{kind}\s+{count}\s", text)


def test_masks_that_were_not_evaluated_are_not_shown(
    two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    much = tmp_path / "much"
    shutil.copytree(two_runs[0], much)
    RunFolder(much).write_tuned(Tuned(rules=(Threshold(label=0.1, pixel=0.9),)))
    page = tmp_path / "page.html"
    reason = write_comparison_page(page, compare(much, two_runs[1]), much, two_runs[1])
    assert "are not those evaluated" in reason
    assert "<img" not in page.read_text()


def test_without_data_or_stores_the_page_has_numbers_and_the_reason(
    two_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    moved, page = tmp_path / "moved", tmp_path / "page.html"
    shutil.copytree(two_runs[0], moved)
    RunFolder(moved).data.write_text("/gone/away\n")
    found = compare(moved, two_runs[1])
    reason = write_comparison_page(page, found, moved, two_runs[1])
    assert "no longer there" in reason
    assert "--data" in reason
    content = page.read_text()
    assert "<img" not in content
    assert "No pictures:" in content
    assert f"{found.scores.mean_dice.one:.4f}" in content
    data = Path(RunFolder(two_runs[0]).data.read_text().strip())
    assert write_comparison_page(page, found, moved, two_runs[1], data) == ""
    assert "<img" in page.read_text()
    shutil.rmtree(moved / "probabilities")
    assert "no probabilities" in write_comparison_page(page, found, moved, two_runs[1], data)


def test_other_data_that_is_named_is_refused(
    two_runs: tuple[Path, Path], tmp_path: Path, strips: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(strips, other)
    rows = (other / "train.csv").read_text().splitlines()
    (other / "train.csv").write_text("\n".join(rows[:-1]) + "\n")
    with pytest.raises(RunError, match="is other data"):
        write_comparison_page(tmp_path / "p.html", compare(*two_runs), *two_runs, other)


def change(gain: float) -> Change:
    return Change(
        image=f"{gain:+.4f}.png", kind="other classes", truth=(), a=(), b=(), gain=float(gain)
    )


@pytest.mark.parametrize(("worse", "better"), [(0, 0), (3, 4), (40, 2), (2, 40), (40, 40)])
def test_the_worst_come_first_and_better_strips_are_shown_too(worse: int, better: int) -> None:
    random = np.random.default_rng(worse + better)
    gains = [*-random.uniform(0.01, 1, worse), *random.uniform(0, 1, better)]
    changes = [change(gain) for gain in random.permutation(gains)]
    lost, won = chosen_changes(changes)
    assert len(lost) + len(won) == min(SHOWN, worse + better)
    assert [each.gain for each in lost] == sorted(gains)[: len(lost)]
    assert [each.gain for each in won] == sorted(gains, reverse=True)[: len(won)]
    assert all(each.gain < 0 for each in lost)
    assert all(each.gain >= 0 for each in won)
    if worse and better:
        assert lost
        assert won
