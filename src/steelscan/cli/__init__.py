"""The verbs of the command line: they say where, never what; the work is done elsewhere."""

from steelscan.cli import answer, data, judge, recipes, train, tune  # each adds its verbs
from steelscan.cli.app import app, main

__all__ = ["answer", "app", "data", "judge", "main", "recipes", "train", "tune"]
