"""The base of all settings: frozen, strict values with a lossless JSON form."""

from collections.abc import Iterator
from typing import Annotated, Any, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from steelscan.strip.errors import RecipeError

T = TypeVar("T")

_LARGEST = 2**63 - 1

Share = Annotated[float, Field(ge=0, le=1)]
"""A share or a probability, from 0 to 1."""

ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]
"""A share from 0 on that is not all."""

PerClass: TypeAlias = T | tuple[T, ...]
"""One value for all classes, or one per class in the order of the classes."""


class Spec(BaseModel):
    """Frozen settings that refuse unknown names, wrong types, infinities and NaN.

    Unions of specs are discriminated by a field named ``kind``.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="after")
    def _whole_numbers_fit_64_bits(self) -> Self:
        for name in type(self).model_fields:
            if any(abs(number) > _LARGEST for number in _whole(getattr(self, name))):
                raise ValueError(f"{name} has a number beyond 64 bits")
        return self

    def but(self, **changes: Any) -> Self:
        """Return a validated copy with some fields changed."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**fields, **changes})


def _whole(value: Any) -> Iterator[int]:
    """Yield the integers of a field, including those in tuples."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, tuple):
        for each in value:
            yield from _whole(each)


def per_class(value: PerClass[T], classes: int, field: str) -> tuple[T, ...]:
    """Return a per-class setting as one value for each of ``classes`` classes.

    Raises RecipeError if a tuple has another length.
    """
    if not isinstance(value, tuple):
        return (value,) * classes
    if len(value) != classes:
        raise RecipeError(
            field,
            f"holds {len(value)} values, the data set has {classes} classes",
            "Give one value for all classes, or one per class",
        )
    return value
