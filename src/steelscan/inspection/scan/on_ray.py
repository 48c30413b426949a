"""Workers that are actors of Ray, on one machine or on many."""

from collections.abc import Sequence
from typing import Any, Self

from steelscan.inspection.scan.engines import Done, Ended
from steelscan.inspection.scan.worker import Setup, ShardWorker, Work
from steelscan.strip.cluster import connect
from steelscan.strip.errors import RunError, SteelscanError


class RayWorkers:
    """Actors with a core each. Paths go through Ray, pictures do not.

    ``address`` is that of a cluster; None: a Ray of its own on this machine, which ends with it.
    """

    def __init__(self, setup: Setup, count: int | None, address: str | None) -> None:
        """Connect to Ray; without ``count`` there is an actor per core of the cluster.

        Raises MissingPartError if Ray is not installed, RunError if the cluster cannot be reached.
        """
        self._ray, self._own = connect(address, count)
        self.count = count or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._setup = setup
        # Ray restarts an actor whose process was killed; one that ended itself is replaced below
        self._kind = self._ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=0)(ShardWorker)
        self._actors: list[Any] = []
        self._running: dict[Any, int] = {}

    def __enter__(self) -> Self:
        self._actors = [self._kind.remote(self._setup) for _ in range(self.count)]
        return self

    def give(self, worker: int, work: Work) -> None:
        """Let an idle actor scan a shard."""
        self._running[self._actors[worker].scan.remote(work)] = worker

    def wait(self, seconds: float) -> Sequence[Done | Ended]:
        """Wait until an actor has finished or ended, or so long. Raises what it raised."""
        from ray.exceptions import ActorDiedError, RayActorError, RayError, RayTaskError

        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        events: list[Done | Ended] = []
        for reference in ready:
            worker = self._running.pop(reference)
            try:
                events.append(Done(worker, self._ray.get(reference)))
            except RayTaskError as error:
                raise _cause(error) from None
            except RayActorError as error:
                if isinstance(error, ActorDiedError):
                    self._raise_if_never_started(error)
                    self._actors[worker] = self._kind.remote(self._setup)
                events.append(Ended(worker, "ended (Ray: its actor died)"))
            except RayError as error:
                events.append(Ended(worker, f"ended (Ray: {type(error).__name__})"))
        return events

    def _raise_if_never_started(self, error: Any) -> None:
        cause = getattr(error, "cause", None) or error
        text = str(cause)
        if "creation task" in text or "__init__" in text:
            raise RunError("Ray", f"a worker could not start: {text.splitlines()[-1]}", _LOGS)

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()


_LOGS = "See the logs of Ray; the bundle must have the same path on all machines"


def _cause(error: Any) -> Exception:
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, SteelscanError) else error
