"""Pretrained weights of encoders: the store, files of any kind, and loading into networks."""

import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from steelscan.models import (
    FPN,
    Classifier,
    PSPNet,
    Unet,
    WeightStore,
    build_network,
    find_weights,
    remote_weights,
)
from steelscan.models.weight_files import fit_encoder, read_tensors
from steelscan.strip.errors import InputError, OutputError

SMALL = "test_resnet"
KINDS = (Classifier, Unet, PSPNet)
narrow = {"pyramid_channels": 32, "segmentation_channels": 32}


def random_state(encoder, seed=0):
    """Return timm's own network of an encoder, and its tensors, all different numbers."""
    torch.manual_seed(seed)
    network = timm.create_model(encoder)
    state = {
        name: tensor if "num_batches" in name else torch.rand_like(tensor) + 0.5
        for name, tensor in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network.eval(), state


def letters(name):
    return "".join(filter(str.isalnum, name))


def encoder_of(network):
    return network.body if network.head == "classes" else network.body.encoder.model


@pytest.fixture
def store(tmp_path):
    return WeightStore(tmp_path / "store")


@pytest.fixture
def file(tmp_path):
    """A file of random weights of the small encoder."""
    path = tmp_path / "small.safetensors"
    save_file(random_state(SMALL)[1], path)
    return path


# The store


def test_weights_that_were_added_are_found_with_their_record(store, file):
    assert store.find(SMALL) is None
    record = store.add_file(SMALL, file, "CC0-1.0")
    found = store.find(SMALL)
    assert found.record == record
    assert record.licence == "CC0-1.0"
    assert "small.safetensors" in found.source
    assert record.sha256[:12] in found.source
    assert record.size == found.path.stat().st_size
    state = random_state(SMALL)[1]
    assert set(state) - set(found.state) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.state.items())


def test_a_store_can_be_copied_and_is_named_by_option_variable_or_default(
    store, file, tmp_path, monkeypatch
):
    store.add_file(SMALL, file, "CC0-1.0")
    shutil.copytree(store.folder, tmp_path / "usb")
    shutil.rmtree(store.folder)
    assert find_weights(SMALL) is None
    assert find_weights(SMALL, tmp_path / "usb").record.encoder == SMALL
    monkeypatch.setenv("STEELSCAN_WEIGHTS", str(tmp_path / "usb"))
    assert find_weights(SMALL) is not None
    assert find_weights(SMALL, tmp_path / "other") is None
    monkeypatch.delenv("STEELSCAN_WEIGHTS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert WeightStore.at().folder == tmp_path / "home" / "steelscan" / "weights"


def test_new_weights_replace_the_old_ones(store, file, tmp_path):
    first = store.add_file(SMALL, file, "CC0-1.0")
    other = tmp_path / "other.safetensors"
    save_file(random_state(SMALL, seed=1)[1], other)
    second = store.add_file(SMALL, other, "MIT")
    assert first.sha256 != second.sha256
    assert store.find(SMALL).record == second
    assert len(list(store.folder.glob("[!.]*"))) == 2  # .lock stays


def test_a_changed_file_is_refused_by_its_hash(store, file):
    store.add_file(SMALL, file, "CC0-1.0")
    weights = store.find(SMALL)
    content = bytearray(weights.path.read_bytes())
    content[-1] ^= 1
    weights.path.write_bytes(content)
    with pytest.raises(InputError, match=rf"SHA-256 .*changed.*weights fetch {SMALL}"):
        build_network(Classifier(encoder=SMALL), 4, store.folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path, _: path.write_bytes(path.read_bytes()[:-100]), "it was cut"),
        (lambda path, _: path.unlink(), "cannot be read"),
        (lambda _, record: record.write_text("{"), "is no record of weights"),
        (
            lambda _, record: record.write_text(record.read_text().replace('"size"', '"bytes"')),
            "is no record of weights",
        ),
    ],
)
def test_a_damaged_store_is_refused_with_a_way_out(store, file, damage, message):
    store.add_file(SMALL, file, "CC0-1.0")
    damage(store.find(SMALL).path, store.folder / f"{SMALL}.json")
    with pytest.raises(InputError, match=rf"{message}.*steelscan weights fetch {SMALL}"):
        store.find(SMALL)
    store.add_file(SMALL, file, "CC0-1.0")
    assert store.find(SMALL).state


