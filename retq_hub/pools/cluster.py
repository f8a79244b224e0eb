"""A Ray cluster, on this machine or elsewhere: connected to, asked what it has, kept quiet.

Ray is an extra; nothing here imports it before it is asked for.
"""

import importlib.util
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retq_hub.errors import Unreachable, UsageError

__all__ = ["ABSENT", "Cluster", "connected", "is_installed"]

ABSENT = (
    "Ray is not installed, so this runs in one process; with it, one process a core or GPU, here "
    'or on a cluster: pip install "retq-hub[ray]"'
)
"""What is said where Ray is asked for and missing."""

_CLIENT = "ray://"
_PATIENCE_S = 5.0
_STDERR = 2

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""No statistics are sent; what Ray would print of its workers, on stdout too, is said by us."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where workers run, and what each of them has.

    Attributes:
        address: ``auto``, ``host:port`` of a cluster that this machine belongs to, or
            ``ray://host:port``; None: this machine, for as long as the work takes.
        workers: How many; None: as many as there is room for.
        cpus: Cores of each, and so many threads it computes with.
        gpus: Of each.
        debug: Let Ray print what it and its workers say.
    """

    address: str | None = None
    workers: int | None = None
    cpus: int = 1
    gpus: int = 0
    debug: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"{self.workers} workers do nothing", hint="give 1 or more")


def is_installed() -> bool:
    """Whether Ray can be used."""
    return importlib.util.find_spec("ray") is not None


@contextmanager
def connected(cluster: Cluster) -> Iterator[tuple[Any, int]]:
    """Connect to a cluster, and disconnect again; a connection that is there already is kept.

    Args:
        cluster: Which.

    Yields:
        The module ``ray``, and how many workers there is room for, at most those wanted.

    Raises:
        Unreachable: There is no cluster at the address, or none that can be used from here.
        UsageError: It has no room for one worker.
    """
    ray = _imported(cluster)
    if cluster.address is not None:
        _knock(cluster.address)
    ours = not ray.is_initialized()
    if ours:
        _start(ray, cluster)
    try:
        yield ray, _n_workers(ray.cluster_resources(), cluster)
    finally:
        if ours:
            ray.shutdown()


def _imported(cluster: Cluster) -> Any:  # noqa: ANN401 - ray is an extra
    if not is_installed():
        raise UsageError("Ray is not installed", hint='pip install "retq-hub[ray]"')
    if not cluster.debug:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
    import ray

    return ray


def _start(ray: Any, cluster: Cluster) -> None:  # noqa: ANN401
    talk: dict[str, Any] = {"log_to_driver": cluster.debug}
    if not cluster.debug:
        talk |= {"logging_level": "ERROR"}
    if cluster.address is None:
        n_cpus = (cluster.workers or _n_cores() // cluster.cpus or 1) * cluster.cpus
        # Said, so that no address in the environment is taken for one that was asked for.
        ray.init(address="local", num_cpus=n_cpus, include_dashboard=False, **talk)
        return
    try:
        with nullcontext() if cluster.debug else _hushed():
            ray.init(address=cluster.address, **talk)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if "any running Ray instance" in reason:
            reason = "none runs on this machine"
        raise _unreachable(cluster.address, reason) from error


def _knock(address: str) -> None:
    """Ask whether anybody listens: Ray itself would wait for minutes, and then end the process."""
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    if not host and not address.startswith(_CLIENT):
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_S):
            return
    except ValueError as error:
        raise UsageError(
            f"{address!r} is no address of a cluster", hint="auto, host:port or ray://host:port"
        ) from error
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from error


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep off stderr what Ray's own library, which is no Python, says while it tries."""
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), _STDERR)
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)


def _unreachable(address: str, reason: str) -> Unreachable:
    return Unreachable(
        f"the Ray cluster at {address} cannot be reached: {reason.rstrip('.')}",
        hint="check the address; a cluster that wants a token needs RAY_AUTH_MODE=token",
    )


def _n_workers(there: dict[str, float], cluster: Cluster) -> int:
    """Give how many workers there is room for."""
    room = int(there.get("CPU", 0)) // cluster.cpus
    if cluster.gpus:
        room = min(room, int(there.get("GPU", 0)) // cluster.gpus)
    if room < 1:
        raise UsageError(
            f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs: "
            f"a worker takes {cluster.cpus} and {cluster.gpus}",
            hint="add machines to it",
        )
    return min(room, cluster.workers or room)


def _n_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
