from .runs import find_runs as find_runs
from .text import runs_json as runs_json
from .text import runs_table as runs_table
