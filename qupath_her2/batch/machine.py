"""Cores and memory of this machine, and how many images it can score at once."""

from __future__ import annotations

import os

from qupath_her2.project.qupath.memory import machine_memory_mb

__all__ = ["automatic_workers", "usable_cores"]

#: Memory of a worker that scores a large slide with a quarter of a million cells, MB.
_WORKER_MB = 2_000
#: Share of the machine's memory for all workers together: QuPath, the viewer of the results, holds an image as well.
_WORKERS_SHARE = 0.6
#: More workers than this wait for one disk.
_MAX_WORKERS = 16


def usable_cores() -> int:
    """Return the number of cores that this process may use; a cluster or a container may leave it fewer than all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def automatic_workers(cores: int | None = None, memory_mb: int | None = None) -> int:
    """Return how many images can be scored at once beside a QuPath that is in use.

    Parameters
    ----------
    cores
        Cores; None takes those of this machine.
    memory_mb
        Memory in MB; None takes this machine's.

    Returns
    -------
    int
        At least 1; one core is left to QuPath, and each worker has memory for a large slide.
    """
    cores = usable_cores() if cores is None else cores
    memory_mb = machine_memory_mb() if memory_mb is None else memory_mb
    by_memory = _MAX_WORKERS if memory_mb is None else int(_WORKERS_SHARE * memory_mb / _WORKER_MB)
    return max(1, min(cores - 1, by_memory, _MAX_WORKERS))
