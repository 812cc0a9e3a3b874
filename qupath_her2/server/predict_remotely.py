"""One image predicted by a network of a service: sent, waited for, and its run received."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from qupath_her2.errors import PatchError, ServiceError
from qupath_her2.server.client import ServiceClient
from qupath_her2.server.request_options import asked_options
from qupath_her2.server.score_remotely import refuse_project_images

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef
    from qupath_her2.server.discovery import RunningService

__all__ = ["predict_by_service"]


def predict_by_service(
    ref: SlideRef, network: str, service: bool | str | RunningService, **options: Any
) -> io.BytesIO:
    """Let a network of a service predict an image.

    Parameters
    ----------
    ref
        The image, which is sent with its regions.
    network
        Id of a network, as the service lists them.
    service
        As `server.client.called_service` takes it.
    **options
        As `server.job_options.JobOptions` names them; None is left out.

    Returns
    -------
    io.BytesIO
        The archived run, as `server.run_archive.install_run` takes it.

    Raises
    ------
    ServiceError
        No service answers, it has no such network, or the image is a QuPath project's.
    PatchError
        The image could not be predicted.
    """
    refuse_project_images([ref])
    wanted = {**asked_options(options), "verb": "predict", "checkpoint": network}
    with ServiceClient(service) as client:
        identity = client.submit(ref.path, name=ref.name, regions=ref.regions_path, options=wanted)
        try:
            job = client.wait(identity)
            if job["state"] == "cancelled":
                raise ServiceError(f"The prediction of '{ref.name}' was cancelled at the service. Ask again.")
            if job["state"] not in ("done", "refused"):
                raise PatchError(job["message"] or f"'{ref.name}' could not be predicted.")
            with client.run_archive(identity) as archive:
                return io.BytesIO(archive.read())
        finally:
            # What was sent and computed lies here now; the service keeps nothing of it.
            client.delete(identity)
