"""Connect to a cluster of Ray, or start Ray on this machine."""

import os
from typing import Any

from steelscan.strip.errors import MissingPartError, RunError


def connect(address: str | None, cores: int | None) -> tuple[Any, bool]:
    """Connect to a Ray cluster, or start Ray on this machine with so many cores.

    Returns Ray, and whether it was connected here: it may be connected already. Raises
    MissingPartError, RunError.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        remedy = "pip install 'steelscan[ray]', or use --engine local"
        raise MissingPartError("ray", "is not installed", remedy) from error
    if ray.is_initialized():
        return ray, False
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if address is None:
            ray.init(num_cpus=cores, include_dashboard=False, **common)
        else:
            ray.init(address=address, **common)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        problem = f"cannot be reached ({str(error).splitlines()[0]})"
        raise RunError(f"Ray at {address or 'this machine'}", problem, "Check --address") from error
    return ray, True
