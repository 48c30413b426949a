"""Give the works of a round to an engine as soon as what they need is there.

Which networks are fitted is decided by files: a checkpoint is a fitted network, a lease is one that
another process fits, perhaps of another command on another machine. An engine only does the works.
"""

import sys
import time
from collections.abc import Sequence
from typing import Protocol, Self

from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_log import FIT_LOG
from steelscan.pipeline.fit_messages import Failed, Fitted, Result
from steelscan.pipeline.fit_queue import CoreShare, FitQueue, Work
from steelscan.pipeline.fit_tasks import Task
from steelscan.pipeline.lease import Lease
from steelscan.pipeline.one_fit import do_work, is_fitted
from steelscan.strip.errors import RunError, SteelscanError

_MOST_ENDS = 3
"""How often a fit may end in an error, or with its process, without a further epoch."""

_SECONDS_TO_LOOK = 2.0
"""Between two looks at networks that others fit."""


class Engine(Protocol):
    """Does works of a round, several at the same time."""

    def __enter__(self) -> Self:
        """Begin."""

    def give(self, work: Work, share: CoreShare) -> None:
        """Let a work be done."""

    def wait(self, seconds: float | None) -> Sequence[tuple[Work, Result]]:
        """Wait until works have ended, or so long; return them, [] if none is being done."""

    def __exit__(self, *_: object) -> None:
        """End all works that are not done."""


class _Ends:
    """How often each fit ended without being done, and with which error at last."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._counts: dict[str, tuple[int, bytes]] = {}
        self.failed: dict[str, BaseException] = {}

    def may_go_on(self, work: Work, error: BaseException) -> bool:
        """Record an end; return whether the work is tried again."""
        metrics = b""
        if isinstance(work, Task):
            files = self._context.run.network(work), self._context.run.encoder(work)
            tables = [folder / "metrics.csv" for folder in files]
            metrics = b"".join(path.read_bytes() for path in tables if path.exists())
        count, before = self._counts.get(work.label, (0, metrics))
        count = count + 1 if metrics == before else 1
        self._counts[work.label] = count, metrics
        if count >= _MOST_ENDS:
            self.failed[work.label] = error
            return False
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        _report(
            f"{work.label} has ended ({reason}): it is tried again, {count + 1} of {_MOST_ENDS}"
        )
        return True

    def raise_failed(self) -> None:
        """Raise the error of the only fit that failed, or RunError with the names of all."""
        if not self.failed:
            return
        first = min(self.failed)
        error = self.failed[first]
        if len(self.failed) == 1 and isinstance(error, SteelscanError):
            raise error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = (
            f"ended {_MOST_ENDS} times each ({first}: {reason}); what does not need them is done"
        )
        remedy = f"See {FIT_LOG} in their folders, and give the same command again"
        raise RunError("; ".join(sorted(self.failed)), problem, remedy) from error


def fit_all(context: RunContext, queue: FitQueue, engine: Engine) -> set[str]:
    """Do all works of a round; returns a sentence on each source of first weights.

    A fit that ends in an error, or with its process, goes on after its last epoch, in another
    process if the engine has several. One that ends three times at the same epoch is left out, with
    all that needs it; its error is raised when the others are done.
    """
    ends, sources, leased = _Ends(context), set[str](), _Leased(context)
    with engine:
        while queue:
            ended = _give_ready(context, queue, engine, leased)
            ended += [] if ended else engine.wait(_SECONDS_TO_LOOK if leased.labels else None)
            for work, result in ended:
                match result:
                    case Fitted(source):
                        sources |= {source} if source else set()
                        queue.done(work)
                    case Failed(error) if not ends.may_go_on(work, error):
                        queue.failed(work)
                    case _:
                        queue.again(work)
            if leased.labels and not queue.running:
                time.sleep(_SECONDS_TO_LOOK)
    ends.raise_failed()
    return sources


def _give_ready(
    context: RunContext, queue: FitQueue, engine: Engine, leased: "_Leased"
) -> list[tuple[Work, Result]]:
    """Give all works that can begin to an engine, except those of other processes.

    A network that is fitted needs no engine: it is returned, and the next ones are left.
    """
    leased.labels.clear()
    while (taken := queue.take(leased.labels)) is not None:
        work, share = taken
        if leased.is_of_another(work):
            queue.again(work)
        elif isinstance(work, Task) and is_fitted(context, work):
            return [(work, do_work(context, work, share))]
        else:
            engine.give(work, share)
    return []


class _Leased:
    """The networks that other processes fit; each is reported once."""

    def __init__(self, context: RunContext) -> None:
        self._run, self._reported = context.run, set[str]()
        self.labels: set[str] = set()

    def is_of_another(self, work: Work) -> bool:
        """Return whether another process fits a network now; if so, add it to ``labels``."""
        holder = Lease(self._run.network(work)).holder() if isinstance(work, Task) else None
        if holder is None:
            return False
        self.labels.add(work.label)
        if work.label not in self._reported:
            self._reported.add(work.label)
            _report(f"{work.label} is being fitted by {holder}")
        return True


class ThisProcess:
    """The engine of one fit at a time, in this process, whose errors end the command."""

    def __init__(self, context: RunContext) -> None:
        self._context, self._given = context, list[tuple[Work, CoreShare]]()

    def __enter__(self) -> Self:
        return self

    def give(self, work: Work, share: CoreShare) -> None:
        """Let a work be done by `wait`."""
        self._given.append((work, share))

    def wait(self, seconds: float | None) -> Sequence[tuple[Work, Result]]:
        """Do the works. Raises what they raise."""
        del seconds
        given, self._given = self._given, []
        return [(work, do_work(self._context, work, share)) for work, share in given]

    def __exit__(self, *_: object) -> None:
        pass


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
