"""Networks and half-done fits on disk: they are read as written, and never half-written."""

from math import inf

import pytest
import torch
from safetensors import safe_open
from torch import nn

from steelscan.strip.errors import OutputError, RunError
from steelscan.training import SGD, AdamW, load_network
from steelscan.training.checkpoint import load_state, save_network, save_state
from steelscan.training.optimizers import build_optimizer

OPTIMIZERS = [AdamW(lr=0.1), SGD(lr=0.1), SGD(lr=0.1, momentum=0.0, weight_decay=0.1)]


def network(seed=0, wide=4):
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(1, wide, 3), nn.BatchNorm2d(wide), nn.Conv2d(wide, 2, 1))
    return layers.to(memory_format=torch.channels_last)


def step(layers, optimizer, seed=0):
    torch.manual_seed(seed)
    layers(torch.randn(2, 1, 6, 6)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def equal(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(left, right) for (a, left), (b, right) in pairs)


def test_a_network_is_read_as_written(tmp_path):
    layers, other = network(), network(1)
    step(layers, build_optimizer(SGD(lr=0.1), layers))  # its batch norm has counted
    path = tmp_path / "deep" / "net.safetensors"
    save_network(path, layers)
    assert not equal(layers, other)
    load_network(path, other)
    assert equal(layers, other)
    assert other[0].weight.is_contiguous(memory_format=torch.channels_last)
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(layers.state_dict())


@pytest.mark.parametrize("spec", OPTIMIZERS)
def test_a_resumed_fit_is_the_same_as_an_uninterrupted_one(tmp_path, spec):
    layers = network()
    optimizer = build_optimizer(spec, layers)
    for number in range(3):
        step(layers, optimizer, number)
    optimizer.param_groups[1]["lr"] = 0.037
    progress = {"epoch": 2, "best": -inf, "metrics": [{"loss": 1 / 3, "score": 1e-17}]}
    average = {"weight": torch.arange(3.0)}
    save_state(tmp_path / "state", layers, optimizer, average, progress)

    other = network(1)
    found, state, averaged = load_state(tmp_path / "state", other)
    assert found == progress
    assert averaged.keys() == average.keys()
    assert torch.equal(averaged["weight"], average["weight"])
    again = build_optimizer(spec, other)
    again.load_state_dict(state)
    assert equal(layers, other)
    assert [group["lr"] for group in again.param_groups] == [0.1, 0.037]
    for number in range(3, 6):
        step(layers, optimizer, number)
        step(other, again, number)
    assert equal(layers, other)


def test_a_fit_that_has_not_stepped_is_saved_too(tmp_path):
    layers = network()
    optimizer = build_optimizer(AdamW(lr=0.1), layers)
    save_state(tmp_path / "state", layers, optimizer, {}, None)
    found, state, _ = load_state(tmp_path / "state", network(1))
    assert found is None
    assert not state["state"]


def test_the_same_state_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        layers = network()
        optimizer = build_optimizer(AdamW(lr=0.1), layers)
        step(layers, optimizer)
        save_state(tmp_path / name, layers, optimizer, {}, {"epoch": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("content", [None, b"", b"no tensors at all", "cut", "other"])
def test_a_file_that_does_not_hold_the_network_is_refused(tmp_path, content):
    path = tmp_path / "net.safetensors"
    if content == "other":
        save_network(path, network(wide=5))
    elif content == "cut":
        save_network(path, network())
        path.write_bytes(path.read_bytes()[:-10])
    elif content is not None:
        path.write_bytes(content)
    layers = network()
    with pytest.raises(RunError, match=r"net\.safetensors: does not hold this network"):
        load_network(path, layers)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    save_network(path, network())
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("steelscan.strip.files.output.os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save_network(path, network(1))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        save_network(tmp_path / "file" / "net.safetensors", network())


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_of_a_weight_is_refused(tmp_path):
    layers, path = network(), tmp_path / "net.safetensors"
    save_network(path, layers)
    flip_a_bit(path)
    with pytest.raises(RunError, match=r"content does not match its checksum.*Remove it and run"):
        load_network(path, layers)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no tensors at all"),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: save_network(path, network()),
        lambda path: save_state(
            path, network(wide=5), build_optimizer(SGD(lr=1), network()), {}, 1
        ),
        flip_a_bit,
    ],
)
def test_a_damaged_half_done_fit_is_refused(tmp_path, damage):
    layers, path = network(), tmp_path / "last" / "state.safetensors"
    save_state(path, layers, build_optimizer(SGD(lr=0.1), layers), {}, {"epoch": 1})
    damage(path)
    with pytest.raises(
        RunError, match=f"is not a half-done fit of this network .*Remove {path.parent}"
    ):
        load_state(path, network())
