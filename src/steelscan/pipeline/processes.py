"""Several processes that train one run: the note on them, and how they end."""

from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator

from steelscan.pipeline.run_folder import TRAIN_AGAIN
from steelscan.strip.errors import RunError

_LOST = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
"""What the messages of torch contain if another process has ended."""


def fitted_together(accelerator: Accelerator) -> list[str]:
    """Return a sentence on the processes that share each batch; [] for one process."""
    count = accelerator.num_processes
    if count == 1:
        return []
    return [
        f"{count} processes share each batch: batch norms, and losses that are computed over a "
        "batch, use the share of each process."
    ]


def leave(accelerator: Accelerator) -> None:
    """End the connections between the processes, after all of them have fitted the last network."""
    accelerator.wait_for_everyone()
    accelerator.state.destroy_process_group()


@contextmanager
def lost_process_reported(accelerator: Accelerator) -> Iterator[None]:
    """Turn torch's errors after another process has ended into RunError."""
    try:
        yield
    except RuntimeError as error:
        if accelerator.num_processes > 1 and any(each in str(error) for each in _LOST):
            problem = "another process of this training has ended"
            raise RunError("processes", problem, TRAIN_AGAIN) from error
        raise
