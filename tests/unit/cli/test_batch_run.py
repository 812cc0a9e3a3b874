from __future__ import annotations

import pytest

from qupath_her2.batch.progress import Outcome, Progress
from qupath_her2.cli.batch_run import counts_line, time_text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (89, "89 s"), (600, "10 min"), (5399, "90 min"), (22320, "6.2 h")]
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_counts_name_the_classes_of_failures() -> None:
    outcomes = {
        "a": Outcome(state="scored", tries=1),
        "b": Outcome(state="not assessable", refusal="blurred"),
        "c": Outcome(state="failed", failure="memory"),
        "d": Outcome(state="failed", failure="memory"),
        "e": Outcome(),
        "f": Outcome(starts=1),
    }
    found = Progress(outcomes, ("f",), 1, 1.0, 2.0, 0.0, None, {}, 0.0)
    assert counts_line(found) == (
        "1 done · 1 not assessable · 3 failed (2 memory, 1 unreadable) · 1 tried twice · 1 running · 1 waiting"
    )
