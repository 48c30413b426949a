"""The error tree: one base, listed in its docstring, messages of three parts."""

import pickle

import pytest

from steelscan.strip.errors import Fault, MaskError, SteelscanError
from steelscan.strip.errors import tree as errors

TREE = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SteelscanError)
]


def test_the_docstring_lists_every_error() -> None:
    assert len(TREE) == 11
    assert errors.__doc__ is not None
    for kind in TREE:
        assert kind.__name__ in errors.__doc__


@pytest.mark.parametrize("kind", TREE)
def test_the_message_is_one_line_of_three_parts(kind: type[SteelscanError]) -> None:
    error = kind("train.csv", "is empty", "Name another file")
    assert str(error) == "train.csv: is empty. Name another file."
    assert (error.where, error.problem, error.remedy) == (
        "train.csv",
        "is empty",
        "Name another file",
    )


@pytest.mark.parametrize("kind", TREE)
def test_an_error_can_be_pickled(kind: type[SteelscanError]) -> None:
    error = pickle.loads(pickle.dumps(kind("a", "b", "c")))
    assert type(error) is kind
    assert str(error) == "a: b. c."


@pytest.mark.parametrize("kind", TREE)
def test_an_error_becomes_one_of_another_class(kind: type[SteelscanError]) -> None:
    error = kind("a", "b", "c", Fault.SIZE)
    for fault in (None, Fault.RUNS):
        other = error.as_(MaskError, fault)
        assert type(other) is MaskError
        assert (str(other), other.fault) == (str(error), fault or Fault.SIZE)
