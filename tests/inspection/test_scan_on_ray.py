"""Scans by actors of a Ray of this machine end with the bytes of an undisturbed local scan."""

import sys
from functools import partial
from pathlib import Path

import pytest
from tests.inspection.deadly import scan_deadly, tables

from steelscan.inspection.scan import ScanOptions, scan_source
from steelscan.inspection.scan.on_ray import RayWorkers
from steelscan.strip.cluster import connect
from steelscan.strip.errors import MissingPartError

pytest.importorskip("ray")


pytestmark = pytest.mark.usefixtures("ray_of_two")


def test_actors_write_the_same_bytes(bright: Path, spots: Path, whole: Path, tmp_path: Path):
    options = ScanOptions(engine="ray", workers=2, shard_size=5)
    assert scan_source(bright, str(spots), tmp_path / "out", options).pictures == 12
    assert tables(tmp_path / "out") == tables(whole)


@pytest.mark.parametrize("end", ["kill", "exit 0"])
def test_an_actor_that_ends_costs_nothing(bright, spots, whole, tmp_path, end) -> None:
    deaths = {"a/00.png": 1, "b/07.png": 2}
    on_ray = partial(RayWorkers, address=None)
    summary = scan_deadly(bright, spots, tmp_path / "out", deaths, end, on_ray)
    assert summary.errors == 0
    assert tables(tmp_path / "out") == tables(whole)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "ray", None)
        with pytest.raises(MissingPartError, match=r"steelscan\[ray\]"):
            connect(None, 2)
