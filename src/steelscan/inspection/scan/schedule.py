"""Give shards to workers until all are done; a worker that ends costs nothing but time."""

import sys
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from steelscan.inspection.scan.engines import Done, Ended, Workers
from steelscan.inspection.scan.shards import ScanFolder, Shard
from steelscan.inspection.scan.worker import Work, note_file
from steelscan.strip import Progress
from steelscan.strip.errors import RunError

SECONDS_WITHOUT_SHARD = 600.0
"""How long no shard may be finished before a line reports it."""

_MOST_ENDS = 3
"""How often a worker may end at one picture, before that is skipped."""

_MOST_UNEXPLAINED = 5
"""How often workers may end at a shard while they are at none of its pictures."""

_SECONDS_TO_LOOK = 1.0


def scan_shards(
    folder: ScanFolder,
    shards: Iterable[Shard],
    workers: Workers,
    progress: Progress,
    seconds_without_shard: float = SECONDS_WITHOUT_SHARD,
) -> None:
    """Scan shards that are not done, each by one worker at a time.

    A shard whose worker ended is scanned again, then with notes of the picture it is at. A picture
    at which workers ended three times gets a row with an error. Raises RunError if workers end
    again and again without a picture, and what a worker raises.
    """
    waiting = deque(Work(shard) for shard in shards)
    at_work: dict[int, Work] = {}
    ends, unexplained = Counter[tuple[str, str]](), Counter[str]()
    watch = _Watch(seconds_without_shard)
    while waiting or at_work:
        while waiting and folder.file(waiting[0].shard.name).exists():  # of another process
            progress.advance(len(waiting.popleft().shard.inputs))
        for worker in range(workers.count):
            if waiting and worker not in at_work:
                at_work[worker] = waiting.popleft()
                workers.give(worker, at_work[worker])
        for event in workers.wait(_SECONDS_TO_LOOK):
            work = at_work.pop(event.worker)
            match event:
                case Done(verdicts=verdicts):
                    watch.finished()
                    note = f"{verdicts['error']} errors" if verdicts["error"] else ""
                    progress.advance(len(work.shard.inputs), note)
                case Ended(reason=reason):
                    name = _noted(folder.root, work.shard)
                    if name is None:
                        unexplained[work.shard.name] += 1
                        if unexplained[work.shard.name] > _MOST_UNEXPLAINED:
                            raise _never_done(folder, work.shard, reason)
                    else:
                        ends[work.shard.name, name] += 1
                        if ends[work.shard.name, name] >= _MOST_ENDS:
                            text = f"its worker {reason} while it was scanned, {_MOST_ENDS} times"
                            work = replace(work, skip={**work.skip, name: text})
                    waiting.appendleft(replace(work, careful=True))
        watch.look(at_work.values())


class _Watch:
    """Reports that no shard was finished for a long time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = self._reported = time.monotonic()

    def finished(self) -> None:
        self._last = self._reported = time.monotonic()

    def look(self, at_work: Iterable[Work]) -> None:
        now = time.monotonic()
        if now - self._reported < self._seconds:
            return
        self._reported = now
        names = ", ".join(work.shard.inputs[0] for work in at_work)
        print(  # noqa: T201
            f"No shard was finished for {(now - self._last) / 60:.0f} minutes. At work are those "
            f"that begin with: {names}",
            file=sys.stderr,
            flush=True,
        )


def _noted(out: Path, shard: Shard) -> str | None:
    """Return the picture at which the worker of a shard ended, if that is known; forget it."""
    file = note_file(out, shard)
    try:
        name = file.read_text(encoding="utf-8")
    except OSError:
        return None
    file.unlink(missing_ok=True)
    return name if name in shard.inputs else None


def _never_done(folder: ScanFolder, shard: Shard, reason: str) -> RunError:
    problem = f"the worker of the shard that begins with {shard.inputs[0]} {reason} again and again"
    remedy = "Give it more memory or fewer --workers, and repeat the command: it continues"
    return RunError(folder.root, problem, remedy)
