"""Unreasonable numbers are refused with a message of one line that names their place."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from steelscan import recipes
from steelscan.strip.errors import RecipeError


def put(document: Any, name: str, number: object) -> int:
    """Set all fields of a name and return how many there were."""
    count = 0
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        if key == name:
            document[key], count = number, count + 1
        elif isinstance(value, dict | list):
            count += put(value, name, number)
    return count


@pytest.mark.parametrize("number", [10**9, 10**15, 10**400, 0])
@pytest.mark.parametrize(
    "name", ["epochs", "batch", "samples", "pyramid_channels", "validate_every", "count"]
)
def test_an_unreasonable_count_is_one_line(tmp_path: Path, name: str, number: int) -> None:
    document = json.loads(recipes.load("quick").model_dump_json())
    assert put(document, name, number)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document))
    with pytest.raises(RecipeError, match=rf"mine\.json, .*{name}: Input should be") as caught:
        recipes.load(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_with_many_digits_is_one_line(tmp_path: Path, digits: int) -> None:
    text = recipes.load("quick").model_dump_json()
    path = tmp_path / "mine.json"
    path.write_text(re.sub(r'("pixels":)\d+', rf"\g<1>{'9' * digits}", text))
    with pytest.raises(RecipeError, match=r"mine\.json") as caught:
        recipes.load(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
