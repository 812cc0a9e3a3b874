from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.server.job_store import JobStore, StoredJob


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "jobs.sqlite")


def added(store: JobStore, name: str, upload: str | None = None) -> StoredJob:
    return store.add(
        name=name, verb="score", options={"pixel_size_um": 0.25}, slide=Path("/a") / name, upload=upload
    )


def test_jobs_are_taken_in_their_order_and_listed_newest_first(store: JobStore) -> None:
    first, second = added(store, "a.svs"), added(store, "b.svs")
    assert [job.id for job in store.history()] == [second.id, first.id]
    assert store.n_waiting() == 2
    taken = store.take()
    assert taken is not None
    assert (store.n_waiting(), store.n_unfinished()) == (1, 2)
    assert (taken.id, taken.state, taken.options) == (first.id, "running", {"pixel_size_um": 0.25})
    store.end(first.id, "refused", "No pixel size.", needs=("pixel_size_um",))
    assert store.n_unfinished() == 1
    ended = store.get(first.id)
    assert ended is not None
    assert (ended.state, ended.needs, ended.started is None, ended.ended is None) == (
        "refused",
        ("pixel_size_um",),
        False,
        False,
    )


def test_jobs_outlive_the_service_and_what_ran_waits_again(tmp_path: Path, store: JobStore) -> None:
    job = added(store, "a.svs")
    store.take()
    store.close()
    again = JobStore(tmp_path / "jobs.sqlite")
    again.put_back()
    found = again.get(job.id)
    assert found is not None
    assert (found.state, found.started) == ("waiting", None)


def test_a_job_that_ends_its_process_each_time_is_given_up(store: JobStore) -> None:
    job = added(store, "a.svs")
    for state in ("waiting", "waiting", "failed"):
        store.take()
        store.put_back()
        found = store.get(job.id)
        assert found is not None
        assert found.state == state
    assert "3 times" in found.message


def test_a_stop_in_order_counts_as_no_try(store: JobStore) -> None:
    job = added(store, "a.svs")
    for _ in range(5):
        assert store.take() is not None
        store.put_back(job.id, is_tried=False)
    assert store.n_waiting() == 1


def test_only_waiting_jobs_are_cancelled_here(store: JobStore) -> None:
    job = added(store, "a.svs")
    assert store.cancel_waiting(job.id)
    assert not store.cancel_waiting(job.id)
    assert store.take() is None


def test_uploads_are_known_while_a_job_needs_them(store: JobStore) -> None:
    first, second = added(store, "a.svs", "one"), added(store, "a.svs", "one")
    store.remove(first.id)
    assert store.uploads() == {"one"}
    store.remove(second.id)
    assert store.uploads() == set()
    assert store.ids() == set()
