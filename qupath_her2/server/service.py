"""The service as the routers see it: its settings, queue, workers and folders."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Not for types alone: FastAPI reads the annotations of `service_of`.
from fastapi import Request

from qupath_her2.server.deep_zoom import SlideViews
from qupath_her2.server.field_runner import FieldRunner
from qupath_her2.server.idleness import LastCall
from qupath_her2.server.job_files import JobFiles
from qupath_her2.server.job_store import JobStore, new_id
from qupath_her2.server.networks import checkpoint_of
from qupath_her2.server.problems import Problem
from qupath_her2.server.runner import JobRunner
from qupath_her2.server.slide_job import SlideJob
from qupath_her2.server.slide_look import SlideLook
from qupath_her2.server.stored_cells import StoredRuns

if TYPE_CHECKING:
    from qupath_her2.server.job_store import StoredJob
    from qupath_her2.server.settings import ServiceSettings

__all__ = ["Service", "service_of"]

_RETRY_AFTER_S = 15


class Service:
    """Queue, workers and folders of one running service.

    Parameters
    ----------
    settings
        What it was told.
    token
        The secret of its callers.

    Raises
    ------
    OutputError
        The state folder cannot be written.
    """

    def __init__(self, settings: ServiceSettings, token: str) -> None:
        self.settings, self.token = settings, token
        self.store = JobStore(settings.state / "jobs.sqlite")
        self.fields = FieldRunner(threads=settings.threads, idle_s=60 * settings.idle_minutes)
        self.views = SlideViews(self.job_files)
        self.runs = StoredRuns()
        self.is_stopping = False
        self.last_call = LastCall()
        self._n_receiving = 0
        self.runner = JobRunner(
            self.store,
            self._slide_job,
            workers=settings.workers,
            threads=settings.threads,
            idle_s=60 * settings.idle_minutes,
        )

    @property
    def uploads(self) -> Path:
        """Folder of the uploaded files, a folder for each upload."""
        return self.settings.state / "uploads"

    def job_folder(self, identity: str) -> Path:
        """Return the folder of a job's results."""
        return self.settings.state / "jobs" / identity

    def start(self) -> None:
        """Remove what a killed service left without a job, and begin to work."""
        shutil.rmtree(self.settings.state / "fields", ignore_errors=True)
        for folder, known in (
            (self.uploads, self.store.uploads()),
            (self.settings.state / "jobs", self.store.ids()),
        ):
            for left in folder.iterdir() if folder.is_dir() else ():
                if left.name not in known:
                    shutil.rmtree(left, ignore_errors=True)
        self.runner.start()

    def warm_up(self) -> None:
        """Let the process for fields load what it needs, before somebody waits for it; returns at once."""
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()

    def _warm_up(self) -> None:
        # Here, not above: the worker's part, which loads the image libraries.
        from qupath_her2.server.field_job import WarmUp

        # Where the service ends meanwhile, nobody needs it any more.
        with self.field_folder() as folder, contextlib.suppress(Problem):
            self.fields.perform(WarmUp(folder))

    @contextlib.contextmanager
    def field_folder(self) -> Iterator[Path]:
        """Make a folder for what belongs to one field, and remove it in the end."""
        folder = self.settings.state / "fields" / new_id()
        folder.mkdir(parents=True, mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def stop(self) -> None:
        """End in order: running jobs wait for the next start."""
        self.is_stopping = True
        self.runner.stop()
        self.fields.stop()
        self.views.close()
        self.store.close()

    def is_idle(self) -> bool:
        """Return whether nobody has called for the time of the settings, and no job is left to do."""
        is_quiet = self.last_call.idle_s() > 60 * self.settings.idle_minutes
        return is_quiet and not self.store.n_unfinished()

    def job(self, identity: str) -> StoredJob:
        """Return a job; Problem 404 where there is none."""
        found = self.store.get(identity)
        if found is None:
            raise Problem(404, "There is no such job.", "GET /api/v1/jobs lists them.")
        return found

    def job_files(self, identity: str) -> JobFiles:
        """Return where the files of a job lie; Problem 404 where there is no such job."""
        job = self.job(identity)
        return JobFiles(job.name, Path(job.slide), None if job.run_dir is None else Path(job.run_dir))

    def refuse_if_full(self) -> None:
        """Raise Problem 429 where as many jobs wait, or come in just now, as may."""
        most = self.settings.max_waiting
        if self.store.n_waiting() + self._n_receiving >= most:
            raise Problem(
                429,
                f"{most} jobs are waiting already.",
                "Try again later.",
                {"Retry-After": str(_RETRY_AFTER_S)},
            )

    @contextlib.contextmanager
    def receiving(self) -> Iterator[None]:
        """Count an upload while it comes in; Problem 429 where there is no place in the queue for it."""
        # Asked and counted in one turn of the event loop: no lock is needed.
        self.refuse_if_full()
        self._n_receiving += 1
        try:
            yield
        finally:
            self._n_receiving -= 1

    def look_at(self, slide: Path, name: str) -> None:
        """Raise Problem 415 where an uploaded file cannot be opened as a slide."""
        found = self.fields.perform(SlideLook(slide, name))
        if found.state == "failed":
            said = found.error or f"'{name}' cannot be read."
            if found.failure == "killed":
                said = f"'{name}' ended the process that opened it."
            raise Problem(415, said, "Send a slide or an image that opens in QuPath.")

    def checkpoint(self, network: str | None) -> Path | None:
        """Return the checkpoint of a network, path without ending; Problem 422 where there is none of this id."""
        return None if network is None else checkpoint_of(self.settings.models, network).absolute()

    def remove(self, job: StoredJob) -> None:
        """Delete an ended job with its results, and the uploaded files once no job needs them."""
        self.store.remove(job.id)
        # Windows deletes no open file.
        self.views.release(job.id)
        if job.run_dir is not None:
            self.runs.forget(Path(job.run_dir))
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.job_folder(job.id))
        if job.upload is not None and job.upload not in self.store.uploads():
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.uploads / job.upload)

    def _slide_job(self, job: StoredJob) -> SlideJob:
        return SlideJob(
            name=job.name,
            slide=Path(job.slide),
            regions=None if job.regions is None else Path(job.regions),
            out=self.job_folder(job.id) / "her2",
            options=job.options,
            checkpoint=self.checkpoint(job.options.get("checkpoint")),
            config=self.settings.config,
        )


def service_of(request: Request) -> Service:
    """Return the service that answers a request; for ``Depends``."""
    service: Service = request.app.state.service
    return service
