from __future__ import annotations

import pytest

from qupath_her2.errors import QuPathError
from qupath_her2.project.qupath import memory
from qupath_her2.project.qupath.memory import checked_heap_mb, estimate_heap_mb, machine_memory_mb


def test_the_heap_grows_with_the_objects() -> None:
    assert estimate_heap_mb(0) < estimate_heap_mb(100_000) < estimate_heap_mb(1_000_000) < 4096


def test_a_heap_of_more_than_four_fifths_of_the_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = estimate_heap_mb(500_000)
    monkeypatch.setattr(memory, "machine_memory_mb", lambda: round(needed / 0.79))
    assert checked_heap_mb(None, 500_000) == needed
    monkeypatch.setattr(memory, "machine_memory_mb", lambda: round(needed / 0.81))
    with pytest.raises(
        QuPathError, match=r"500,000 objects in one image; this machine has \d+ GB.*--heap \d+"
    ):
        checked_heap_mb(None, 500_000)


def test_the_users_heap_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory_mb", lambda: 1000)
    assert checked_heap_mb(900, 10_000_000) == 900
    monkeypatch.setattr(memory, "machine_memory_mb", lambda: None)
    assert checked_heap_mb(None, 1000) == estimate_heap_mb(1000)


def test_this_machine_has_memory() -> None:
    found = machine_memory_mb()
    assert found is None or found > 256
