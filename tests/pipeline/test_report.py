"""The report: one self-contained file, for any data set, with any names."""

import subprocess
import sys
from base64 import b64decode
from html.parser import HTMLParser
from math import nan

import cv2
import numpy as np
import pytest

from steelscan.evaluation.metrics import Pairs, dice, score
from steelscan.evaluation.tuning import Thresholds
from steelscan.pages import Curve, draw_curves
from steelscan.pipeline.report_page import Example, Report, pick_examples, render, write_report
from steelscan.strip import Classes
from steelscan.strip.errors import InputError, OutputError, RecipeError

HOSTILE = '<script>alert("x")</script>&\'"'


def pairs_at_random(seed=0, strips=30, classes=2):
    random = np.random.default_rng(seed)
    truth = random.integers(1, 90, (strips, classes)) * (random.random((strips, classes)) < 0.4)
    predicted = random.integers(1, 90, (strips, classes)) * (random.random((strips, classes)) < 0.4)
    return Pairs(predicted, truth, np.minimum(truth, predicted) // 2)


def example(height=40, width=200, classes=2, name="strip.jpg"):
    random = np.random.default_rng(1)
    truth, predicted = np.zeros((2, classes, height, width), np.bool_)
    truth[0, 5:20, 10:50] = predicted[0, 8:22, 12:55] = True
    predicted[-1, 25:35, 20:40] = True
    picture = random.integers(0, 255, (height, width), dtype=np.uint8)
    return Example(name, picture, truth, predicted, np.full(classes, 0.5))


def full_report(name="plain", classes=2):
    pairs = pairs_at_random(classes=classes)
    start = Thresholds(label=(0.5,) * classes, pixel=(0.5,) * classes, area=(600,) * classes)
    tuned = Thresholds(
        label=(0.45,) * classes,
        pixel=(0.4,) * classes,
        area=(321,) * classes,
        tuned=(True,) * classes,
        before=(0.8,) * classes,
        after=(0.9,) * classes,
        reasons=(name,) * classes,
        defaults=start,
    )
    rows = [{"epoch": 1.0, "loss": 0.5, "mean_dice": nan}, {"epoch": 2.0, "loss": 0.25}]
    return Report(
        title=name,
        classes=Classes(names=tuple(f"{name}{index}" for index in range(classes))),
        parts={
            f"held out {name}": (pairs, np.arange(30) // 2, np.arange(30) % 3),
            "out of fold": (pairs, None, None),
        },
        thresholds=tuned,
        curves=[Curve(name, rows), Curve("other", rows)],
        examples={name: [example(classes=classes, name=name)]},
        about={name: name, "Command": "steelscan train"},
        notes=[name],
    )


class Page(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.texts, self._open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._open.append(tag)
        self.links += [
            value for key, value in attrs if key in {"src", "href", "xlink:href", "action"}
        ]

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def test_the_page_is_one_file():
    text = render(full_report())
    page = Page(text)
    assert "http" not in text
    assert "@import" not in text
    assert page.links
    assert all(link.startswith(("data:image/jpeg;base64,", "#")) for link in page.links)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)


def test_the_report_has_every_part():
    report = full_report()
    page = Page(render(report))
    scores = score(report.parts["held out plain"][0], np.arange(30) // 2)
    for expected in (
        f"{scores.mean_dice.value:.4f}",
        f"[{scores.mean_dice.low:.4f}, {scores.mean_dice.high:.4f}]",
        f"{scores.escaped} of {scores.defective} strips",
        f"{scores.stopped} of {scores.clean} strips",
        "30 strips in 15 groups",
        "321",
        "yes: plain",
        "steelscan train",
        "Dice 0.500",
        "false alarm",
        "missed",
        "out of fold",
    ):
        assert expected in page.text, expected
    assert page.tags.count("svg") == 1
    assert page.tags.count("img") == 2
    assert "held out plain, 30 strips" in page.text


def test_names_are_escaped_everywhere():
    text = render(full_report(HOSTILE))
    page = Page(text)
    assert "<script" not in text
    assert "script" not in page.tags
    assert page.text.count("alert") >= 10


@pytest.mark.parametrize("size", [(40, 200), (200, 200), (300, 60), (8, 4000), (1, 1)])
def test_pictures_of_any_shape_are_shown(size):
    picture = np.full(size, 90, np.uint8)
    masks = np.zeros((1, *size), np.bool_)
    masks[0, 0, 0] = True
    shown = Example("a.png", picture, masks, ~masks, np.zeros(1))
    report = Report(
        "t", Classes(names=("scratch",)), {"all": (pairs_at_random(classes=1), None, None)},
        examples={"best": [shown]},
    )  # fmt: skip
    links = Page(render(report)).links
    assert len(links) == 2
    for link in links:
        code = np.frombuffer(b64decode(link.partition(",")[2]), np.uint8)
        height, width, _ = cv2.imdecode(code, cv2.IMREAD_COLOR).shape
        assert width <= 1000
        assert height <= 425
        assert abs(height - width * size[0] / size[1]) <= max(1, 0.5 * size[0] / size[1])


def test_a_report_without_defects_renders():
    nothing = np.zeros((5, 1), np.int64)
    clean = Pairs(nothing, nothing, nothing)
    scratch = Classes(names=("scratch",))
    page = Page(render(Report("t", scratch, {"held out": (clean, None, None)})))
    assert "undefined no defective strip" in page.text
    assert "undefined no defect" in page.text
    assert "nan" not in page.text
    assert "Learning curves" not in page.text
    assert "Thresholds" not in page.text
    none = clean.select(slice(0))
    assert (
        "undefined no strip" in Page(render(Report("t", scratch, {"x": (none, None, None)}))).text
    )
    assert "Result" not in Page(render(Report("t", scratch, {}))).text


def test_a_metric_of_some_epochs_is_drawn_through_them():
    taken = [{"epoch": 4.0, "score": 0.1}, {"epoch": 8.0, "score": 0.3}]
    between = [taken[0], {"epoch": 5.0}, {"epoch": 6.0}, taken[1], {"epoch": 9.0}]
    assert draw_curves([Curve("a", between)]) == draw_curves([Curve("a", taken)])
    gap = [taken[0], {"epoch": 6.0, "score": nan}, taken[1]]
    assert draw_curves([Curve("a", gap)]) != draw_curves([Curve("a", taken)])


def test_curves_without_a_finite_number_are_left_out():
    rows = [{"epoch": 1.0, "loss": nan}]
    report = Report("t", Classes(names=("a", "b")), {}, curves=[Curve("n", rows), Curve("m", [])])
    assert "svg" not in Page(render(report)).tags


def test_many_networks_and_odd_metric_names_are_drawn():
    curves = [
        Curve(f"n{i}", [{"epoch": 1, "a$b_\u4e2d": i}, {"epoch": 2, "loss": i}]) for i in range(30)
    ]
    text = render(Report("t", Classes(names=("a", "b")), {}, curves=curves))
    assert Page(text).tags.count("svg") == 1
    assert "n29" in text


def test_the_same_report_is_the_same_file(tmp_path):
    write_report(tmp_path / "a.html", full_report())
    write_report(tmp_path / "deep" / "b.html", full_report())
    first, second = (tmp_path / "a.html").read_bytes(), (tmp_path / "deep" / "b.html").read_bytes()
    assert first == second
    with pytest.raises(OutputError):
        write_report(tmp_path / "deep", full_report())


def test_parts_with_another_number_of_classes_are_refused():
    pairs = {"all": (pairs_at_random(), None, None)}
    with pytest.raises(InputError):
        render(Report("t", Classes(names=("one",)), pairs))
    wrong = Thresholds(label=(0.5,), pixel=(0.5,), area=(1,))
    with pytest.raises(RecipeError, match="for 1 classes, the data set has 2"):
        render(Report("t", Classes(names=("a", "b")), pairs, thresholds=wrong))


def strip_dice(pairs):
    busy = (pairs.predicted > 0) | (pairs.truth > 0)
    return [
        sum(values[b]) / sum(b) if b.any() else None
        for values, b in zip(dice(pairs), busy, strict=True)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_examples_are_the_best_the_median_and_the_worst(seed):
    pairs = pairs_at_random(seed, strips=60)
    picks = pick_examples(pairs, 3)
    assert {title: len(rows) for title, rows in picks.items()} == {
        "best": 3,
        "median": 3,
        "worst": 3,
    }
    assert len({row for rows in picks.values() for row in rows}) == 9
    values, defective = strip_dice(pairs), pairs.truth.any(axis=1)
    ranked = sorted((values[row] for row in np.flatnonzero(defective)), reverse=True)
    assert [values[row] for row in picks["best"]] == ranked[:3]
    middle = len(ranked) // 2
    for row in picks["median"]:
        assert ranked[middle + 3] <= values[row] <= ranked[middle - 3]
    failed, alarm, other = picks["worst"]
    assert defective[failed]
    assert values[failed] == ranked[-1]
    assert not defective[alarm]
    assert pairs.predicted[alarm].any()
    assert defective[other]
    assert pick_examples(pairs, 3) == picks


@pytest.mark.parametrize("strips", range(8))
def test_few_strips_give_shorter_lists_and_none_twice(strips):
    pairs = pairs_at_random(1, strips=strips)
    picks = pick_examples(pairs, 3)
    rows = [row for rows in picks.values() for row in rows]
    assert len(rows) == len(set(rows))
    busy = (pairs.truth.any(axis=1) | pairs.predicted.any(axis=1)).sum()
    assert min(busy, 3) <= len(rows) <= busy


def test_the_largest_miss_and_the_largest_false_alarm_come_first():
    truth = np.array([[10], [90], [0], [0], [50], [50]], np.int64)
    predicted = np.array([[0], [0], [5], [80], [50], [50]], np.int64)
    pairs = Pairs(predicted, truth, np.minimum(truth, predicted))
    assert pick_examples(pairs, 2)["worst"] == [1, 3]


def test_the_room_starts_without_what_only_a_report_needs():
    code = (
        "import sys; import steelscan.evaluation; "
        "print([n for n in ('torch','scipy','sklearn','matplotlib','jinja2') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
