"""Every recipe: its headings, its length, JSON and back, and that reading it needs no torch."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import steelscan.recipes
from steelscan.models import encoder_of
from steelscan.prediction import EncoderFittedFor
from steelscan.recipes import Recipe, with_random_weights
from steelscan.recipes.catalog import load, names, source, summary
from steelscan.strip.errors import RecipeError

FOLDER = Path(inspect.getfile(steelscan.recipes)).parent
FILES = sorted(path for path in FOLDER.glob("*.py") if "\nrecipe = " in path.read_text())
GREY = ("fourth_place", "quick")
HEADINGS = ["Run", "Published", "Reproduced", "Costs", "Ours"]
every_recipe = pytest.mark.parametrize("name", names())


def test_the_recipes_are_the_files_of_their_folder():
    assert names() == [path.stem for path in FILES]
    assert len(names()) == 10  # the nine solutions, and ours


@every_recipe
def test_a_recipe_opens_with_its_headings(name):
    lines = source(name).split('"""')[1].splitlines()
    assert re.fullmatch(r"\w+( place)?: .*\.", lines[0])
    assert summary(name) == lines[0]
    headings = [line.partition(":")[0] for line in lines if re.match(r"[A-Z]\w+: +\S", line)]
    assert headings == HEADINGS
    ours = lines[lines.index(next(line for line in lines if line.startswith("Ours:"))) + 1 :]
    assert all(re.match(r" {12}(- [A-Z]|  )", line) for line in ours)  # a list of sentences
    assert not ours or ours[-1].endswith(".")
    run = next(line for line in lines if line.startswith("Run:"))
    assert run.split(maxsplit=1)[1] == f"steelscan train {name} --data DIR --out RUN"


@every_recipe
def test_a_recipe_is_short_enough_to_read(name):
    text = (FOLDER / f"{name}.py").read_text()
    assert source(name) == text
    lines = text.splitlines()
    assert len(lines) < 100
    assert max(map(len, lines)) <= 100


@every_recipe
def test_brightness_is_a_share_of_the_mean_in_the_solutions_as_in_2019(name):
    """albumentations 0.3.3; ours, quick, changes it by a share of white."""
    shares = set(re.findall(r'"brightness_of":"(\w+)"', load(name).model_dump_json()))
    without = {"fourth_place", "seventh_place"}
    assert shares == ({"white"} if name == "quick" else set() if name in without else {"mean"})


@every_recipe
def test_a_recipe_is_read_without_opening_another(name):
    """No imports from other recipes, at most one changed copy, guessed values marked."""
    text = source(name)
    others = "|".join(each for each in names() if each != name)
    assert not re.search(rf"import.*\b({others})\b|from.*\b({others})\b.*import", text)
    assert text.count(".but(") <= 1
    assert name == "quick" or "  # ours" in text


@every_recipe
def test_a_recipe_goes_to_json_and_back(name, tmp_path):
    recipe = load(name)
    assert recipe.name == name
    path = tmp_path / "mine.json"
    for indent in (None, 2):
        path.write_text(recipe.model_dump_json(indent=indent))
        assert load(str(path)) == recipe
    assert json.loads(path.read_text())["steps"][0]["kind"] == recipe.steps[0].kind


@every_recipe
def test_a_recipe_states_how_many_networks_it_fits(name):
    recipe = load(name)
    members = [member for step in recipe.network_steps for member in step.ensemble.members]
    networks = sum(len(recipe.folds_of(member)) for member in members)
    costs = next(line for line in source(name).splitlines() if line.startswith("Costs:"))
    assert int(costs.split()[1]) == networks


@every_recipe
def test_a_recipe_states_the_channels_of_its_networks(name):
    """One grey channel in the 4th (K:114716) and in ours, three equal ones in the others."""
    members = [member for step in load(name).network_steps for member in step.ensemble.members]
    starts = [member.start for member in members if isinstance(member.start, EncoderFittedFor)]
    encoders = [encoder_of(each.network) for each in (*members, *starts)]
    assert all("channels" in each.model_fields_set for each in encoders)
    assert {each.channels for each in encoders} == {1 if name in GREY else 3}


