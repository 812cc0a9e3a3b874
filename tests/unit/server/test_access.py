from __future__ import annotations

import pytest

from qupath_her2.server.access import allowed_hosts
from tests.unit.server.conftest import PORT, Caller


def test_hosts_are_this_machine_and_the_chosen_address() -> None:
    assert allowed_hosts(["127.0.0.1"], 5) == {"127.0.0.1:5", "localhost:5", "[::1]:5"}
    assert {"[fd00::1]:5", "pathology:5"} <= allowed_hosts(["fd00::1", "Pathology"], 5)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:8123", ""]
)
def test_a_foreign_name_of_this_machine_is_refused(idle_caller: Caller, host: str) -> None:
    answer = idle_caller.http.get("/healthz", headers={"Host": host})
    assert answer.status_code == 421
    assert "name" in answer.json()["error"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"https://127.0.0.1:{PORT}"])
def test_a_foreign_page_is_refused_even_with_the_token(idle_caller: Caller, origin: str) -> None:
    assert idle_caller.http.get("/api/v1/jobs", headers={"Origin": origin}).status_code == 403
    own = {"Origin": f"http://127.0.0.1:{PORT}"}
    assert idle_caller.http.get("/api/v1/jobs", headers=own).status_code == 200


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", "Basic a token of the tests", "Bearer \u00e9"]
)
def test_the_api_asks_for_the_token(idle_caller: Caller, given: str) -> None:
    answer = idle_caller.http.get("/api/v1/jobs", headers={"Authorization": given.encode()})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert set(answer.json()) == {"error", "advice"}


def test_health_needs_no_token_and_every_answer_forbids_foreign_content(idle_caller: Caller) -> None:
    answer = idle_caller.http.get("/healthz", headers={"Authorization": ""})
    assert answer.json()["status"] == "ok"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