def test_a_store_that_cannot_be_written_is_an_error(file, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError):
        WeightStore(tmp_path / "taken").add_file(SMALL, file, "CC0-1.0")


def test_a_file_in_place_of_a_store_is_an_error_and_not_an_empty_store(file):
    with pytest.raises(InputError, match="is not a folder"):
        WeightStore(file).find(SMALL)


def test_processes_that_add_at_once_leave_a_whole_store(store):
    """Each adds other weights of the same encoder; the last one stays, with its own record."""
    states = [random_state(SMALL, seed)[1] for seed in range(4)]
    with ThreadPoolExecutor(len(states)) as pool:
        adding = [pool.submit(store.add, SMALL, state, "a test", "MIT") for state in states * 3]
    records = [each.result() for each in adding]
    assert store.find(SMALL).record in records
    assert store.find(SMALL).state
    assert len(list(store.folder.glob("*.safetensors"))) == 1


def test_other_users_can_read_the_store_if_the_umask_lets_them(store, file):
    previous = os.umask(0o022)
    try:
        store.add_file(SMALL, file, "MIT")
    finally:
        os.umask(previous)
    modes = {path.stat().st_mode & 0o777 for path in store.folder.glob(f"{SMALL}*")}
    assert modes == {0o644}


# Files


class Code:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("form", ["zip", "old", "plain"])
def test_a_pickle_with_code_is_refused_and_never_run(form, tmp_path):
    path, witness = tmp_path / "evil.pth", tmp_path / "witness"
    content = {"conv1.weight": torch.ones(2), "extra": Code(witness)}
    if form == "plain":
        path.write_bytes(pickle.dumps({"extra": Code(witness)}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(InputError, match=r"holds more than tensors.*code, which is never run"):
        read_tensors(path)
    assert not witness.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": state, "epoch": 3}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_tensors_of_checkpoints_are_found(zipped, wrap, prefix, tmp_path):
    path, state = tmp_path / "file.pth", {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    named = {prefix + name: tensor for name, tensor in state.items()}
    torch.save(wrap(named), path, _use_new_zipfile_serialization=zipped)
    found = read_tensors(path)
    assert list(found) == ["a", "b"]
    assert all(torch.equal(found[name], state[name]) for name in state)


def saved(content):
    return lambda path: torch.save(content, path)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.pth", lambda path: path.write_bytes(b"hello" * 99), "is cut, or is no file of tensors"),
        ("a.pth", lambda path: path.write_bytes(b""), "is cut, or is no file of tensors"),
        ("a.safetensors", lambda path: path.write_bytes(b"hello" * 99), "no safetensors file"),
        ("a.pth", saved({}), "holds no tensors"),
        ("a.pth", saved({"a": torch.ones(2), "epoch": 3}), "holds epoch, which is no tensor"),
        ("a.pth", saved({"a": torch.tensor([0.0, float("nan")])}), "a has a number that is not"),
        ("a.pth", lambda _: None, "is not a file"),
    ],
)
def test_a_file_without_usable_tensors_is_refused(name, write, message, tmp_path):
    write(tmp_path / name)
    with pytest.raises(InputError, match=message):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_a_cut_file_is_refused(ending, tmp_path):
    path, state = tmp_path / f"cut.{ending}", {"a": torch.ones(1000)}
    if ending == "pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="is cut, or is no"):
        read_tensors(path)


# Do they fit the encoder


@pytest.mark.parametrize(
    ("theirs", "own"), [("resnet10t", "resnet14t"), ("resnet14t", "resnet10t")]
)
def test_the_file_of_another_architecture_is_refused_with_the_first_difference(theirs, own):
    state = random_state(theirs)[1]
    shapes = {name: tensor.shape for name, tensor in timm.create_model(own).state_dict().items()}
    needed = [name for name in shapes if name[:2] != "fc" and "num_batches" not in name]
    unfit = [name for name in needed if name not in state or state[name].shape != shapes[name]]
    assert unfit
    with pytest.raises(InputError) as error:
        fit_encoder(own, state, "file.pth")
    message = str(error.value)
    assert message.startswith(f"file.pth: does not fit {own}: {unfit[0]} ")
    assert f"{len(needed) - len(unfit)} of the encoder's {len(needed)} tensors fit" in message
    assert "\n" not in message


def test_a_deeper_network_of_equal_shapes_is_refused():
    """All tensors of a resnet18 are also in a resnet34."""
    state = dict(random_state("resnet18")[1])
    state |= {f"layer1.2.{name}": torch.ones(64) for name in ("bn1.weight", "bn1.bias")}
    with pytest.raises(InputError, match=r"layer1.2.bn1.weight is not part .* nor are 1 more"):
        fit_encoder("resnet18", state, "file.pth")


def test_names_that_nothing_understands_are_refused():
    with pytest.raises(InputError, match=f"does not fit {SMALL}: .* 0 of the encoder's"):
        fit_encoder(SMALL, {"one": torch.ones(3), "two": torch.ones(3)}, "file.pth")


@pytest.mark.parametrize("classes", [None, 4, 1000])
def test_the_last_layer_may_be_missing_or_have_any_size(classes):
    state = random_state(SMALL)[1]
    body = {name: tensor for name, tensor in state.items() if name[:3] != "fc."}
    width = state["fc.weight"].shape[1]
    given = dict(body)
    if classes:
        given |= {"fc.weight": torch.ones(classes, width), "fc.bias": torch.ones(classes)}
    fitted = fit_encoder(SMALL, given, "file.pth")
    assert fitted.keys() == body.keys()
    assert all(torch.equal(fitted[name], body[name]) for name in body)


@pytest.mark.parametrize(("encoder", "part"), [(SMALL, "bn"), (SMALL, "conv"), ("dla34", "bn")])
def test_a_missing_tensor_is_refused_even_if_timm_would_accept_it(encoder, part):
    state = random_state(encoder)[1]
    gone = next(name for name in reversed(state) if part in name and name.endswith("weight"))
    del state[gone]
    with pytest.raises(InputError, match=f"{gone} is missing and should be"):
        fit_encoder(encoder, state, "file.pth")


def test_original_names_are_translated_as_timm_does_it():
    state = random_state("densenet121")[1]
    old = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2")
        .replace("conv1", "conv.1").replace("conv2", "conv.2"): tensor
        for name, tensor in state.items()
    }  # fmt: skip
    assert sum(name not in state for name in old) > 300
    fitted = fit_encoder("densenet121", old, "file.pth")
    assert all(torch.equal(tensor, state[name]) for name, tensor in fitted.items())


