"""steelscan: find and outline defects on steel strip."""

from importlib.metadata import version

__version__ = version("steelscan")
