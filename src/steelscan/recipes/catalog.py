"""Load recipes by name, from one short file each, or from JSON files."""

import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError

from steelscan.evaluation.tuning import Prior
from steelscan.recipes.spec import Recipe
from steelscan.strip.errors import RecipeError

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
    """Return the recipe of this name, or the one in a file whose name ends in ``.json``.

    Raises RecipeError if it does not exist, or names the field that is not valid.
    """
    if name.endswith(".json"):
        return _read(Path(name))
    recipe = _module(name).recipe
    assert isinstance(recipe, Recipe)
    return recipe


def summary(name: str) -> str:
    """Return the first line of a recipe's docstring."""
    return (_module(name).__doc__ or "").partition("\n")[0]


def source(name: str) -> str:
    """Return the Python source of a recipe. Raises RecipeError if it does not exist."""
    return inspect.getsource(_module(name))


def public_board() -> tuple[Prior, ...]:
    """Return the class frequencies of the competition's public leaderboard."""
    return tuple(Prior(positives=held / _PUBLIC_STRIPS) for held in _PUBLIC_DEFECTS)


def _module(name: str) -> ModuleType:
    if name not in names():
        found = f"is not a recipe; there are {', '.join(names())}"
        raise RecipeError(name, found, "Use one of them, or a file that ends in .json")
    return import_module(f"steelscan.recipes.{name}")


def _read(path: Path) -> Recipe:
    if path.exists() and not path.is_file():
        found = "cannot be read (it is a folder, a pipe or a device)"
        raise RecipeError(path, found, "Make one with: steelscan show quick --json")
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
        raise RecipeError(path, found, "Make one with: steelscan show quick --json") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "recipe"
        raise RecipeError(f"{path}, {field}", first["msg"], "Correct the field") from None
