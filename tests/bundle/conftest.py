"""A bundle of a finished run, made once."""

from pathlib import Path

import pytest

from steelscan.pipeline import Outcome


@pytest.fixture(scope="session")
def exported(finished: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from steelscan.bundle import export

    path = tmp_path_factory.mktemp("bundle") / "tiny.steelscan"
    export(finished[0], path)
    return path
