"""Local copies of a data set and a run folder at URLs, on the machine of a work. No torch here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from steelscan.pipeline.context import RunContext
from steelscan.pipeline.fit_queue import Prediction, Work
from steelscan.strip.remote import LocalCopy, sent_meanwhile


class RunCopies(NamedTuple):
    """The local copies of a data set and of a run folder; None for a folder that is no copy."""

    data: LocalCopy | None
    run: LocalCopy | None

    @classmethod
    def of(cls, context: RunContext) -> "RunCopies":
        """Return the copies that a run uses."""
        return cls(LocalCopy.at(context.dataset.root), LocalCopy.at(context.run.path))

    def send(self) -> None:
        """Send what this process has written into the run folder. Raises InputError."""
        if self.run is not None:
            self.run.send()

    def fetch(self, context: RunContext, work: Work) -> None:
        """Fetch what another machine has written for a work. Raises InputError."""
        if self.run is not None:
            self.run.fetch(*_folders(context, work))

    @contextmanager
    def here(self, context: RunContext, work: Work) -> Iterator[None]:
        """Fetch what a work reads; send what it writes, meanwhile too. Raises InputError."""
        for copy in filter(None, self):
            copy.fetch()
        with sent_meanwhile(self.run, *_folders(context, work)):
            yield


def _folders(context: RunContext, work: Work) -> list[str]:
    """Return the folders in which a work writes, relative to that of the run."""
    run = context.run
    if isinstance(work, Prediction):
        names = work.step, f"{work.step}-classes"
        folders = [run.probabilities(name, context.round) for name in names]
    else:
        folders = [run.network(work), run.encoder(work)]
    return [each.relative_to(run.path).as_posix() for each in folders]
