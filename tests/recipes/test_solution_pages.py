"""The pages of the solutions: one per recipe, in one form, with the numbers of the recipe."""

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

import steelscan.recipes
from steelscan.data import RandomCrop, SteelCrop, WholeStrip
from steelscan.losses import single_losses
from steelscan.models import TwoHeaded, encoder_of
from steelscan.prediction import EncoderFittedFor, PowerMean
from steelscan.recipes import Classify
from steelscan.recipes.catalog import load, names

FOLDER = Path(__file__).parents[2] / "docs" / "solutions"
RECIPES = Path(inspect.getfile(steelscan.recipes)).parent
SOLUTIONS = [name for name in names() if name != "quick"]
PAGES = sorted(path.name for path in FOLDER.glob("*.md"))
ROOMS = (
    "strip",
    "postprocess",
    "augment",
    "data",
    "evaluation.metrics",
    "evaluation.tuning",
    "models",
    "losses",
    "training",
    "prediction",
    "decision",
    "recipes",
)
HEADINGS = [
    "The idea",
    "The steps from picture to masks",
    "What is fitted",
    "What it needs",
    "Ours, and where sources disagree",
    "What did not work, and lessons",
    "Sources",
]
FOUND = "What it found here"
"""A section that benchmarks/nine_pages.py writes, once the solution is measured."""
KINDS = {
    "classifier": "classifier",
    "unet": "U-Net",
    "fpn": "FPN",
    "psp": "PSPNet",
    "asymmetric_unet": "asymmetric U-Net",
}
every_solution = pytest.mark.parametrize("name", SOLUTIONS)
every_page = pytest.mark.parametrize("page", PAGES)


class Stage(NamedTuple):
    """A row of a page about a stage of fitting."""

    crops: tuple[str, ...]
    losses: frozenset[str]
    optimizer: str
    rate: float
    schedule: str
    batches: tuple[int, ...]
    epochs: int


def sections(name: str) -> dict[str, str]:
    """Return the text of a solution's page by its headings."""
    _, *parts = re.split(r"^## ", (FOLDER / f"{name}.md").read_text(), flags=re.MULTILINE)
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def rows(text: str, first: str) -> list[list[str]]:
    """Return the cells of the table whose first column has this title, without its head."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {first} |"))
    table = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def quoted(cell: str) -> list[str]:
    """Return the texts in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def crop_text(crop: object) -> str:
    """Return a crop as pages write it."""
    assert isinstance(crop, RandomCrop | SteelCrop | WholeStrip)
    return "whole" if isinstance(crop, WholeStrip) else f"{crop.height}x{crop.width}"


def number_texts(value: object) -> Iterator[str]:
    """Yield the numbers of a step as pages write them; 0 for all classes is no threshold."""
    if isinstance(value, dict):
        yield from chain.from_iterable(map(number_texts, value.values()))
    elif isinstance(value, list | tuple):
        yield ", ".join(f"{each:g}" for each in value)
    elif isinstance(value, int | float) and value:
        yield f"{value:g}"


def contains(text: str, number: str) -> bool:
    """Return whether a text has a number or a list of numbers, not as part of a longer one."""
    return re.search(rf"(?<![\d.])(?<!\d, ){re.escape(number)}(?![\d]|\.\d|, \d)", text) is not None


def test_every_solution_has_a_page_and_every_page_a_solution():
    assert [f"{name}.md" for name in SOLUTIONS] == [page for page in PAGES if page != "index.md"]
    assert "index.md" in PAGES
    assert len(SOLUTIONS) == 9


@every_solution
def test_pages_have_the_same_headings_and_are_short(name):
    text = (FOLDER / f"{name}.md").read_text()
    assert [heading for heading in sections(name) if heading != FOUND] == HEADINGS
    assert re.match(r"# \d+(st|rd|th) place: ", text)
    written = re.sub(r"<!-- found: begin -->.*?<!-- found: end -->\n\n", "", text, flags=re.DOTALL)
    assert FOUND not in written
    assert 60 <= len(written.splitlines()) <= 110
    assert all(part.strip() for part in sections(name).values())


