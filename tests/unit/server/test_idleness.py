from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qupath_her2.server.idleness import CallWatch, LastCall
from tests.unit.server.conftest import Caller


def test_a_call_that_is_answered_is_no_idleness(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    last = LastCall()
    seen: list[float] = []

    async def app(*_: object) -> None:
        seen.append(last.idle_s())
        raise ValueError("a fault")

    watch = CallWatch(app, last)
    now = 130.0
    assert last.idle_s() == 30.0
    for scope, idle in (
        ({"type": "http", "path": "/api/v1/jobs"}, 0.0),
        ({"type": "http", "path": "/healthz"}, 5.0),
        ({"type": "lifespan"}, 5.0),
    ):
        with pytest.raises(ValueError, match="a fault"):
            asyncio.run(watch(scope, None, None))  # type: ignore[arg-type]
        assert seen.pop() == idle
        now = 135.0
    assert last.idle_s() == 5.0


def test_a_service_with_a_job_is_not_idle(idle_caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    service = idle_caller.service
    assert not service.is_idle()
    monkeypatch.setattr(service.last_call, "idle_s", lambda: 60 * service.settings.idle_minutes + 1)
    assert service.is_idle()
    service.store.add(name="a.svs", verb="score", options={}, slide=Path("/a.svs"))
    assert not service.is_idle()


def test_who_has_no_token_keeps_no_service_alive(idle_caller: Caller) -> None:
    before = idle_caller.service.last_call.idle_s()
    answer = idle_caller.http.get("/api/v1/jobs", headers={"Authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert idle_caller.service.last_call.idle_s() >= before
