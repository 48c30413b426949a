"""``python -m steelscan``: the command line."""

from steelscan.cli import main

main()