@every_page
def test_lines_fit_except_for_tables_and_addresses(page):
    lines = (FOLDER / page).read_text().splitlines()
    assert not [line for line in lines if len(line) > 100 and not re.match(r"\||- \[.*\]\(h", line)]


@every_page
def test_links_exist(page):
    links = re.findall(r"\]\(([^)]+)\)", (FOLDER / page).read_text())
    inside = [link for link in links if not link.startswith("https://")]
    assert inside
    for link in inside:
        assert (FOLDER / link).is_file(), link
    kaggle = r"https://www\.kaggle\.com/c/severstal-steel-defect-detection/discussion/\d{6}"
    assert all(re.fullmatch(kaggle, link) for link in set(links) - set(inside))


@every_solution
def test_a_page_links_its_recipe_and_the_index_links_both(name):
    index = (FOLDER / "index.md").read_text()
    link = f"[`{name}`](../../src/steelscan/recipes/{name}.py)"
    assert (RECIPES / f"{name}.py").samefile(FOLDER / f"../../src/steelscan/recipes/{name}.py")
    assert link in (FOLDER / f"{name}.md").read_text()
    assert link in index
    assert f"]({name}.md)" in index


@every_page
def test_parts_that_a_page_names_exist(page):
    exported = {name for room in ROOMS for name in import_module(f"steelscan.{room}").__all__}
    found = re.findall(r"`([A-Z]\w*)`", (FOLDER / page).read_text())
    assert set(found) <= exported
    assert found or page == "index.md"


@every_solution
def test_published_scores_are_those_of_the_recipe(name):
    """The recipe's docstring and the page's head have the same scores and sources."""
    pattern = r"0\.\d+|discussion (\d+)|K:(\d+)"
    docstring = re.search(
        r"Published:(.*?)Reproduced", steelscan.recipes.catalog.source(name), re.DOTALL
    )
    head = (FOLDER / f"{name}.md").read_text().partition("## ")[0]
    assert docstring is not None
    of_recipe, of_page = (
        [match[1] or match[2] or match[0] for match in re.finditer(pattern, text)]
        for text in (docstring[1], head)
    )
    assert of_recipe == of_page


@every_solution
def test_steps_are_those_of_the_recipe_with_their_numbers(name):
    recipe = load(name)
    table = rows(sections(name)["The steps from picture to masks"], "step")
    assert [int(number) for number, _, _ in table] == list(range(1, len(recipe.steps) + 1))
    assert [quoted(part) for _, part, _ in table] == [[type(s).__name__] for s in recipe.steps]
    for step, (_, _, text) in zip(recipe.steps, table, strict=True):
        fields = step.model_dump(exclude={"ensemble"})
        assert all(contains(text, number) for number in number_texts(fields)), (fields, text)
        assert ("no label threshold" in text) == (fields.get("label") == 0)
        if step not in recipe.network_steps:
            continue
        count = sum(len(recipe.folds_of(member)) for member in step.ensemble.members)
        assert re.match(rf"{count} (binary )?networks", text)
        average = step.ensemble.average
        assert [part for part in quoted(text) if part.endswith("Mean")] == [type(average).__name__]
        if isinstance(average, PowerMean):
            assert f't = {average.t:g} (form "{average.form}")' in text
        views = re.search(r"views ((?:\w+, )*\w+)", text.replace(";", ",").replace("`", ""))
        names = tuple(views[1].split(", ")) if views else ("identity",)
        assert tuple(view for view in names if view in ("identity", "hflip", "vflip")) == (
            step.ensemble.views
        )


@every_solution
def test_networks_are_those_of_the_recipe_fold_by_fold(name):
    recipe = load(name)
    fitted: Counter[tuple[str, str, int]] = Counter()
    for step in recipe.network_steps:
        for member in step.ensemble.members:
            network = member.network
            kind = KINDS[encoder_of(network).kind]
            kind = f"two heads, {kind}" if isinstance(network, TwoHeaded) else kind
            for fold in recipe.folds_of(member):
                fitted[kind, encoder_of(network).encoder, fold] += 1
    written: Counter[tuple[str, str, int]] = Counter()
    for count, kind, encoder, folds, _ in rows(sections(name)["What is fitted"], "count"):
        each, rest = divmod(int(count), len(folds.split(", ")))
        assert not rest
        for fold in folds.split(", "):
            written[kind, *quoted(encoder), int(fold)] += each
    assert written == fitted


