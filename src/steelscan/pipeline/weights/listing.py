"""The list of encoders that recipes start from ImageNet, and where their weights are."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from steelscan.models import (
    NOT_STATED,
    WeightStore,
    check_encoder,
    encoder_bytes,
    find_weights,
    package_of,
    remote_weights,
)
from steelscan.pages import plain_table
from steelscan.pipeline.weights.wanted import fetch_command
from steelscan.recipes import load, names, wanted_encoders, with_budget
from steelscan.strip.errors import InputError


class WeightsRow(BaseModel, frozen=True):
    """An encoder that recipes start from ImageNet, and its weights.

    ``budgets`` are those of the recipes that use it. ``here`` is where its weights are: in the
    store, in a package, damaged, or not on this machine; then ``source`` is where to get them.
    ``size`` is in bytes, for weights that are not here from the number of parameters.
    """

    encoder: str
    recipes: tuple[str, ...]
    budgets: tuple[str, ...]
    here: Literal["store", "package", "damaged", "no"]
    source: str
    licence: str
    size: int
    path: Path | None = None


class WeightsList(BaseModel, frozen=True):
    """The encoders of recipes, and the folder of the store."""

    store: Path
    rows: tuple[WeightsRow, ...]

    def table(self) -> str:
        """Return the list as text; its last lines have the command that gets the missing ones."""
        head = ("encoder", "budget", "here", "MB", "licence", "source", "recipes")
        cells = [
            (
                row.encoder,
                ", ".join(row.budgets),
                row.here,
                f"{row.size / 1e6:.0f}",
                row.licence,
                row.source,
                ", ".join(row.recipes),
            )
            for row in self.rows
        ]
        lines = [plain_table([head, *cells]), "", f"Store: {self.store}"]
        for budget in ("full", "small"):
            needed = [row for row in self.rows if budget in row.budgets]
            missing = [row.encoder for row in needed if row.here in ("no", "damaged")]
            if missing:
                count = f"{len(missing)} of {len(needed)} are missing"
                lines += [f"Budget {budget}: {count}. Get them with: {self._command(missing)}"]
        if any(row.here == "no" for row in self.rows):
            lines += ["Without a network: steelscan weights add ENCODER FILE"]
        return "\n".join(lines)

    def _command(self, missing: Sequence[str]) -> str:
        return fetch_command(missing, None if self.store == WeightStore.at().folder else self.store)


def list_weights(recipe: str | None, folder: Path | None) -> WeightsList:
    """Return the encoders of one recipe or of all, at the budgets full and small."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for name in names() if recipe is None else [recipe]:
        chosen = load(name)
        for budget in ("full", "small"):
            for encoder in wanted_encoders(with_budget(chosen, budget)):
                recipes, budgets = found.setdefault(encoder, ({}, {}))
                recipes[chosen.name] = budgets[budget] = None
    rows = [
        _row(encoder, tuple(recipes), tuple(sorted(budgets)), folder)
        for encoder, (recipes, budgets) in found.items()
    ]
    return WeightsList(store=WeightStore.at(folder).folder, rows=tuple(rows))


def _row(
    encoder: str, recipes: tuple[str, ...], budgets: tuple[str, ...], folder: Path | None
) -> WeightsRow:
    check_encoder(encoder)
    row = partial(WeightsRow, encoder=encoder, recipes=recipes, budgets=budgets)
    try:
        weights = find_weights(encoder, folder)
    except InputError as error:
        size = encoder_bytes(encoder)
        return row(here="damaged", source=str(error), licence=NOT_STATED, size=size)
    if weights is not None:
        known = weights.record
        there = row(here=weights.where, source=known.source, licence=known.licence, size=known.size)
        return there.model_copy(update={"path": weights.path})
    remote, package = remote_weights(encoder), package_of(encoder)
    sources = [f"package {package}"] if package else []
    sources += [remote.source] if remote else []
    return row(
        here="no",
        source=" or ".join(sources) or "a file of yours",
        licence=remote.licence if remote else NOT_STATED,
        size=encoder_bytes(encoder),
    )
