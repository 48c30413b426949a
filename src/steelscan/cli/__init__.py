"""The verbs of the command line: they say where, never what; the work is done elsewhere."""

from steelscan.cli import answer, audit, data, judge, recipes, shift, train  # each adds its verbs
from steelscan.cli.app import app, main

__all__ = ["answer", "app", "audit", "data", "judge", "main", "recipes", "shift", "train"]
