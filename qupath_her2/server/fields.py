"""One field of view, scored while the caller waits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson
import shapely
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from qupath_her2.config import SETTINGS_FILE
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.project.folder import pulled_images
from qupath_her2.project.geojson.write_cells import cells_geojson
from qupath_her2.server.field_limits import MOST_AREA_PX2, too_large
from qupath_her2.server.job_options import JobOptions, check_options
from qupath_her2.server.jobs import allowed_path
from qupath_her2.server.problems import Problem
from qupath_her2.server.run_archive import zip_run
from qupath_her2.server.service import Service, service_of
from qupath_her2.server.slide_job import SlideJob

if TYPE_CHECKING:
    from qupath_her2.records import ImageResult, SlideRef
    from qupath_her2.server.field_job import FieldJob

__all__ = ["FieldRequest", "Rectangle", "router"]

_MOST_PX = 10_000_000
_ZIP = "application/zip"

Pixel = Annotated[float, Field(ge=-_MOST_PX, le=_MOST_PX, allow_inf_nan=False)]
Side = Annotated[float, Field(gt=0, le=_MOST_PX, allow_inf_nan=False)]


class Rectangle(BaseModel):
    """A rectangle, level-0 pixels; `x` and `y` are its top-left corner."""

    model_config = ConfigDict(extra="forbid")

    x: Pixel
    y: Pixel
    width: Side
    height: Side


class Polygon(BaseModel):
    """A GeoJSON geometry, level-0 pixels."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: list[Any]


class FieldRequest(BaseModel):
    """A field of a slide that is named in one of three ways, and how it is scored.

    Attributes
    ----------
    path
        File of the slide in an allowed folder.
    job
        Job whose slide it is.
    project, image
        Exchange folder (``her2``) of a pulled project in an allowed folder, and folder name of the image in it:
        pixel size, stains, case and crop are then the project's.
    rectangle, polygon
        The field, level-0 pixels.
    region
        Instead of its outline: UUID of the annotation of a project's image that is scored, whatever its class. Regions
        that take points from it, such as carcinoma in situ, are those of the project.
    id
        UUID of the annotation that an outline is; None makes one from the outline.
    options
        As for a job.
    """

    model_config = ConfigDict(extra="forbid")

    path: Annotated[str, Field(max_length=2000)] | None = None
    job: Annotated[str, Field(max_length=64)] | None = None
    project: Annotated[str, Field(max_length=2000)] | None = None
    image: Annotated[str, Field(max_length=100)] | None = None
    rectangle: Rectangle | None = None
    polygon: Polygon | None = None
    region: UUID | None = None
    id: UUID | None = None
    options: JobOptions = JobOptions()


router = APIRouter(prefix="/api/v1/fields", tags=["fields"])

TheService = Annotated[Service, Depends(service_of)]

_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {}, _ZIP: {}}}}


@router.post("", response_class=Response, responses=_ANSWERS)
def score_field(request: Request, service: TheService, field: FieldRequest) -> Response:
    """Score one field of view at once.

    The answer holds score, reason and the cells as GeoJSON that QuPath imports; with ``Accept: application/zip`` it is
    the finished run as in an exchange folder (``run.json``, ``score.json``, ``cells.npz`` …).

    Parameters
    ----------
    request
        The request.
    service
        The service.
    field
        The field.

    Returns
    -------
    Response
        JSON or ZIP.
    """
    with service.field_folder() as folder:
        result = service.fields.perform(_job(service, field, folder / "her2"))
        if result.run_dir is None:
            raise _problem(result)
        if _ZIP in request.headers.get("accept", ""):
            buffer = io.BytesIO()
            zip_run(result.run_dir, buffer)
            return Response(buffer.getvalue(), media_type=_ZIP)
        return Response(_answer(result), media_type="application/json")


def _problem(result: ImageResult) -> Problem:
    status = {"unreadable": 415, "output": 507, "killed": 500, "unexpected": 500}.get(result.failure, 422)
    return Problem(status, result.error or "The field could not be scored.")


