"""The verbs of the command line: they say where, never what; the work is done elsewhere."""

from steelscan.cli import (  # each adds its verbs
    agree,
    answer,
    data,
    judge,
    plant,
    recipes,
    score,
    train,
)
from steelscan.cli.app import app, main

__all__ = ["agree", "answer", "app", "data", "judge", "main", "plant", "recipes", "score", "train"]
