"""Recipes in files of the user: JSON, or Python with a module-level value ``recipe``."""

from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from pydantic import ValidationError

from steelscan.recipes.spec import Recipe
from steelscan.strip.errors import RecipeError

SUFFIXES = (".json", ".py")
"""Endings of recipe files."""


def read_recipe(path: Path) -> Recipe:
    """Return the recipe of a file; one that ends in ``.py`` is executed.

    Raises RecipeError if the file cannot be read, naming the field that is not valid or the line
    that raised an error, or if it defines no recipe.
    """
    content = read_source(path)
    return _from_python(path, content) if path.name.endswith(".py") else _from_json(path, content)


def read_source(path: Path) -> bytes:
    """Return the content of a recipe file. Raises RecipeError if it cannot be read."""
    if path.exists() and not path.is_file():
        found = "cannot be read (it is a folder, a pipe or a device)"
        raise RecipeError(path, found, _remedy(path))
    try:
        return path.read_bytes()
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
        raise RecipeError(path, found, _remedy(path)) from None


def reason_of(error: ValidationError) -> tuple[str, str]:
    """Return the first invalid field, "" for the whole, and what is wrong with it."""
    first = error.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")


def _from_json(path: Path, content: bytes) -> Recipe:
    try:
        return Recipe.model_validate_json(content)
    except ValidationError as error:
        field, reason = reason_of(error)
        raise RecipeError(f"{path}, {field or 'recipe'}", reason, "Correct the field") from None


def _from_python(path: Path, content: bytes) -> Recipe:
    """Execute a Python file and return its ``recipe``.

    The file is executed from ``content``, not imported: nothing is written next to it, and what is
    recorded in a run is what was executed.
    """
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        where = f"{path}:{_line_of(error, path)}"
        raise RecipeError(where, f"raised {_text_of(error)}", "Correct the file") from None
    recipe = module.__dict__.get("recipe")
    if not isinstance(recipe, Recipe):
        kind = "has no value" if recipe is None else f"has a value of type {type(recipe).__name__}"
        found = f"{kind} named recipe, which must be a steelscan.recipes.Recipe"
        raise RecipeError(path, found, _remedy(path))
    if not _survives_json(recipe):
        found = "has a recipe with classes of its own, which a run cannot record"
        raise RecipeError(path, found, "Use the classes of steelscan")
    return recipe


def _survives_json(recipe: Recipe) -> bool:
    try:
        return Recipe.model_validate_json(recipe.model_dump_json(warnings=False)) == recipe
    except ValidationError:
        return False


def _remedy(path: Path) -> str:
    made = "quick > mine.py" if path.name.endswith(".py") else "quick --json > mine.json"
    return f"Make one with: steelscan show {made}"


def _line_of(error: BaseException, path: Path) -> int:
    """Return the line of a file that raised an error: the innermost one of that file."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 1
    frames = [each for each in extract_tb(error.__traceback__) if each.filename == str(path)]
    return (frames[-1].lineno if frames else None) or 1


def _text_of(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        field, reason = reason_of(error)
        return f"an error of {error.title}: {f'{field}: ' if field else ''}{reason}"
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg}"
    reason = str(error).partition("\n")[0].rstrip(".")
    return type(error).__name__ + (f": {reason}" if reason else "")
