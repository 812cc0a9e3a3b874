from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from qupath_her2.batch.journal import Journal
from qupath_her2.batch.plan import BatchPlan
from qupath_her2.batch.progress import MOST_STARTS, fold_events, progress_of, step_seconds
from qupath_her2.project.exchange.locks import lock_image
from tests.unit.batch.test_drive import SimulatedJob
from tests.unit.batch.test_plan import row

KEYS = {"a": "k", "b": "k"}


def event(t: float, kind: str, image: str = "a", **more: Any) -> dict[str, Any]:
    return {"t": t, "event": kind, "image": image, "key": "k", **more}


def ended(t: float, state: str = "scored", image: str = "a", **more: Any) -> dict[str, Any]:
    return event(t, "ended", image, state=state, **{"retry": None, "seconds": 2.0, **more})


def test_events_of_all_drivers_are_one_story() -> None:
    events = [
        ended(4, cells=9, score="3+"),
        event(3, "started"),
        ended(2, "failed", retry="again", **{"class": "storage", "cause": "away"}),
        event(1, "started"),
        event(5, "started", "b"),
        {"t": 0, "event": "driver"},
    ]
    outcomes = fold_events(KEYS, events)
    a, b = outcomes["a"], outcomes["b"]
    assert (a.state, a.tries, a.starts, a.cells, a.score, a.ended_at) == ("scored", 1, 0, 9, "3+", 4)
    assert (b.state, b.starts, b.started_at) == ("", 1, 5)


def test_events_of_other_settings_do_not_count() -> None:
    assert fold_events({"a": "new"}, [event(1, "started"), ended(2)])["a"].state == ""


def test_a_failed_image_stays_aside_until_it_is_set_back() -> None:
    events = [event(1, "started"), ended(2, "failed", **{"class": "unreadable", "cause": "no"})]
    assert fold_events(KEYS, events)["a"].is_failed
    events.append(event(3, "set back"))
    assert (fold_events(KEYS, events)["a"].state, fold_events(KEYS, events)["a"].tries) == ("", 0)


def test_up_to_date_does_not_hide_what_a_result_took() -> None:
    a = fold_events(KEYS, [ended(1, cells=9), ended(2, "up to date", cells=9, seconds=0.1)])["a"]
    assert (a.state, a.seconds) == ("scored", 2.0)
    # After a kill between result and event, it is all that is known.
    assert fold_events(KEYS, [ended(2, "up to date")])["a"].state == "up to date"


def test_an_image_that_never_ends_is_set_aside() -> None:
    events = [event(t, "started") for t in range(MOST_STARTS)]
    assert fold_events(KEYS, events[:-1])["a"].state == ""
    a = fold_events(KEYS, events)["a"]
    assert (a.state, a.failure) == ("failed", "endless")
    # Those that were dropped in good order do not count.
    assert fold_events(KEYS, [*events, event(99, "dropped")])["a"].state == ""


def test_steps_add_up_to_the_time_of_the_image() -> None:
    outcome = fold_events(
        KEYS, [ended(1, seconds=10.0, steps={"read": 2.0, "cells": 6.0, "score": 1.0, "write": 1.5})]
    )
    assert step_seconds(outcome["a"]) == pytest.approx(
        {"read": 2.0, "infer": 0.0, "write": 1.5, "cells": 5.0, "other": 1.5}
    )
    network = fold_events(KEYS, [ended(1, seconds=10.0, steps={"read": 2.0, "network": 6.0, "write": 1.0})])
    assert step_seconds(network["a"])["infer"] == pytest.approx(4.0)


def plan_of(folder: Path) -> BatchPlan:
    from dataclasses import replace

    rows = [replace(row(name, expected_s=100.0), key="k") for name in "abcd"]
    return BatchPlan(folder, "score", (), (row("x", failure="unreadable"), *rows))


def test_rate_and_time_left_follow_the_work(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    journal = Journal(tmp_path, plan.keys, "simulated")
    for at, kind, image, more in (
        (1000.0, "started", "a", {}),
        (1010.0, "ended", "a", {"state": "scored", "retry": None, "seconds": 10.0, "peak_mb": 300}),
        (1010.0, "started", "b", {}),
        (1020.0, "ended", "b", {"state": "failed", "retry": None, "class": "killed", "cause": "x"}),
        (1020.0, "started", "c", {}),
    ):
        with journal.path.open("ab") as file:
            import orjson

            file.write(orjson.dumps({"t": at, "event": kind, "image": image, "key": "k", **more}) + b"\n")
    with lock_image(tmp_path, "c"):
        found = progress_of(plan, now=1020.0)
    assert +found.counts == Counter({"failed": 2, "done": 1, "running": 1, "waiting": 1})
    assert found.failures == Counter({"killed": 1, "unreadable": 1})
    assert (found.done_s, found.left_s) == (200.0, 200.0)
    # 200 s of expected work in 20 s: ten workers, or a fast machine.
    assert found.seconds_left == pytest.approx(20.0)
    assert found.slides_per_h == pytest.approx(360.0)
    assert found.peak_mb == 300
    # Its worker is gone: begun, but nobody's.
    assert +progress_of(plan, now=1020.0).counts == Counter({"failed": 2, "done": 1, "waiting": 2})


def test_before_anything_has_ended_nobody_knows(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    Journal(tmp_path, plan.keys, "simulated").started(SimulatedJob("a"))
    found = progress_of(plan)
    assert (found.seconds_left, found.slides_per_h, found.counts["waiting"]) == (None, 0.0, 4)