@every_solution
def test_stages_are_those_of_the_recipe(name):
    members = [member for step in load(name).network_steps for member in step.ensemble.members]
    starts = [m.start.stages for m in members if isinstance(m.start, EncoderFittedFor)]
    fitted = {
        Stage(
            crops=tuple(crop_text(each.crop) for each in (stage, *stage.extra_passes)),
            losses=frozenset(type(loss).__name__ for loss in single_losses(stage.loss)),
            optimizer=type(stage.optimizer).__name__,
            rate=stage.optimizer.lr,
            schedule=type(stage.schedule).__name__,
            batches=(
                *(each.batch for each in (stage, *stage.extra_passes)),
                *([stage.accumulate_to] if stage.accumulate_to else []),
            ),
            epochs=stage.epochs,
        )
        for stage in chain(*(member.stages for member in members), *starts)
    }
    written = [
        Stage(
            crops=tuple(crops.split(", ")),
            losses=frozenset(quoted(losses)),
            optimizer=quoted(optimizer)[0],
            rate=float(optimizer.split()[1]),
            schedule=quoted(schedule)[0],
            batches=tuple(map(int, re.findall(r"\d+", batch))),
            epochs=int(epochs),
        )
        for _, crops, losses, optimizer, schedule, batch, epochs in rows(
            sections(name)["What is fitted"], "stage"
        )
    ]
    assert set(written) == fitted
    assert len(written) == len(fitted)


@every_solution
def test_the_number_of_networks_is_that_of_the_recipe(name):
    recipe = load(name)
    steps = [
        (isinstance(step, Classify), sum(len(recipe.folds_of(m)) for m in step.ensemble.members))
        for step in recipe.network_steps
    ]
    total = sum(count for _, count in steps)
    found = re.match(r"\s*(\d+) networks: ([^.;]*)[.;]", sections(name)["What it needs"])
    assert found is not None
    assert int(found[1]) == total
    parts = [int(number) for number in re.findall(r"(\d+) that", found[2])]
    assert parts == ([count for _, count in steps] if parts else [])
    assert bool(parts) == (len(steps) > 1)
    row = next(
        cells for cells in rows((FOLDER / "index.md").read_text(), "place") if name in cells[0]
    )
    assert int(row[2]) == total


@every_solution
def test_pseudo_labels_are_those_of_the_recipe(name):
    labels = load(name).pseudo_labels
    text = " ".join(sections(name)["What is fitted"].split())
    found = re.search(r"Pseudo-labels: (\d+) rounds? of `(\w+)`", text)
    if labels is None:
        assert found is None
        assert "There are no pseudo-labels" in text
        return
    assert found is not None
    assert (int(found[1]), found[2]) == (labels.rounds, type(labels.rule).__name__)
    rest = text[found.start() :]
    if all(not isinstance(value, tuple) for value in dict(labels.rule).values()):
        assert all(contains(rest, number) for number in number_texts(labels.rule.model_dump()))
    together = 'predicted_by "all"' in " ".join(sections(name)[HEADINGS[4]].split())
    assert together == (labels.predicted_by == "all")


@every_solution
def test_the_number_of_fits_is_that_of_all_rounds(name):
    """A network with pseudo-labels in any stage is fitted once more per round."""
    recipe = load(name)
    found = re.search(
        r"(\d+) of them trains? on pseudo-labels and (?:is|are) fitted .*?: (\d+) fits in all",
        " ".join(sections(name)["What it needs"].split()),
    )
    if recipe.pseudo_labels is None:
        assert found is None
        return
    counts = Counter(
        any(stage.pseudo != 0 for stage in member.stages)
        for step in recipe.network_steps
        for member in step.ensemble.members
        for _ in recipe.folds_of(member)
    )
    assert found is not None
    assert int(found[1]) == counts[True]
    assert int(found[2]) == counts.total() + counts[True] * recipe.pseudo_labels.rounds
