"""The base of every setting: a frozen, strict value that goes to JSON and back whole."""

from typing import Any, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from steelscan.strip.errors import RecipeError

T = TypeVar("T")

PerClass: TypeAlias = T | tuple[T, ...]
"""One value for all classes, or one a class in the order of the classes."""


class Spec(BaseModel):
    """A frozen group of settings; unknown names, wrong types and numbers without end are refused.

    Specs of one kind stand in unions told apart by a field named ``kind``.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    def but(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, checked like any new value."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**fields, **changes})


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
