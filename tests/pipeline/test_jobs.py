"""Networks that several processes fit at the same time: the same files, and how they end."""

import multiprocessing
import pickle
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Thread

import psutil
import pytest
import torch

from steelscan import recipes
from steelscan.pipeline import Options, RunFolder, tasks
from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_messages import Display, Failed, Sender, sendable
from steelscan.pipeline.fit_queue import CoreShare, FitQueue, Prediction, waves
from steelscan.pipeline.fit_tasks import Task, steps_needed
from steelscan.pipeline.forecast import jobs as forecast_jobs
from steelscan.pipeline.forecast.forecast import forecast
from steelscan.pipeline.forecast.jobs import check_jobs, jobs_for, with_jobs
from steelscan.pipeline.forecast.speed import read_facts, remember_facts
from steelscan.pipeline.train import begin_run, train
from steelscan.prediction import EncoderOf, Ensemble
from steelscan.recipes import Recipe, with_budget
from steelscan.strip.errors import DatasetError, InputError, RunError
from steelscan.training import SGD, SuspectStrips

EVERY = [(name, budget) for name in recipes.names() for budget in ("full", "small", "tiny")]


def all_tasks(name: str, budget: str) -> tuple[Recipe, list[Task]]:
    recipe = with_budget(recipes.load(name), budget)
    return recipe, tasks(recipe, recipe.folds.validation)


def must_be_fitted(recipe: Recipe, task: Task, every: list[Task]) -> set[str]:
    """What a task reads of other networks, from the words of the recipe's specs alone."""
    names = list(recipe.named)
    waiting = {other.step for other in every if isinstance(other.member.start, EncoderOf)}
    needed = set()
    for other in every:
        earlier = names.index(other.step) < names.index(task.step)
        start = task.member.start
        if isinstance(start, EncoderOf):
            lends = (other.step, other.member.name, other.fold) == (
                start.step,
                start.member,
                task.fold,
            )
            if lends or earlier:
                needed.add(other.label)
        elif earlier and other.step not in waiting:
            needed.add(other.label)
        if task.member.needs_class_probabilities and other.step == "classify":
            needed.add(other.label)
    return needed


@pytest.mark.parametrize("jobs", [1, 2, 3, 8])
@pytest.mark.parametrize(("name", "budget"), EVERY)
def test_networks_are_fitted_once_after_those_that_they_need(
    name: str, budget: str, jobs: int
) -> None:
    recipe, every = all_tasks(name, budget)
    order = waves(recipe, every, jobs)
    done = set[str]()
    for wave in order:
        assert 1 <= len(wave) <= jobs
        for task in wave:
            assert must_be_fitted(recipe, task, every) <= done
        done |= {task.label for task in wave}
    assert sorted(task.label for wave in order for task in wave) == sorted(
        task.label for task in every
    )


@pytest.mark.parametrize("cores", [1, 2, 5, 16])
@pytest.mark.parametrize("jobs", [2, 3, 8])
def test_no_order_of_endings_changes_threads_or_takes_more_cores(jobs: int, cores: int) -> None:
    for name in ("ninth_place", "twelfth_place", "third_place", "quick"):
        recipe, every = all_tasks(name, "full")
        expected = None
        for seed in range(5):
            rng, threads = random.Random(seed), dict[str, int]()
            queue, running = FitQueue(recipe, every, jobs, cores), list[tuple[Task, CoreShare]]()
            ended, predicted = set[str](), set[str]()
            while queue:
                while (taken := queue.take()) is not None:
                    task, share = taken
                    if isinstance(task, Prediction):
                        named = {each.label for each in every if each.step == task.step}
                        assert named <= ended
                        queue.done(task)
                        predicted.add(task.step)
                        continue
                    running.append((task, share))
                    assert must_be_fitted(recipe, task, every) <= ended
                    assert predicted.issuperset(steps_needed(recipe, task))
                    threads[task.label] = share.threads
                assert 1 <= len(running) <= jobs
                assert sum(Fraction(1, share.fits) for _, share in running) <= 1
                used = sum(share.threads for _, share in running)
                assert used <= max(cores, len(running))
                task, _ = running.pop(rng.randrange(len(running)))
                queue.done(task)
                ended.add(task.label)
            assert len(threads) == len(every)
            expected = expected or threads
            assert threads == expected


