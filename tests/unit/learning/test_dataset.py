from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from qupath_her2.errors import ImageReadError, PatchReadError
from qupath_her2.learning.dataset import batch_rows, read_batches
from qupath_her2.models.settings import ReadSettings


class SlowReader:
    """Patches filled with their row number; reading takes varying times, and some rows cannot be read."""

    def __init__(self, broken: tuple[int, ...] = ()) -> None:
        self.broken = broken
        self.reading = 0
        self.most_reading = 0
        self.rows_read = 0
        self._lock = threading.Lock()

    def read_readable(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], list[PatchReadError]]:
        with self._lock:
            self.reading += 1
            self.rows_read += len(indices)
            self.most_reading = max(self.most_reading, self.reading)
        time.sleep(0.001 * (int(indices[0]) * 7 % 5))
        patches = np.repeat(indices.astype(np.uint8), 12).reshape(-1, 2, 2, 3)
        with self._lock:
            self.reading -= 1
        return patches, [
            PatchReadError(f"row {row} is broken", int(row)) for row in indices if row in self.broken
        ]


@pytest.mark.parametrize(("threads", "at_once", "ahead"), [(1, 1, 1), (4, 3, 2), (8, 100, 4)])
def test_batches_arrive_complete_and_in_order(threads: int, at_once: int, ahead: int) -> None:
    reader = SlowReader()
    rows = np.random.default_rng(0).permutation(100)
    batches = batch_rows(rows, 16)
    got = list(read_batches(reader, batches, 2, ReadSettings(threads, at_once, ahead)))
    assert [batch.rows.tolist() for batch in got] == [batch.tolist() for batch in batches]
    for batch in got:
        assert np.array_equal(batch.patches.numpy()[:, 0, 0, 0], batch.rows)
    assert reader.most_reading <= threads
    if threads == 4:
        assert reader.most_reading > 1


def test_reading_ahead_is_bounded() -> None:
    reader = SlowReader()
    batches = read_batches(reader, batch_rows(np.arange(200), 10), 2, ReadSettings(4, 10, batches_ahead=2))
    next(batches)
    time.sleep(0.1)
    assert reader.rows_read <= 30
    batches.close()
    time.sleep(0.05)
    assert reader.rows_read <= 30


def test_unreadable_rows_are_left_out_and_named() -> None:
    reader = SlowReader(broken=(3, 17))
    got = list(read_batches(reader, batch_rows(np.arange(20), 10), 2, ReadSettings(2, 4)))
    assert got[0].rows.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert [(error.row, str(error)) for error in got[1].unread] == [(17, "row 17 is broken")]
    assert np.array_equal(got[0].patches.numpy()[:, 0, 0, 0], got[0].rows)


def test_errors_of_the_reader_reach_the_caller() -> None:
    class Gone(SlowReader):
        def read_readable(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.uint8], list[PatchReadError]]:
            raise ImageReadError("the disk was pulled out")

    with pytest.raises(ImageReadError, match="pulled out"):
        list(read_batches(Gone(), batch_rows(np.arange(20), 10), 2, ReadSettings(2, 4)))


def test_a_small_last_batch_is_merged() -> None:
    assert [len(part) for part in batch_rows(np.arange(21), 10)] == [10, 10, 1]
    assert [len(part) for part in batch_rows(np.arange(21), 10, least=2)] == [10, 11]
    assert [len(part) for part in batch_rows(np.arange(1), 10, least=2)] == [1]
    assert batch_rows(np.arange(0), 10) == []
