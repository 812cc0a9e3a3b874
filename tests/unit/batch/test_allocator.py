from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from qupath_her2.batch.allocator import return_freed_memory

#: Arrays as tiles leave them, with lasting objects between; prints what their memory is after they were freed, MB.
PROGRAM = """
import sys
import numpy as np
from qupath_her2.batch.allocator import return_freed_memory
from qupath_her2.batch.job import memory_mb

if sys.argv[1] == "returned":
    assert return_freed_memory()
large = np.ones(3_000_000)
del large
before, _ = memory_mb()
arrays, lasting = [], []
for _ in range(100):
    arrays.append(np.ones(250_000))
    lasting.append(np.ones(12_000))
del arrays
print(memory_mb()[0] - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of glibc")
def test_freed_arrays_leave_the_process() -> None:
    def kept_mb(word: str) -> float:
        command = [sys.executable, "-c", PROGRAM, word]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert kept_mb("returned") < 40 < 150 < kept_mb("kept")


def test_other_allocators_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: None) -> None:
        raise OSError("no such library")

    monkeypatch.setattr("ctypes.CDLL", no_library)
    return_freed_memory.cache_clear()
    assert return_freed_memory() is False
    return_freed_memory.cache_clear()
