"""Networks that several processes fit at the same time: the same files, and how they end."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pytest

from steelscan import recipes
from steelscan.pipeline import Options, RunFolder
from steelscan.pipeline.fit_queue import CoreShare, FitQueue, waves
from steelscan.pipeline.fit_tasks import Task, tasks
from steelscan.recipes import Recipe, with_budget

NAMES = sorted(recipes.NAMES) if hasattr(recipes, "NAMES") else []