def _job(service: Service, field: FieldRequest, out: Path) -> FieldJob:
    # Here, not above: the worker's part, which loads the image libraries.
    from qupath_her2.server.field_job import FieldJob

    check_options(field.options)
    if field.options.verb != "score":
        raise Problem(422, "A field is scored by its cells.", "Predictions are jobs.")
    geometry = _geometry(field)
    name, path, ref = _slide(service, field)
    options = field.options.model_dump(exclude_defaults=True)
    her2 = None if field.project is None else Path(field.project)
    slide = SlideJob(name, path, None, out, options, config=_settings_file(service, her2))
    if geometry is None:
        assert field.region is not None
        return FieldJob(slide, None, field.region, ref, her2)
    identity = field.id or uuid5(NAMESPACE_URL, shapely.to_wkt(geometry))
    return FieldJob(slide, shapely.geometry.mapping(geometry), identity, ref, her2)


def _settings_file(service: Service, her2: Path | None) -> Path | None:
    """Return the settings of the service, else those of a project, which lie beside its exchange folder."""
    if service.settings.config is not None or her2 is None:
        return service.settings.config
    path = her2.absolute().parent / SETTINGS_FILE
    return path if path.is_file() else None


def _slide(service: Service, field: FieldRequest) -> tuple[str, Path, SlideRef | None]:
    """Return name and file of the slide, and the image of a project."""
    named = [value is not None for value in (field.path, field.job, field.project)]
    if sum(named) != 1 or (field.project is None) != (field.image is None):
        raise Problem(422, "A field needs its slide.", "Name it by path, by job, or by project and image.")
    if field.path is not None:
        path = allowed_path(service, field.path)
        return path.name, path, None
    if field.job is not None:
        job = service.job(field.job)
        return job.name, Path(job.slide), None
    her2 = allowed_path(service, field.project or "", is_folder=True)
    images = {image.id: image for image in pulled_images(her2) or ()}
    ref = images.get(field.image or "")
    if ref is None:
        raise Problem(404, f"The project has no image {field.image!r}.", "Export it from QuPath again.")
    # What a project names is a request as much as what a caller names.
    return ref.name, allowed_path(service, str(ref.path)), ref


def _geometry(field: FieldRequest) -> shapely.Geometry | None:
    """Return the outline of a field; None where it is an annotation of a project."""
    named = [value is not None for value in (field.rectangle, field.polygon, field.region)]
    if sum(named) != 1:
        raise Problem(422, "A field is one rectangle or one polygon, or a region.", "Send one of them.")
    if field.region is not None:
        if field.project is None:
            raise Problem(422, "A region is that of an image of a project.", "Name project and image.")
        return None
    if field.rectangle is not None:
        r = field.rectangle
        found: shapely.Geometry = shapely.box(r.x, r.y, r.x + r.width, r.y + r.height)
    else:
        assert field.polygon is not None
        try:
            found = shapely.from_geojson(orjson.dumps(field.polygon.model_dump()))
        except (shapely.errors.GEOSException, TypeError, ValueError) as error:
            raise Problem(422, f"The polygon is none: {error}.") from error
    if not shapely.is_valid(found) or shapely.is_empty(found):
        raise Problem(422, f"The outline is none: {shapely.is_valid_reason(found)}.")
    if found.area > MOST_AREA_PX2:
        raise Problem(422, too_large(found.area), "Score so much tissue as a job.")
    return found


def _answer(result: ImageResult) -> bytes:
    assert result.run_dir is not None
    _, cells, score = read_run(result.run_dir)
    assert cells is not None
    said = {
        "status": score.status,
        "score": score.score,
        "reason": score.reason,
        "guideline": score.guideline_words,
        "warnings": list(score.warnings),
        "shares": {name: round(100 * share, 2) for name, share in score.shares.items()},
        "n_cells": score.n_cells,
        "seconds": round(result.seconds, 3),
        "research_use_only": True,
    }
    # The cells are text already, and many.
    return orjson.dumps(said)[:-1] + b',"cells":' + b"".join(cells_geojson(cells)) + b"}"
