"""The base of every setting: a frozen, strict value that goes to JSON and back whole."""

from collections.abc import Iterator
from typing import Annotated, Any, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from steelscan.strip.errors import RecipeError

T = TypeVar("T")

_LARGEST = 2**63 - 1

Count = Annotated[int, Field(gt=0, le=10_000_000)]
"""How often something is done, or of how much at once; above that, somebody mistyped."""

PerClass: TypeAlias = T | tuple[T, ...]
"""One value for all classes, or one a class in the order of the classes."""


class Spec(BaseModel):
    """A frozen group of settings; unknown names, wrong types and numbers without end are refused.

    Specs of one kind stand in unions told apart by a field named ``kind``.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="after")
    def _whole_numbers_fit_64_bits(self) -> Self:
        for name in type(self).model_fields:
            if any(abs(number) > _LARGEST for number in _whole(getattr(self, name))):
                raise ValueError(f"{name} holds a number beyond 64 bits")
        return self

    def but(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like any new value."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**fields, **changes})


def _whole(value: Any) -> Iterator[int]:
    """The whole numbers of a field, those in tuples too."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _whole(each)


def per_class(value: PerClass[T], classes: int, field: str) -> tuple[T, ...]:
    """Spread a per-class setting over ``classes`` classes.

    Raises RecipeError when a tuple has another length than there are classes.
    """
    if not isinstance(value, tuple):
        return (value,) * classes
    if len(value) != classes:
        raise RecipeError(
            field,
            f"holds {len(value)} values, the data set has {classes} classes",
            "Give one value for all classes, or one a class",
        )
    return value
