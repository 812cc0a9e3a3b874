"""Refused requests: a sentence that says what is wrong, the way out, and the HTTP status."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING, Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from qupath_her2.errors import Her2Error, OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI, Request

__all__ = ["PROBLEMS", "Problem", "ProblemView", "answer_problems", "problem_response", "said_faults"]

_logger = logging.getLogger("qupath_her2.server")
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}


class ProblemView(BaseModel):
    """What is wrong with a request, and the way out."""

    error: str
    advice: str


#: The answers to refused requests, for the description of the API; any call may have any of them.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemView}
    for code in (400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 422, 429, 500, 503, 504, 507)
}


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


def problem_response(problem: Problem) -> JSONResponse:
    """Return the answer to a refused request."""
    content = {"error": problem.error, "advice": problem.advice}
    return JSONResponse(content, problem.status, headers=problem.headers)


def said_faults(faults: Sequence[Mapping[str, Any]]) -> str:
    """Return the faults that pydantic found in one line, ``place: what is wrong; …``."""
    places = (".".join(str(part) for part in one["loc"]) or "all of it" for one in faults)
    return "; ".join(f"{place}: {one['msg']}" for place, one in zip(places, faults, strict=True))


def answer_problems(app: FastAPI) -> None:
    """Make an app answer a `Problem` with its sentences, and any other error in the same form."""

    # Starlette types handlers by the base class, and calls each with the class it was added for.
    def refused(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        return problem_response(error)

    def failed(_request: Request, error: Exception) -> JSONResponse:
        return problem_response(Problem(500, str(error)))

    def unwritten(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OutputError)
        # The folder is the service's own business: its path is no help to the caller.
        if error.errno in _FULL:
            return problem_response(Problem(507, "The disk of the service is full.", "Delete ended jobs."))
        return problem_response(Problem(500, f"The service cannot write its files ({error})."))

    def unfit(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        said = said_faults(error.errors())
        return problem_response(Problem(422, f"The request does not fit: {said}.", "See /openapi.json."))

    def unrouted(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem_response(Problem(error.status_code, f"{error.detail}.", headers=error.headers))

    def unexpected(request: Request, error: Exception) -> JSONResponse:
        # The traceback is for whoever runs the service, in its log; the caller gets a sentence.
        _logger.error("unexpected error at %s %s", request.method, request.url.path, exc_info=error)
        what = f"Unexpected {type(error).__name__} in the service."
        return problem_response(Problem(500, what, "Please report it with the service's log."))

    app.add_exception_handler(Problem, refused)
    app.add_exception_handler(Her2Error, failed)
    app.add_exception_handler(OutputError, unwritten)
    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(HTTPException, unrouted)
    app.add_exception_handler(Exception, unexpected)
