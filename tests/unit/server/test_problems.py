"""Refused requests are answered with a sentence and a way out, never with a traceback."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="NOT TESTED: pip install qupath-her2[serve]")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from qupath_her2.errors import ExchangeError
from qupath_her2.server.problems import Problem, answer_problems


def app_that_raises(error: Exception) -> TestClient:
    app = FastAPI()
    answer_problems(app)

    @app.get("/")
    def fail() -> None:
        raise error

    return TestClient(app)


def test_a_problem_is_sent_with_its_status_and_headers() -> None:
    answer = app_that_raises(
        Problem(429, "The queue is full.", "Try again later.", {"Retry-After": "9"})
    ).get("/")
    assert answer.status_code == 429
    assert answer.json() == {"error": "The queue is full.", "advice": "Try again later."}
    assert answer.headers["Retry-After"] == "9"


def test_another_error_of_the_package_is_sent_as_its_message() -> None:
    answer = app_that_raises(ExchangeError("run.json is not JSON. Score the image again.")).get("/")
    assert answer.status_code == 500
    assert answer.json() == {"error": "run.json is not JSON. Score the image again.", "advice": ""}
