"""What PyTorch finds in the environment; the user's own choice counts."""

import os
import sys

import pytest

from steelscan import cli
from steelscan.cli.environment import share_cores

CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHOICES:
        monkeypatch.setenv(name, "")  # so that it is restored even if it was not set
        monkeypatch.delenv(name)


def load(monkeypatch: pytest.MonkeyPatch, programs: float) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (programs, 9.0, 9.0), raising=False)


def set_variables() -> dict[str, str]:
    return {name: os.environ[name] for name in CHOICES if name in os.environ}


@pytest.mark.parametrize("programs", [0.5, 1.0, 40.0])
def test_next_to_other_programs_waiting_threads_sleep(
    monkeypatch: pytest.MonkeyPatch, programs: float
) -> None:
    load(monkeypatch, programs)
    share_cores()
    assert set_variables() == {"OMP_WAIT_POLICY": "PASSIVE"}  # the number of threads is untouched


def test_on_a_quiet_machine_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, 0.2)
    share_cores()
    assert set_variables() == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMP_WAIT_POLICY", "ACTIVE"),
        ("GOMP_SPINCOUNT", "1000"),
        ("KMP_BLOCKTIME", "200"),
        ("OMP_NUM_THREADS", "1"),
    ],
)
def test_the_users_choice_stays(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    load(monkeypatch, 40.0)
    monkeypatch.setenv(name, value)
    share_cores()
    assert set_variables() == {name: value}


def test_a_system_without_that_number_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getloadavg", raising=False)
    share_cores()
    assert set_variables() == {}


def test_the_program_sets_it_before_a_verb_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    load(monkeypatch, 40.0)
    monkeypatch.setattr(sys, "argv", ["steelscan", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    assert set_variables() == {"OMP_WAIT_POLICY": "PASSIVE"}