def test_a_fit_without_others_has_all_cores() -> None:
    recipe, every = all_tasks("quick", "full")
    queue = FitQueue(recipe, every, 2, 2)
    task, share = queue.take() or pytest.fail("no task can begin")
    assert share.threads == 2
    assert queue.take() is None  # the other network needs its encoder
    queue.done(task)
    assert (queue.take() or pytest.fail("no task can begin"))[1].threads == 2


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch use one thread in this process, and so in those that it starts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def linked(tiny: Recipe) -> Recipe:
    """One validation fold; classifiers, and segmenters of the strips that they suspect.

    The last segmenter has the encoder of the first.
    """
    assert tiny.classify is not None
    (classifier,), (segmenter,) = tiny.classify.ensemble.members, tiny.segment.ensemble.members
    stages = tuple(stage.but(strips=SuspectStrips(above=0.3)) for stage in segmenter.stages)
    first = segmenter.but(name="first", stages=stages)
    members = (
        first,
        first.but(name="second"),
        first.but(name="third", start=EncoderOf(step="segment", member="first")),
    )
    classifiers = (classifier.but(name="first"), classifier.but(name="second"))
    steps = (
        tiny.classify.but(ensemble=Ensemble(members=classifiers)),
        tiny.segment.but(ensemble=Ensemble(members=members)),
        *tiny.rules,
    )
    return tiny.but(name="linked", folds=tiny.folds.but(validation=(0,)), steps=steps)


