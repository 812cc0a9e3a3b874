"""The page of the service: files that a browser loads without a token, since they hold nothing of anybody."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from qupath_her2.server.problems import Problem

__all__ = ["page_router"]

_FOLDER = Path(__file__).parent / "page"
#: Stated here, since the operating system's table may be wrong: a browser runs no module that is sent as plain text.
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_FILES = {path.name: path for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES}


def page_router() -> APIRouter:
    """Return the routes ``/`` and ``/static/NAME``."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def page() -> Response:
        return _sent("index.html")

    @router.get("/static/{name}")
    def file(name: str) -> Response:
        return _sent(name)

    return router


def _sent(name: str) -> Response:
    # Names are looked up and never joined to a folder: nothing but these files can be asked for.
    path = _FILES.get(name)
    if path is None:
        raise Problem(404, f"The page has no file {name!r}.", "Load the page again.")
    # Asked again at each visit: after an update the parts of the page must fit each other.
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})
