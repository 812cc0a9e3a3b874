"""The application: middleware, routers and life span around one `Service`."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from qupath_her2.provenance import versions
from qupath_her2.server import fields, jobs
from qupath_her2.server.access import AccessCheck, allowed_hosts
from qupath_her2.server.choices import choices_router
from qupath_her2.server.deep_zoom import deep_zoom_router
from qupath_her2.server.idleness import CallWatch
from qupath_her2.server.networks import networks_router
from qupath_her2.server.page_files import page_router
from qupath_her2.server.problems import PROBLEMS, Problem, answer_problems
from qupath_her2.server.results import results_router

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from qupath_her2.server.service import Service

__all__ = ["API", "create_app"]

#: Version of the API: the ``v1`` of its paths.
API = "1"


def create_app(service: Service, port: int) -> FastAPI:
    """Return the application of a service that listens on `port`."""

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.start)
        yield
        await run_in_threadpool(service.stop)

    version = versions()["qupath-her2"]
    app = FastAPI(
        title="qupath-her2",
        version=version,
        description="HER2 scoring. Research use only.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
    )
    app.state.service = service
    answer_problems(app)

    @app.get("/healthz")
    def healthz() -> dict[str, str | int]:
        """Say that the service runs; no token is needed."""
        if not service.runner.is_alive():
            raise Problem(
                500, "The queue stands still.", "End the service and start it again; no job is lost."
            )
        return {"status": "ok", "version": version, "api": API, "pid": os.getpid()}

    settings = service.settings
    for router in (
        jobs.router,
        fields.router,
        results_router(service.job_files, service.runs),
        deep_zoom_router(service.views),
        choices_router(),
        networks_router(settings.models),
    ):
        # For the description of the API alone: `AccessCheck` has asked for the token by then.
        app.include_router(router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(page_router())
    # Inside the check: who has no token keeps no service alive.
    app.add_middleware(CallWatch, last=service.last_call)
    app.add_middleware(
        AccessCheck,
        token=service.token,
        hosts=allowed_hosts((settings.host, *settings.names), port),
        scheme=settings.scheme,
    )
    return app
