"""steelscan: find and outline defects on steel strip."""

__version__ = "0.1.0"
