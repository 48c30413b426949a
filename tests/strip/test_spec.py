"""Specs: strict, frozen, lossless in JSON; classes and per-class values."""

from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field, TypeAdapter, ValidationError

from steelscan.strip import Classes, Frame, PerClass, Spec, check_masks, per_class
from steelscan.strip.errors import InputError, MaskError, RecipeError


class Round(Spec):
    kind: Literal["round"] = "round"
    radius: float = 1.0


class Square(Spec):
    kind: Literal["square"] = "square"
    sides: tuple[int, ...] = (2, 2)


class Drawing(Spec):
    shapes: tuple[Annotated[Round | Square, Field(discriminator="kind")], ...] = ()
    size: PerClass[int] = 3
    label: str | None = None


DRAWING = Drawing(shapes=(Round(radius=2), Square(sides=(1, 4)), Round()), size=(1, 2, 3))


def test_json_round_trip_is_lossless() -> None:
    assert Drawing.model_validate_json(DRAWING.model_dump_json()) == DRAWING
    assert Drawing.model_validate_json(DRAWING.model_dump_json(indent=2)) == DRAWING
    shapes = TypeAdapter(tuple[Round | Square, ...])
    assert shapes.validate_json(shapes.dump_json(DRAWING.shapes)) == DRAWING.shapes


@pytest.mark.parametrize(
    "wrong",
    [
        {"radius": "2"},
        {"radius": True},
        {"radios": 2.0},
        {"kind": "square"},
        {"radius": float("nan")},
        {"radius": float("inf")},
    ],
)
def test_strict(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Round(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_infinities_and_nan_are_refused_in_json(number: str) -> None:
    with pytest.raises(ValidationError):
        Round.model_validate_json(f'{{"radius": {number}}}')


def test_frozen_and_hashable() -> None:
    with pytest.raises(ValidationError):
        DRAWING.label = "x"  # type: ignore[misc]
    assert hash(DRAWING) == hash(DRAWING.but())


def test_but_changes_a_checked_copy() -> None:
    changed = DRAWING.but(label="mine")
    assert (changed.label, DRAWING.label) == ("mine", None)
    assert changed.shapes == DRAWING.shapes
    for wrong in ({"lable": "mine"}, {"label": 1}):
        with pytest.raises(ValidationError):
            DRAWING.but(**wrong)


def test_per_class() -> None:
    assert per_class(3, 2, "size") == (3, 3)
    assert per_class((1, 2), 2, "size") == (1, 2)
    with pytest.raises(RecipeError, match="size: holds 2 values, the data set has 3 classes"):
        per_class((1, 2), 3, "size")


def test_classes() -> None:
    classes = Classes(names=("scratch", "hole"))
    assert (len(classes), list(classes.ids)) == (2, [1, 2])
    for names in ((), ("a", "a"), ("a", "")):
        with pytest.raises(ValidationError):
            Classes(names=names)


def test_frame() -> None:
    frame = Frame(2, 3)
    assert (frame.pixels, str(frame)) == (6, "2x3")
    assert np.zeros(frame).shape == frame
    assert Frame.parse("2X3") == Frame.parse(str(frame)) == frame
    for wrong in ("2", "2x", "0x3", "2x3x4", "-2x3", "2 x 3", "99999999x1", "9999999x9999999"):
        with pytest.raises(InputError, match="frame: "):
            Frame.parse(wrong)
    with pytest.raises(MaskError, match="needs 144 masks"):
        Frame(178_956_970, 1).empty_masks(24 * 6, "here")


@pytest.mark.parametrize(
    "masks",
    [np.zeros((1, 2, 3), np.uint8), np.zeros((2, 2, 3), bool), np.zeros((1, 3, 2), bool)],
)
def test_check_masks_refuses_others(masks: np.ndarray) -> None:
    check_masks(np.zeros((1, 2, 3), np.bool_), 1, Frame(2, 3), "here")
    with pytest.raises(MaskError, match=r"here: masks are .*the strip needs bool \(1, 2, 3\)"):
        check_masks(masks, 1, Frame(2, 3), "here")