@every_recipe
def test_numbers_of_a_solution_are_for_its_four_classes(name):
    """Every per-class setting has four values, or one for all; quick is for any data."""
    text = load(name).model_dump_json()
    keys = "pos_weight|label|pixel|pixels|min_probability|dilation|top|threshold"
    lists = re.findall(rf'"(?:{keys})":\[([^]]*)', text)
    assert all(len(found.split(",")) == 4 for found in lists)
    assert not lists or name != "quick"


@every_recipe
def test_a_recipe_without_weights_is_the_same_otherwise(name):
    recipe = load(name)
    text = recipe.model_dump_json()
    assert '"weights":"imagenet"' in text
    bare = with_random_weights(recipe)
    expected = text.replace('"weights":"imagenet"', '"weights":"random"')
    assert bare.model_dump_json() == expected
    assert load(name) == recipe  # the recipe itself has not changed


def test_every_recipe_is_read_where_torch_cannot_be_imported(tmp_path):
    for name in names():
        (tmp_path / f"{name}.json").write_text(load(name).model_dump_json())
    script = f"""
import sys
from pathlib import Path
for blocked in ("torch", "albumentations", "timm", "segmentation_models_pytorch", "accelerate",
                "zarr", "safetensors"):
    sys.modules[blocked] = None
from steelscan.recipes import load, names, summary
for name in names():
    recipe = load(name)
    assert load(str(Path({str(tmp_path)!r}, name + ".json"))) == recipe, name
    assert summary(name)
    print(name, recipe.but(name="mine").model_dump_json()[:14])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f'{name} {{"name":"mine"' for name in names()]


@pytest.mark.parametrize("name", ["qiuck", "", "__init__", "quick.txt", "steelscan.recipes.quick"])
def test_a_wrong_name_is_refused_with_the_names_there_are(name):
    for read in (load, source, summary):
        with pytest.raises(RecipeError, match=r"there are .*quick"):
            read(name)


def changed(name, way, value):
    """Return the JSON of a recipe with one field changed; ``way`` are the keys down to it."""
    document = json.loads(load(name).model_dump_json())
    inside = document
    for key in way[:-1]:
        inside = inside[key]
    inside[way[-1]] = value
    return json.dumps(document)


STAGE = ("steps", 1, "ensemble", "members", 0, "stages", 0)


@pytest.mark.parametrize(
    ("way", "value", "field"),
    [
        (("colour",), 1, "colour"),
        (("name",), 5, "name"),
        (("steps", 0, "kind"), "guess", "steps.0"),
        ((*STAGE, "epochs"), 0, "epochs"),
        ((*STAGE, "epochs"), "12", "epochs"),
        ((*STAGE, "epochs"), 12.5, "epochs"),
        ((*STAGE, "optimizer", "momentum"), 0.9, "optimizer.adamw.momentum"),
        ((*STAGE, "loss", "parts", 1, 1, "smooth"), -1, "loss.mix.parts.1.1.dice.smooth"),
        (("steps", 2, "pixel"), 1.5, "steps.2.threshold.pixel"),
        (("steps", 2, "pixel"), None, "steps.2.threshold.pixel"),
        (("folds", "count"), "ten", "folds.stratified.count"),
    ],
)
def test_an_invalid_field_is_named(tmp_path, way, value, field):
    path = tmp_path / "mine.json"
    path.write_text(changed("quick", way, value))
    with pytest.raises(RecipeError, match=rf"mine\.json, \S*{re.escape(field)}") as caught:
        load(str(path))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("key", ["name", "steps", "folds"])
def test_a_missing_field_is_named(tmp_path, key):
    document = json.loads(load("quick").model_dump_json())
    del document[key]
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document))
    with pytest.raises(RecipeError, match=rf"mine\.json, {key}: Field required"):
        load(str(path))


@pytest.mark.parametrize("content", [b"", b"{", b'{"name": ', b"[]", b"null", b"\xff\xfe", b"NaN"])
def test_a_file_without_a_recipe_is_refused(tmp_path, content):
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"mine\.json, recipe: "):
        load(str(path))


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="cannot be read"):
        load(str(tmp_path / "none.json"))
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(RecipeError, match="cannot be read"):
        load(str(tmp_path / "folder.json"))


def test_an_edited_field_is_used_and_no_other_changes(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(changed("quick", ("steps", 2, "pixel"), [0.3, 0.4]))
    recipe = load(str(path))
    assert isinstance(recipe, Recipe)
    assert recipe.rules[0].pixel == (0.3, 0.4)
    assert recipe.rules[0].label == load("quick").rules[0].label
