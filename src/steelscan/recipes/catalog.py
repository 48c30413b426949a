"""Load recipes by name, from one short file each, or from files of the user."""

import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType

from steelscan.evaluation.tuning import Prior
from steelscan.recipes.files import SUFFIXES, read_recipe, read_source
from steelscan.recipes.spec import Recipe
from steelscan.strip import RecipeError

_NAMES = (
    "first_place",
    "fourteenth_place",
    "fourth_place",
    "ninth_place",
    "quick",
    "seventh_place",
    "seventieth_place",
    "tenth_place",
    "third_place",
    "twelfth_place",
)
_PUBLIC_STRIPS = 1801
_PUBLIC_DEFECTS = (128, 43, 741, 120)
"""Public test strips of the competition with each class, as Heng probed the leaderboard."""


def names() -> list[str]:
    """Return the names of all recipes, sorted."""
    return list(_NAMES)


def load(name: str) -> Recipe:
    """Return the recipe of this name, or that of a file whose name ends in ``.json`` or ``.py``.

    A Python file is executed, and its module-level value ``recipe`` returned. Raises RecipeError if
    there is no such recipe, naming the field or the line that is not valid.
    """
    if _is_file(name):
        return read_recipe(Path(name))
    recipe = _module(name).recipe
    assert isinstance(recipe, Recipe)
    return recipe


def summary(name: str) -> str:
    """Return the first line of a recipe's docstring."""
    return (_module(name).__doc__ or "").partition("\n")[0]


def source(name: str) -> str:
    """Return the source of a recipe, or the text of its file.

    Raises RecipeError if it does not exist.
    """
    if _is_file(name):
        return read_source(Path(name)).decode(errors="replace")
    return inspect.getsource(_module(name))


def public_board() -> tuple[Prior, ...]:
    """Return the class frequencies of the competition's public leaderboard."""
    return tuple(Prior(positives=held / _PUBLIC_STRIPS) for held in _PUBLIC_DEFECTS)


def _is_file(name: str) -> bool:
    return name.endswith(SUFFIXES)


def _module(name: str) -> ModuleType:
    if name not in names():
        found = f"is not a recipe; there are {', '.join(names())}"
        raise RecipeError(name, found, "Use one of them, or a file that ends in .json or .py")
    return import_module(f"steelscan.recipes.{name}")
