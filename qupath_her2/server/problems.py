"""Refused requests: a sentence that says what is wrong, the way out, and the HTTP status."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.responses import JSONResponse

from qupath_her2.errors import Her2Error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI, Request

__all__ = ["Problem", "answer_problems"]


class Problem(Exception):
    """A request that cannot be answered; sent as ``{"error": sentence, "advice": way out}``.

    Parameters
    ----------
    status
        HTTP status, 400 to 599.
    error
        What is wrong, with the value met and where.
    advice
        The way out; "" where `error` names it.
    headers
        Further headers of the answer, such as ``Retry-After``.
    """

    def __init__(
        self, status: int, error: str, advice: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.advice = status, error, advice
        self.headers = dict(headers or {})


def answer_problems(app: FastAPI) -> None:
    """Make an app answer a `Problem` with its sentences, and any other error of this package with its message."""

    # Starlette types handlers by the base class, and calls each with the class it was added for.
    def refused(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return JSONResponse(
            {"error": error.error, "advice": error.advice}, error.status, headers=error.headers
        )

    def failed(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error), "advice": ""}, 500)

    app.add_exception_handler(Problem, refused)
    app.add_exception_handler(Her2Error, failed)
