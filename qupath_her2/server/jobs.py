"""The jobs of the API: create, list, look at, follow, retry, cancel and delete."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sse_starlette.sse import EventSourceResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from qupath_her2.project.image_files import image_suffix
from qupath_her2.server.job_options import JobOptions, read_options
from qupath_her2.server.job_store import ENDED, JobState, StoredJob
from qupath_her2.server.problems import Problem
from qupath_her2.server.run_archive import zip_run
from qupath_her2.server.service import Service, service_of
from qupath_her2.server.uploads import receive_upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from qupath_her2.server.uploads import Upload

__all__ = ["JobView", "allowed_path", "job_view", "router"]

#: A change of a job is told after at most so many seconds.
_TELL_S = 0.3
_PART_BYTES = 1 << 20

_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "slide": {"type": "string", "format": "binary", "description": "The slide."},
                    "path": {
                        "type": "string",
                        "description": "Instead of it: its path below an allowed folder.",
                    },
                    "regions": {
                        "type": "string",
                        "format": "binary",
                        "description": "GeoJSON of its regions.",
                    },
                    "options": {"type": "string", "description": "JSON object, see JobOptions."},
                },
            }
        }
    },
}


class JobView(BaseModel):
    """A job as callers see it; times are ISO 8601, UTC, `progress` is 0..1, `eta_s` in seconds."""

    id: str
    name: str
    verb: str
    state: JobState
    created: str
    started: str | None
    ended: str | None
    progress: float
    eta_s: float | None
    message: str
    needs: list[str]
    options: dict[str, Any]


def job_view(service: Service, job: StoredJob) -> JobView:
    """Return a job with its progress."""
    live = service.runner.progress(job.id)
    is_running = job.state == "running"
    return JobView(
        id=job.id,
        name=job.name,
        verb=job.verb,
        state=job.state,
        created=job.created,
        started=job.started,
        ended=job.ended,
        progress=live.done if is_running else float(job.state in ("done", "refused")),
        eta_s=live.eta_s if is_running else None,
        message=live.message if is_running else job.message,
        needs=list(job.needs),
        options=job.options,
    )


router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

TheService = Annotated[Service, Depends(service_of)]


@router.post("", status_code=201, openapi_extra={"requestBody": _FORM})
async def create_job(request: Request, service: TheService) -> JobView:
    """Put a slide into the queue."""
    with service.receiving():
        upload = await receive_upload(request, service.uploads, service.settings.max_upload_bytes)
        try:
            return await run_in_threadpool(_accept, service, upload)
        except BaseException:
            upload.discard()
            raise


def _accept(service: Service, upload: Upload) -> JobView:
    options = read_options(_json(upload.fields.get("options", "{}")))
    service.checkpoint(options.checkpoint)
    name, slide = _slide(service, upload)
    if "slide" in upload.files:
        service.look_at(slide, name)
    job = service.store.add(
        name=name,
        verb=options.verb,
        options=options.model_dump(exclude_defaults=True),
        slide=slide,
        regions=upload.files.get("regions"),
        upload=upload.id if upload.files else None,
    )
    service.runner.wake()
    return job_view(service, job)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Problem(422, f"The options are not JSON: {error}.") from error


def _slide(service: Service, upload: Upload) -> tuple[str, Path]:
    """Return name and file of the slide."""
    named, sent = upload.fields.get("path"), upload.files.get("slide")
    if (named is None) == (sent is None):
        raise Problem(
            422, "A job needs one slide.", "Send it as the part slide, or name it as the part path."
        )
    if sent is None:
        path = allowed_path(service, named or "")
        return path.name, path
    name = upload.names["slide"]
    if image_suffix(name) is None:
        raise Problem(
            415, f"'{name}' does not end like a slide or an image.", "Send SVS, NDPI, TIFF, PNG, JPEG …"
        )
    if sent.stat().st_size == 0:
        raise Problem(415, f"'{name}' is empty.", "Send it again.")
    return name, sent


def allowed_path(service: Service, text: str, *, is_folder: bool = False) -> Path:
    """Return a path below one of the allowed folders, links resolved.

    Parameters
    ----------
    service
        The service.
    text
        As a caller or a project names it.
    is_folder
        A folder is meant, not a file.

    Returns
    -------
    Path
        It exists.

    Raises
    ------
    Problem
        403 where it lies elsewhere, 404 where it does not exist.
    """
    try:
        path = Path(text).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise Problem(422, "The path is no path.") from error
    # Asked first: what lies elsewhere is not told from what does not exist.
    if not any(path.is_relative_to(root.resolve()) for root in service.settings.roots):
        raise Problem(
            403, "The path lies in no allowed folder.", "Start the service with --root and its folder."
        )
    if not (path.is_dir() if is_folder else path.is_file()):
        raise Problem(404, f"There is no '{path}'.", "Check the path.")
    return path


@router.get("")
def list_jobs(service: TheService) -> list[JobView]:
    """List the newest jobs, newest first."""
    return [job_view(service, job) for job in service.store.history()]


@router.get("/{job_id}")
def get_job(job_id: str, service: TheService) -> JobView:
    """Look at one job."""
    return job_view(service, service.job(job_id))


@router.get(
    "/{job_id}/run.zip", response_class=Response, responses={200: {"content": {"application/zip": {}}}}
)
def download_run(job_id: str, service: TheService) -> Response:
    """Download the finished run as it lies in an exchange folder."""
    run_dir = service.job_files(job_id).run_dir
    if run_dir is None:
        raise Problem(409, "The job has no result.", "Wait until it is done.")
    # On disk: a whole slide has hundreds of megabytes of cells.
    file = tempfile.TemporaryFile()  # noqa: SIM115
    zip_run(run_dir, file)
    file.seek(0)
    return StreamingResponse(
        iter(lambda: file.read(_PART_BYTES), b""),
        media_type="application/zip",
        background=BackgroundTask(file.close),
    )


@router.delete("/{job_id}", status_code=204)
def delete_job(job_id: str, service: TheService) -> Response:
    """Cancel a job that waits or runs, or delete one that has ended, with its files."""
    job = service.job(job_id)
    if job.state in ENDED:
        service.remove(job)
    elif not service.store.cancel_waiting(job_id):
        service.runner.cancel(job_id)
    return Response(status_code=204)


@router.post("/{job_id}/retry", status_code=201)
def retry_job(job_id: str, service: TheService, options: Annotated[dict[str, Any], Body()]) -> JobView:
    """Put the same slide into the queue again, with these options over the earlier ones.

    Parameters
    ----------
    job_id
        The earlier job, in any state.
    service
        The service.
    options
        Further options, see JobOptions.

    Returns
    -------
    JobView
        The new job.
    """
    old = service.job(job_id)
    chosen: JobOptions = read_options({**old.options, "verb": old.verb, **options})
    service.checkpoint(chosen.checkpoint)
    service.refuse_if_full()
    job = service.store.add(
        name=old.name,
        verb=chosen.verb,
        options=chosen.model_dump(exclude_defaults=True),
        slide=Path(old.slide),
        regions=None if old.regions is None else Path(old.regions),
        upload=old.upload,
    )
    service.runner.wake()
    return job_view(service, job)


@router.get("/{job_id}/events", response_class=EventSourceResponse)
async def follow_job(job_id: str, service: TheService) -> EventSourceResponse:
    """Follow a job: server-sent events, each a job as JSON, until it has ended."""
    service.job(job_id)
    return EventSourceResponse(_changes(service, job_id))


async def _changes(service: Service, job_id: str) -> AsyncIterator[dict[str, str]]:
    told = ""
    while not service.is_stopping:
        job = service.store.get(job_id)
        if job is None:
            return
        text = job_view(service, job).model_dump_json()
        if text != told:
            yield {"data": text}
            told = text
        if job.state in ENDED:
            return
        await asyncio.sleep(_TELL_S)
