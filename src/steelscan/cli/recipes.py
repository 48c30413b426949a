"""Verbs about recipes: list and show."""

from typing import Annotated

import typer

from steelscan.cli.app import app


@app.command(name="list", epilog="Example: steelscan list")
def list_recipes() -> None:
    """List the recipes."""
    from steelscan import recipes

    for name in recipes.names():
        print(f"{name:<20} {recipes.summary(name)}")


@app.command(epilog="Example: steelscan show quick --json > mine.json")
def show(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a JSON or Python file.")],
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, which you can edit and train.")
    ] = False,
) -> None:
    """Show a recipe: its source, or its values as JSON."""
    from steelscan import recipes

    if json or recipe.endswith(".json"):
        print(recipes.load(recipe).model_dump_json(indent=2))
    else:
        print(recipes.source(recipe))
