"""The cache folder of this program."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the cache folder of this program: ``$XDG_CACHE_HOME/steelscan``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # a relative path must be ignored (XDG Base Directory Specification)
    return (Path(base) if Path(base).is_absolute() else Path("~/.cache")) / "steelscan"
