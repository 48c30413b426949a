"""Recipes in Python files of the user."""

import re

import pytest

from steelscan.recipes import load, names, source
from steelscan.strip.errors import RecipeError

CHANGED = """
from steelscan import recipes

whole = recipes.load("quick")
recipe = whole.but(name="mine", budget="small")
"""


@pytest.mark.parametrize("name", names())
def test_the_text_of_a_recipe_is_a_recipe_file(name, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(source(name))
    assert load(str(path)) == load(name)
    assert source(str(path)) == path.read_text()


def test_a_file_is_executed_anew_and_nothing_is_written_next_to_it(tmp_path):
    path = tmp_path / "first_place.py"
    for name in ("one", "two"):
        path.write_text(CHANGED.replace("mine", name))
        assert load(str(path)).name == name
        assert load(str(path)) == load("quick").but(name=name, budget="small")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("x = 1\nrecipe = missing\n", 2, "raised NameError: name 'missing' is not defined"),
        ("x = 1\n\nrecipe = (\n", 3, "raised SyntaxError: '(' was never closed"),
        ("def f():\n    return 1 / 0\n\nf()\n", 2, "raised ZeroDivisionError: division by zero"),
        ("import steelscan.nothing\n", 1, "raised ModuleNotFoundError"),
        ("raise SystemExit(0)\n", 1, "raised SystemExit: 0"),
        ("raise ValueError('a\\nb')\n", 1, "raised ValueError: a. Correct"),
        (CHANGED + "recipe = whole.but(budget='huge')\n", 6, "raised an error of Recipe: budget: "),
        (CHANGED + "recipe = whole.but(steps=())\n", 6, "an error of Recipe: the steps end with"),
        (CHANGED + "recipes.load('nothing')\n", 6, "raised RecipeError: nothing: is not a recipe"),
        ("def f():\n    f()\nf()\n", 2, "raised RecursionError"),
        ("recipe = '\0'\n", 1, "raised "),
    ],
)
def test_an_error_in_a_file_is_one_line_with_its_place(tmp_path, text, line, problem):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(RecipeError, match=re.escape(problem)) as caught:
        load(str(path))
    assert caught.value.where == f"{path}:{line}"
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has no value named recipe"),
        ("recipes = 1\n", "has no value named recipe"),
        ("recipe = {'name': 'mine'}\n", "has a value of type dict named recipe"),
        (
            "from steelscan.recipes import Recipe as recipe\n",
            "of type ModelMetaclass named recipe",
        ),
        (
            CHANGED + "class Mine(type(recipe)):\n    pass\nrecipe = Mine.model_validate("
            "dict(recipe))\n",
            "has a recipe with classes of its own, which a run cannot record",
        ),
    ],
)
def test_a_file_without_a_recipe_is_one_error(tmp_path, text, problem):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(RecipeError, match=problem) as caught:
        load(str(path))
    assert caught.value.where == str(path)


def test_a_missing_file_or_a_folder_is_one_error(tmp_path):
    (tmp_path / "folder.py").mkdir()
    for name in ("none.py", "folder.py"):
        for read in (load, source):
            with pytest.raises(RecipeError, match=r"cannot be read .* steelscan show quick > mine"):
                read(str(tmp_path / name))
