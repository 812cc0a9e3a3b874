"""Images scored, or searched for tumour, by a service: sent, waited for, their runs put into the exchange folder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

from qupath_her2.errors import Her2Error, ServiceError
from qupath_her2.project.exchange.runs import stored_score
from qupath_her2.records import ImageResult
from qupath_her2.runs.plan import exchange_folder, select_images
from qupath_her2.server.client import ServiceClient
from qupath_her2.server.request_options import REQUEST_OPTIONS, asked_options
from qupath_her2.server.run_archive import install_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qupath_her2.records import SlideRef
    from qupath_her2.server.discovery import RunningService

__all__ = ["refuse_project_images", "score_by_service"]

#: Jobs of one caller that wait in the queue at a time, so that others find a place in it.
_AHEAD = 4


def score_by_service(
    folder: Path,
    service: bool | str | RunningService,
    *,
    images: tuple[str, ...] = (),
    out: Path | None = None,
    cells: str | None = None,
    verb: Literal["score", "propose"] = "score",
    **options: Any,
) -> list[ImageResult]:
    """Score the images of a folder by a service, or propose tumour regions in them.

    Parameters
    ----------
    folder
        Folder of images with their region files.
    service
        As `server.client.called_service` takes it.
    images
        Names or patterns; empty takes all.
    out
        The exchange folder that receives the runs; None takes ``her2`` in `folder`.
    cells
        Source of cells by its name; None takes that of the service.
    verb
        ``propose`` proposes tumour regions.
    **options
        Of `REQUEST_OPTIONS`.

    Returns
    -------
    list[ImageResult]
        One per image, in the order of their names; failed ones are among them.

    Raises
    ------
    ServiceError
        No service answers, it refuses an image's options, or the images are a QuPath project's.
    """
    unknown = sorted(set(options) - set(REQUEST_OPTIONS))
    if unknown:
        raise ServiceError(
            f"A service does not take {', '.join(unknown)}: its own settings hold. Leave them out, or leave service= "
            "out to score here."
        )
    her2 = exchange_folder(folder, out)
    refs = select_images(folder, images, out)
    refuse_project_images(refs)
    wanted = {"verb": verb, **asked_options(options)}
    if cells is not None:
        wanted["cell_finder"] = cells
    with ServiceClient(service) as client:
        jobs: dict[str, str] = {}
        results: list[ImageResult] = []
        for number, ref in enumerate(refs):
            for ahead in refs[number : number + _AHEAD]:
                if ahead.id not in jobs:
                    jobs[ahead.id] = client.submit(
                        ahead.path, name=ahead.name, regions=ahead.regions_path, options=wanted
                    )
            results.append(_result(client, jobs[ref.id], ref, her2))
    return results


def refuse_project_images(refs: Sequence[SlideRef]) -> None:
    """Raise ServiceError where QuPath describes the images: a service sees their files alone."""
    if any(ref.entry_id is not None for ref in refs):
        raise ServiceError(
            "The images of a QuPath project are scored where their exchange folder lies. Leave service= out."
        )


def _result(client: ServiceClient, identity: str, ref: SlideRef, her2: Path) -> ImageResult:
    start = time.monotonic()
    job = client.wait(identity)
    try:
        if job["state"] not in ("done", "refused"):
            return ImageResult(
                ref.id, ref.name, "failed", error=job["message"] or job["state"], failure="unexpected"
            )
        with client.run_archive(identity) as archive:
            run_dir = install_run(archive, her2)
    except Her2Error as error:
        return ImageResult(ref.id, ref.name, "failed", error=str(error), failure="exchange")
    finally:
        # What was sent and computed lies here now; the service keeps nothing of it.
        client.delete(identity)
    score = stored_score(run_dir)
    return ImageResult(
        ref.id,
        ref.name,
        score.status,
        run_dir=run_dir,
        score=score,
        n_cells=score.n_cells,
        seconds=time.monotonic() - start,
    )
