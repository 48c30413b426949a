"""What an engine does for a scan: workers that scan one shard at a time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from steelscan.inspection.scan.worker import Work


@dataclass(frozen=True)
class Done:
    """A worker has written the file of its shard."""

    worker: int
    verdicts: Counter[str]


@dataclass(frozen=True)
class Ended:
    """A worker has ended in the middle of its shard; another one takes its place."""

    worker: int
    reason: str


class Workers(Protocol):
    """Workers, numbered from 0, each with one thread on a core of its own."""

    count: int

    def __enter__(self) -> Self:
        """Start the workers."""

    def give(self, worker: int, work: Work) -> None:
        """Let an idle worker scan a shard."""

    def wait(self, seconds: float) -> Sequence[Done | Ended]:
        """Wait until a worker has finished or ended, or so long. Raises what a worker raised."""

    def __exit__(self, *_: object) -> None:
        """End the workers."""