@pytest.fixture
def begun(
    strips: Path, linked: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunContext]:
    """A run that has begun, on two cores, with no speed known and fits that are never small."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(forecast_jobs, "_WORTH_A_PROCESS", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield begin_run(RunFolder(tmp_path / "run"), linked, strips, Options(device="cpu", jobs=0))[0]
    torch.set_num_threads(before)


def test_the_number_of_jobs_follows_cores_memory_and_size_and_is_kept(
    begun: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast_jobs, "free_memory", lambda _: 10**11)
    assert jobs_for(begun) == 2
    torch.set_num_threads(1)
    assert jobs_for(begun) == 1
    torch.set_num_threads(8)
    assert jobs_for(begun) == 2  # two classifiers, then two segmenters, then the third
    monkeypatch.setattr(forecast_jobs, "free_memory", lambda _: 2**30)
    assert jobs_for(begun) == 1
    monkeypatch.setattr(forecast_jobs, "free_memory", lambda _: 10**11)
    monkeypatch.setattr(forecast_jobs, "_WORTH_A_PROCESS", 10**12)
    assert jobs_for(begun) == 1
    given = replace(begun, options=replace(begun.options, jobs=7))
    assert jobs_for(given) == 7
    assert with_jobs(begun).options.jobs == 1
    monkeypatch.setattr(forecast_jobs, "_WORTH_A_PROCESS", 0)
    assert jobs_for(begun) == 1  # as the run began
    begun.run.jobs.write_text("2\n")
    assert with_jobs(begun).options.jobs == 2


def test_a_forecast_counts_the_memory_and_the_time_of_fits_at_the_same_time(
    begun: RunContext,
) -> None:
    cpu = torch.device("cpu")
    one, two = (
        forecast(replace(begun, options=replace(begun.options, jobs=jobs)), timed=False)
        for jobs in (1, 2)
    )
    assert (one.jobs, two.jobs) == (1, 2)
    assert "up to 2 at the same time" in two.table()
    assert one.memory + 2**31 < two.memory <= 2 * one.memory + 2**31
    assert one.temporary < two.temporary <= 2 * one.temporary
    facts = {key: each.but(train=1.0, predict=2.0) for key, each in read_facts(cpu).items()}
    remember_facts(cpu, facts)
    alone = forecast(replace(begun, options=replace(begun.options, jobs=1)), timed=False)
    shared = {key: each.but(train=1.6, predict=3.2) for key, each in facts.items()}
    remember_facts(cpu, shared, CoreShare(2, 2))
    both = forecast(replace(begun, options=replace(begun.options, jobs=2)), timed=False)
    # those in pairs take 1.6 times as long, two at the same time; the last one has all cores
    expected = {"classify first": 0.8, "classify second": 0.8, "segment first": 0.8}
    for before, after in zip(alone.fits, both.fits, strict=True):
        factor = {**expected, "segment second": 0.8, "segment third": 1.0}[before.name]
        assert after.seconds == pytest.approx(factor * before.seconds)
    assert [row.seconds for row in both.predictions] == [row.seconds for row in alone.predictions]


def results(run: Path) -> dict[str, bytes]:
    """Return all that a run computed."""
    names = ["thresholds.json", "scores.json", "submission.csv", "folds.csv", "notes.json"]
    paths = [*(run / name for name in names), *sorted((run / "networks").rglob("*.*"))]
    return {
        str(path.relative_to(run)): path.read_bytes() for path in paths if path.name != "fit.log"
    }


def kill_at(path: Path) -> Thread:
    """Kill the processes that fit networks as soon as a file exists."""

    def kill() -> None:
        end = time.monotonic() + 120
        while not path.exists() and time.monotonic() < end:
            time.sleep(0.01)
        for process in multiprocessing.active_children():
            process.kill()

    thread = Thread(target=kill)
    thread.start()
    return thread


@pytest.mark.usefixtures("unreported", "one_thread")
def test_several_processes_write_the_same_files_though_they_are_killed(
    strips: Path, linked: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    alone, broken = tmp_path / "alone", tmp_path / "broken"
    train(linked, strips, alone, Options(device="cpu"))
    capfd.readouterr()
    state = broken / "networks" / "segment-0-fold0" / "last" / "state.safetensors"
    thread = kill_at(state)
    train(linked, strips, broken, Options(device="cpu", jobs=2))
    thread.join()
    assert multiprocessing.active_children() == []
    assert results(broken) == results(alone)
    log = (broken / "networks" / "segment-0-fold0" / "fit.log").read_text()
    assert log.count("process ") == 2  # it went on in another process
    assert log.count("epoch 1,") == 1
    printed = capfd.readouterr().err
    for label in ("classify first", "classify second", "segment first", "segment third"):
        assert f"Fitting {label}, fold 0: " in printed
    assert "segment first, fold 0 has ended" in printed
    assert "was killed; perhaps memory ran out" in printed
    assert "Traceback" not in printed


def train_shared(recipe: str, strips: Path, run: Path) -> None:
    torch.set_num_threads(1)
    train(Recipe.model_validate_json(recipe), strips, run, Options(device="cpu"))


@pytest.mark.usefixtures("one_thread")
def test_two_commands_share_the_fits_of_one_run(
    strips: Path, tiny: Recipe, finished: tuple[Path, object], tmp_path: Path
) -> None:
    run, spawn = tmp_path / "run", multiprocessing.get_context("spawn")
    arguments = (tiny.model_dump_json(), strips, run)
    processes = [spawn.Process(target=train_shared, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    whole = finished[0]
    assert results(run).keys() == results(whole).keys()
    for name in ("folds.csv", "notes.json"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    logs = [path.read_text() for path in run.rglob("fit.log")]
    assert len(logs) == 4
    workers = {re.search(r"process (\d+) on", log)[1] for log in logs}  # type: ignore[index]
    assert len(workers) == 2
    assert all(log.count("is fitted") == 1 and log.count("process ") == 1 for log in logs)
    assert not list(run.rglob(".lease*"))


def test_what_needs_a_failed_network_is_left_out(linked: Recipe) -> None:
    every = tasks(linked, linked.folds.validation)
    queue, done = FitQueue(linked, every, None, 1), list[str]()
    while queue:
        work, _ = queue.take() or pytest.fail("nothing can begin")
        if work.label == "segment first, fold 0":
            queue.failed(work)
        else:
            queue.done(work)
            done.append(work.label)
    assert done == [
        "classify first, fold 0",
        "classify second, fold 0",
        "predictions of classify",
        "segment second, fold 0",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("unreported", "one_thread")
def test_rounds_of_pseudo_labels_are_the_same(strips: Path, rounds: Recipe, tmp_path: Path) -> None:
    for jobs in (1, 2):
        train(rounds, strips, tmp_path / f"{jobs}", Options(device="cpu", jobs=jobs))
    assert results(tmp_path / "2") == results(tmp_path / "1")


@pytest.mark.slow
@pytest.mark.usefixtures("unreported", "one_thread")
def test_the_error_of_one_process_is_that_of_the_command_when_the_others_are_done(
    strips: Path, linked: Recipe, tmp_path: Path
) -> None:
    assert linked.classify is not None
    good, bad = linked.classify.ensemble.members
    (stage,) = bad.stages
    bad = bad.but(stages=(stage.but(optimizer=SGD(lr=1e30), epochs=50),))
    step = linked.classify.but(ensemble=Ensemble(members=(good, bad)))
    recipe = linked.but(steps=(step, *linked.steps[1:]))
    with pytest.raises(RunError, match="the fit has diverged") as end:
        train(recipe, strips, tmp_path / "run", Options(device="cpu", jobs=2))
    assert end.value.where == "Fitting classify second, fold 0"
    assert any("Traceback" in note for note in end.value.__notes__)  # for --debug
    assert "\n" not in str(end.value)
    assert multiprocessing.active_children() == []
    assert not list(tmp_path.rglob("*.part"))
    assert [path.parent.name for path in tmp_path.rglob("checkpoint.safetensors")] == [
        "classify-0-fold0"
    ]
    log = (tmp_path / "run" / "networks" / "classify-1-fold0" / "fit.log").read_text()
    assert log.count("has failed") == 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_command(
    number: int, strips: Path, linked: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "mine.json").write_text(linked.model_dump_json())
    command = ["train", "mine.json", "--data", strips, "--out", "run", "--jobs", "2"]
    program = [sys.executable, "-m", "steelscan", *map(str, command), "--workers", "1"]
    process = subprocess.Popen(program, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not list(tmp_path.rglob("state.safetensors")) and time.monotonic() < end:
        time.sleep(0.01)
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 2
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "Repeat the same command" in printed
        assert "Traceback" not in printed


@pytest.mark.parametrize(
    "error",
    [
        InputError("strip 7", "is cut off", "Copy it again"),
        DatasetError(Path("x"), "is no data set", "Name one"),
        OSError(28, "No space left on device", "file"),
        MemoryError("not enough memory"),
    ],
)
def test_an_error_is_the_same_in_another_process(error: Exception) -> None:
    received = pickle.loads(pickle.dumps(Failed(sendable(error)))).error
    assert type(received) is type(error)
    assert str(received) == str(error)
    assert vars(received).keys() >= vars(error).keys()


def test_an_error_that_cannot_be_sent_keeps_its_name_and_text() -> None:
    class OddError(Exception):
        def __init__(self, first: int, second: int) -> None:
            super().__init__(f"{first} and {second}")

    assert str(sendable(OddError(1, 2))) == "OddError: 1 and 2"


def test_progress_is_shown_by_the_other_process(capsys: pytest.CaptureFixture[str]) -> None:
    here, there = multiprocessing.Pipe()
    sender, display = Sender(there), Display()
    _, (task, *_) = all_tasks("quick", "tiny")
    sender.task = task
    with sender.show(f"Fitting {task.label}", 3) as fit, sender.show("Averaging", 2) as average:
        for _ in range(3):
            fit.advance(note="loss 1")
        average.advance(2)
    sender.send(Failed(RuntimeError("end")))
    while not isinstance(message := here.recv(), Failed):
        display.update(message)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert any(line.startswith(f"Fitting {task.label}: 3/3, ") for line in lines)
    assert any(line.startswith(f"Averaging, {task.label}: 2/2, ") for line in lines)


def test_a_launcher_and_jobs_are_refused_together(monkeypatch: pytest.MonkeyPatch) -> None:
    check_jobs(4)
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    for name, value in zip(names, ("0", "0", "2", "127.0.0.1", "29500"), strict=True):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    check_jobs(1)
    check_jobs(0)
    with pytest.raises(InputError, match="--jobs: is 4, and 2 processes fit each network"):
        check_jobs(4)
    with pytest.raises(InputError, match="--engine: is ray, and 2 processes fit each network"):
        check_jobs(0, "ray")
