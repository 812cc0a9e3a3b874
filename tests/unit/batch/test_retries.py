from __future__ import annotations

import pytest

from qupath_her2.batch.retries import Retries, Retry
from qupath_her2.records import ImageResult


@pytest.mark.parametrize(
    ("failure", "tries"),
    [
        ("unreadable", [None]),
        ("unexpected", [None]),
        ("busy", [None]),
        ("storage", ["again", None]),
        ("memory", ["half", "alone", None]),
        ("killed", ["half", "alone", None]),
    ],
)
def test_what_may_pass_is_tried_again(failure: str, tries: list[Retry | None]) -> None:
    retries = Retries()
    result = ImageResult("1_a", "a.tif", "failed", error="x", failure=failure)
    assert [retries.next(result) for _ in tries] == tries
    # Each image has tries of its own.
    other = ImageResult("2_b", "b.tif", "failed", error="x", failure=failure)
    assert retries.next(other) == tries[0]
