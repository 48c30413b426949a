"""What all tests share: where real data lies, when it is there."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real strips: $STEELSCAN_DATA, or shared/data beside the project."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("STEELSCAN_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real strips here: {folder} (name their folder in STEELSCAN_DATA)")
    return folder
