"""Variables of the environment that PyTorch reads when it is loaded; set before."""

import os

_CHOSEN = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables with which the user chooses how threads wait."""

_BUSY = 0.5
"""Mean number of busy programs in the last minute from which cores are shared."""


def share_cores() -> None:
    """Let waiting threads sleep if other programs are busy, unless the user chose otherwise.

    By default a thread of OpenMP that waits for the others keeps its core busy for milliseconds.
    That saves time on a quiet machine, but two such programs take each other's cores. The number of
    threads, and so every result, stays the same.
    """
    if any(name in os.environ for name in _CHOSEN) or os.environ.get("OMP_NUM_THREADS") == "1":
        return
    if hasattr(os, "getloadavg") and os.getloadavg()[0] >= _BUSY:  # Windows has no such number
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
