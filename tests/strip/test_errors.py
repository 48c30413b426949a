"""The error tree: one base, drawn in its docstring, messages of three pieces."""

import pickle

import pytest

from steelscan.strip import SteelscanError, errors

TREE = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SteelscanError)
]


def test_the_docstring_draws_every_error() -> None:
    assert len(TREE) == 11
    assert errors.__doc__ is not None
    for kind in TREE:
        assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", TREE)
def test_message_is_one_line_of_three_pieces(kind: type[SteelscanError]) -> None:
    error = kind("train.csv", "is empty", "Name another file")
    assert str(error) == "train.csv: is empty. Name another file."
    assert (error.where, error.found, error.remedy) == (
        "train.csv",
        "is empty",
        "Name another file",
    )


@pytest.mark.parametrize("kind", TREE)
def test_survives_the_way_back_from_a_worker(kind: type[SteelscanError]) -> None:
    error = pickle.loads(pickle.dumps(kind("a", "b", "c")))
    assert type(error) is kind
    assert str(error) == "a: b. c."
