from __future__ import annotations

import os

import pytest

from qupath_her2.batch.machine import automatic_workers, usable_cores


@pytest.mark.parametrize(
    ("cores", "memory_mb", "workers"),
    [
        (1, 64_000, 1),
        (2, 64_000, 1),
        (8, 64_000, 7),
        (8, 16_000, 4),
        (8, 1_000, 1),
        (128, 1_000_000, 16),
    ],
)
def test_a_core_stays_with_qupath_and_memory_suffices(cores: int, memory_mb: int, workers: int) -> None:
    assert automatic_workers(cores, memory_mb) == workers


def test_this_machine_has_cores_and_runs_at_least_one() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    assert 1 <= automatic_workers() <= max(1, usable_cores() - 1)