# Into networks


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return a function that stores random weights of an encoder; the folder, and the function."""
    folder = tmp_path_factory.mktemp("stored")

    @cache
    def store_state(encoder):
        state = random_state(encoder)[1]
        WeightStore(folder).add(encoder, state, "a test", "MIT")
        return state

    return folder, store_state


@pytest.mark.parametrize(
    ("encoder", "kind", "channels"),
    [
        *(("mobilenetv2_050", kind, channels) for kind in KINDS for channels in (1, 3)),
        *(("resnet18", kind, 1) for kind in KINDS),
        ("legacy_seresnet18", Unet, 1),
    ],
)
def test_each_tensor_of_an_encoder_comes_from_the_file(encoder, kind, channels, stored):
    folder, store_state = stored
    state = store_state(encoder)
    network, source = build_network(kind(encoder=encoder, channels=channels), 4, folder)
    assert "licence MIT" in source
    theirs = {letters(name): tensor for name, tensor in state.items()}
    grey = 0
    for name, tensor in encoder_of(network).state_dict().items():
        if kind is Classifier and tensor.shape[:1] == (4,):
            continue
        expected = theirs[letters(name)].double().numpy()
        if tensor.shape != expected.shape:
            red, green, blue = np.moveaxis(expected, 1, 0)
            expected, grey = (red + green + blue)[:, None], grey + 1
        assert np.allclose(tensor.numpy(), expected, rtol=1e-6), name
    assert grey == (channels == 1)


def test_a_deep_stem_starts_random_and_the_rest_from_a_plain_resnet(stored):
    folder, store_state = stored
    state = store_state("resnet18")
    spec = FPN(encoder="resnet18", channels=3, stem="deep", mish=True, **narrow)
    torch.manual_seed(5)
    network, source = build_network(spec, 4, folder)
    assert source.endswith("licence MIT; the deep stem starts random")
    torch.manual_seed(5)
    untouched, _ = build_network(spec.but(weights="random"), 4)
    own, fresh = encoder_of(network).state_dict(), encoder_of(untouched).state_dict()
    for name, tensor in own.items():
        if name.startswith(("conv1.", "bn1.")):
            assert torch.equal(tensor, fresh[name])
        elif "downsample" in name:  # its first part is a pooling
            block, _, rest = name.partition("downsample.")
            assert torch.equal(tensor, state[f"{block}downsample.{int(rest[0]) - 1}{rest[1:]}"])
        else:
            assert torch.equal(tensor, state[name])
    assert sum("downsample" in name for name in own) == 3 * 6


def test_an_encoder_with_a_deep_stem_of_its_own_is_loaded_whole(stored):
    folder, store_state = stored
    state = store_state("resnet18d")
    spec = Classifier(encoder="resnet18d", stem="deep", channels=1, mish=True)
    network, source = build_network(spec, 4, folder)
    assert source.endswith("licence MIT")
    own = network.body.state_dict()
    assert np.allclose(own["conv1.0.weight"], state["conv1.0.weight"].numpy().sum(1)[:, None])
    assert all(
        torch.equal(own[name], tensor) for name, tensor in state.items()
        if name != "conv1.0.weight" and name[:2] != "fc"
    )  # fmt: skip


def test_settings_that_change_the_encoder_are_refused_not_loaded_in_part(stored):
    """The stem of a resnet10t has other widths than the deep stem of the recipes."""
    folder, store_state = stored
    store_state("resnet10t")
    with pytest.raises(InputError, match="does not fit resnet10t as the recipe sets it"):
        build_network(Classifier(encoder="resnet10t", stem="deep"), 4, folder)


def test_a_network_from_weights_has_the_outputs_of_timm(tmp_path):
    torch.manual_seed(0)
    theirs = timm.create_model("resnet18").eval()
    WeightStore(tmp_path).add("resnet18", theirs.state_dict(), "a test", "MIT")
    ours, _ = build_network(Classifier(encoder="resnet18"), 1000, tmp_path)
    ours.body.fc.load_state_dict(theirs.fc.state_dict())
    grey = torch.rand(2, 1, 64, 96)
    with torch.inference_mode():
        expected = theirs(grey.expand(-1, 3, -1, -1))
        found = ours.eval().body(grey)
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))


# Where timm gets them


def test_weights_of_2019_are_preferred_and_normalised_as_timm_normalises():
    names = {
        "resnet34": "resnet34.tv_in1k",
        "tf_efficientnet_b5": "tf_efficientnet_b5.aa_in1k",
        "tf_efficientnet_b5.ns_jft_in1k": "tf_efficientnet_b5.ns_jft_in1k",
        "mobilenetv2_100": "mobilenetv2_100.ra_in1k",
        "legacy_senet154": "legacy_senet154.in1k",
    }
    for encoder, name in names.items():
        remote = remote_weights(encoder)
        assert remote.name == name
        chosen, own = timm.get_pretrained_cfg(name), timm.get_pretrained_cfg(encoder)
        assert (chosen.mean, chosen.std) == (own.mean, own.std)
        assert remote.licence == chosen.license
        assert remote.hub or remote.url
