"""The verbs of the command line: they say where, never what; the work is done elsewhere."""

from steelscan.cli import answer, data, ensemble, judge, recipes, train  # each adds its verbs
from steelscan.cli.app import app, main

__all__ = ["answer", "app", "data", "ensemble", "judge", "main", "recipes", "train"]
