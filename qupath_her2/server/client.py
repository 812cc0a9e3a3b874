"""Calls to a running service from Python."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from qupath_her2.errors import ServiceError
from qupath_her2.server.discovery import RunningService, find_service, health_of
from qupath_her2.server.extra import need_service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["TOKEN_VARIABLE", "ServiceClient", "called_service"]

#: Holds the token of a service that is named by its address.
TOKEN_VARIABLE = "QUPATH_HER2_TOKEN"
_POLL_S = 0.3
_REFUSED_S = 5.0
_CALL_S = 300.0


def called_service(service: bool | str | RunningService) -> RunningService:
    """Return the service that a caller means.

    Parameters
    ----------
    service
        True for that of this user, found by its discovery file; or its address, with the token in
        ``QUPATH_HER2_TOKEN`` unless it is this user's own.

    Returns
    -------
    RunningService
        It answers.

    Raises
    ------
    ServiceError
        None runs, or its token is not known.
    """
    if isinstance(service, RunningService):
        return service
    own = find_service()
    if isinstance(service, bool):
        if own is None:
            raise ServiceError("No service runs for this user. Start one: qupath-her2 serve.")
        return own
    url = service.rstrip("/")
    if own is not None and own.url == url:
        return own
    health = health_of(url)
    if health is None:
        raise ServiceError(f"No service answers at '{url}'. Check the address.")
    token = os.environ.get(TOKEN_VARIABLE)
    if not token:
        raise ServiceError(
            f"The token of the service at '{url}' is not known. Set the variable {TOKEN_VARIABLE} to it."
        )
    return RunningService(url, token, int(health["pid"]), str(health["version"]))


class ServiceClient:
    """Calls to one service; close it, or use it in a ``with`` statement.

    Parameters
    ----------
    service
        As `called_service` takes it.

    Raises
    ------
    ServiceError
        The service cannot be found or does not answer; a call that it refuses.
    """

    def __init__(self, service: bool | str | RunningService = True) -> None:
        need_service()
        import httpx

        self.service = called_service(service)
        self._http = httpx.Client(
            base_url=self.service.url,
            headers={"Authorization": f"Bearer {self.service.token}"},
            timeout=_CALL_S,
            # This machine's own addresses need no proxy, and those of others are the caller's choice.
            trust_env=False,
        )

    def __enter__(self) -> ServiceClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def submit(
        self, slide: Path, *, name: str, regions: Path | None = None, options: Mapping[str, Any] | None = None
    ) -> str:
        """Put a slide into the queue, and wait for a place in it where it is full.

        Parameters
        ----------
        slide
            The file, which is sent.
        name
            Its file name.
        regions
            Its region file, which is sent too.
        options
            As `server.job_options.JobOptions` names them.

        Returns
        -------
        str
            Id of the job.
        """
        while True:
            with contextlib.ExitStack() as stack:
                files: dict[str, Any] = {"slide": (name, stack.enter_context(slide.open("rb")))}
                if regions is not None:
                    files["regions"] = (regions.name, stack.enter_context(regions.open("rb")))
                data = {"options": json.dumps(dict(options or {}))}
                answer = self._call("POST", "/api/v1/jobs", files=files, data=data, accepted=(429,))
            if answer.status_code != 429:
                return str(answer.json()["id"])
            time.sleep(float(answer.headers.get("Retry-After", _REFUSED_S)))

    def job(self, identity: str) -> dict[str, Any]:
        """Return a job: its state, progress and message."""
        found: dict[str, Any] = self._call("GET", f"/api/v1/jobs/{identity}").json()
        return found

    def wait(self, identity: str, listen: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
        """Return a job once it has ended; `listen` is called with each change."""
        told: dict[str, Any] = {}
        while True:
            job = self.job(identity)
            if listen is not None and job != told:
                listen(job)
            told = job
            if job["state"] not in ("waiting", "running"):
                return job
            time.sleep(_POLL_S)

    @contextlib.contextmanager
    def run_archive(self, identity: str) -> Iterator[IO[bytes]]:
        """Open the finished run of a job, as `server.run_archive.install_run` takes it."""
        # A whole slide has hundreds of megabytes of cells.
        with tempfile.TemporaryFile() as file:
            with self._http.stream("GET", f"/api/v1/jobs/{identity}/run.zip") as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _refused(answer)
                for part in answer.iter_bytes():
                    file.write(part)
            file.seek(0)
            yield file

    def score_field(self, **field: Any) -> dict[str, Any]:
        """Score one field of view at once, and return score, reason and cells.

        Parameters
        ----------
        **field
            ``path``, ``job`` or ``project`` and ``image``; ``rectangle`` or ``polygon``; ``options``: see
            `server.fields.FieldRequest`.

        Returns
        -------
        dict[str, Any]
            Its ``cells`` are a GeoJSON FeatureCollection in level-0 pixels.
        """
        found: dict[str, Any] = self._call("POST", "/api/v1/fields", json=field).json()
        return found

    def delete(self, identity: str) -> None:
        """Cancel a job, or delete one that has ended with its files."""
        self._call("DELETE", f"/api/v1/jobs/{identity}")

    def _call(self, method: str, path: str, *, accepted: tuple[int, ...] = (), **what: Any) -> Any:
        import httpx

        try:
            answer = self._http.request(method, path, **what)
        except httpx.HTTPError as error:
            raise ServiceError(
                f"The service at '{self.service.url}' does not answer ({error}). Start it again: qupath-her2 serve."
            ) from error
        if answer.is_error and answer.status_code not in accepted:
            raise _refused(answer)
        return answer


def _refused(answer: Any) -> ServiceError:
    try:
        said = answer.json()
        return ServiceError(f"{said['error']} {said['advice']}".strip())
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"The service answered {answer.status_code} {answer.reason_phrase}.")
