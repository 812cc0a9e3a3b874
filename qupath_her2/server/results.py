"""Routes of a job's result: score, cells in view, a cell's measurements, layers, and downloads."""

from __future__ import annotations

from pathlib import PurePath
from threading import Lock
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote
from uuid import UUID

import orjson
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import FileResponse, StreamingResponse

from qupath_her2.project.geojson.write_cells import cells_geojson
from qupath_her2.project.visible_text import visible_name
from qupath_her2.records import Box
from qupath_her2.report.build import write_report
from qupath_her2.report.cell_csv import cells_csv
from qupath_her2.server.problems import Problem
from qupath_her2.server.run_summary import cut_geojson, pictures_of_run, run_summary
from qupath_her2.server.stored_cells import (
    StoredRun,
    StoredRuns,
    cell_features,
    cell_measurements,
    cell_points,
    find_cell,
)

if TYPE_CHECKING:
    import pathlib

    from qupath_her2.server.job_files import FindJob, JobFiles

__all__ = ["MOST_OUTLINES", "results_router"]

#: Cells that one request returns with their outlines: about 1 MB.
MOST_OUTLINES = 5_000
#: Far beyond any slide, level-0 px.
_MOST_PX = 10_000_000

_GEOJSON = "application/geo+json"
_CSV = "text/csv; charset=utf-8"
Pixel = Annotated[int, Query(ge=-_MOST_PX, le=_MOST_PX)]
Side = Annotated[int, Query(ge=1, le=2 * _MOST_PX)]


class _Results:
    """Finished runs of jobs."""

    def __init__(self, find: FindJob, runs: StoredRuns) -> None:
        self._find = find
        self._runs = runs
        self._reporting = Lock()

    def run_dir(self, job_id: str) -> tuple[JobFiles, pathlib.Path]:
        """Return the files of a job and the folder of its run; Problem 409 while there is none."""
        files = self._find(job_id)
        if files.run_dir is None:
            raise Problem(
                409, f"'{visible_name(files.name)}' has no result yet.", "Wait until its job is done."
            )
        return files, files.run_dir

    def read(self, job_id: str) -> StoredRun:
        """Return the run of a job; Problem 409 while there is none."""
        return self._runs.read(self.run_dir(job_id)[1])

    def report(self, run_dir: pathlib.Path) -> pathlib.Path:
        """Return the report of a run, written when it is first asked for."""
        # results/<image>/<run> lies in the exchange folder, and the report beside results.
        out = run_dir.parents[2]
        path = out / "report.html"
        with self._reporting:
            if not path.is_file() or path.stat().st_mtime < (run_dir / "run.json").stat().st_mtime:
                write_report(out)
        return path


def _attachment(name: str, ending: str) -> dict[str, str]:
    """Return the header by which a browser saves an answer, under the slide's name with another ending."""
    saved = f"{PurePath(visible_name(name)).name.split('.')[0] or 'slide'}{ending}"
    # RFC 6266: the plain name for old programs, the encoded one for all characters.
    plain = "".join(c if c.isascii() and c not in '"\\' and c.isprintable() else "_" for c in saved)
    return {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(saved, safe='')}"
    }


def results_router(find: FindJob, runs: StoredRuns | None = None) -> APIRouter:
    """Return the routes below ``/api/v1/jobs/{job_id}`` that read a finished run.

    Parameters
    ----------
    find
        Finds the files of a job.
    runs
        Runs kept in memory; None keeps them for these routes alone.

    Returns
    -------
    APIRouter
        The routes, which do not check who asks.
    """
    router = APIRouter(prefix="/api/v1/jobs/{job_id}", tags=["result"])
    results = _Results(find, runs or StoredRuns())
    _add_result(router, results)
    _add_cells(router, results)
    _add_downloads(router, results)
    return router


def _json(content: Any, media_type: str = "application/json") -> Response:
    return Response(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), media_type=media_type)


def _add_result(router: APIRouter, results: _Results) -> None:
    @router.get("/result")
    def result(job_id: str) -> dict[str, Any]:
        """Return the score with its reason, the share of each class with its interval, warnings, and layers."""
        files, run_dir = results.run_dir(job_id)
        return run_summary(results.read(job_id), run_dir, files.name)

    @router.get(
        "/layers/{layer_id}",
        response_class=Response,
        responses={200: {"content": {"image/png": {}, _GEOJSON: {}}}},
    )
    def layer(job_id: str, layer_id: str) -> Response:
        """Return a picture to be laid over the slide (PNG), or the areas that were ``cut`` out (GeoJSON)."""
        run, (_, run_dir) = results.read(job_id), results.run_dir(job_id)
        if layer_id == "cut":
            return Response(cut_geojson(run), media_type=_GEOJSON)
        names = [overlay.file for overlay in pictures_of_run(run, run_dir)]
        if layer_id not in names:
            raise Problem(
                404, f"The result has no layer {layer_id!r}.", f"It has: {', '.join([*names, 'cut'])}."
            )
        return FileResponse(run_dir / layer_id, media_type="image/png")


def _add_cells(router: APIRouter, results: _Results) -> None:
    @router.get("/cells", response_class=Response, responses={200: {"content": {_GEOJSON: {}}}})
    def cells(
        job_id: str,
        x: Pixel,
        y: Pixel,
        width: Side,
        height: Side,
        limit: Annotated[int, Query(ge=1, le=MOST_OUTLINES)] = MOST_OUTLINES,
    ) -> Response:
        """Return the outlines of the cells in a rectangle, level-0 pixels; ``total`` is their number."""
        return _json(cell_features(results.read(job_id).cells, Box(x, y, width, height), limit), _GEOJSON)

    # Before the route of one cell, whose id would match it.
    @router.get(
        "/cells/points", response_class=Response, responses={200: {"content": {"application/json": {}}}}
    )
    def points(job_id: str) -> Response:
        """Return centroid and class of all cells as columns; of very many, a sample."""
        return _json(cell_points(results.read(job_id).cells))

    @router.get("/cells/{cell_id}")
    def cell(job_id: str, cell_id: Annotated[UUID, Path()]) -> dict[str, Any]:
        """Return class, region and measurements of a cell."""
        run = results.read(job_id)
        row = find_cell(run.cells, cell_id)
        if row is None:
            raise Problem(404, f"The result has no cell {cell_id}.", "Take an id from the cells in view.")
        return cell_measurements(run, row)


def _add_downloads(router: APIRouter, results: _Results) -> None:
    @router.get("/cells.geojson", response_class=Response, responses={200: {"content": {_GEOJSON: {}}}})
    def geojson(job_id: str) -> Response:
        """Return all cells as QuPath imports them."""
        files, _ = results.run_dir(job_id)
        parts = cells_geojson(results.read(job_id).cells)
        return StreamingResponse(
            parts, media_type=_GEOJSON, headers=_attachment(files.name, "_cells.geojson")
        )

    @router.get("/cells.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
    def csv(job_id: str) -> Response:
        """Return all cells with their measurements as a table."""
        files, _ = results.run_dir(job_id)
        run = results.read(job_id)
        return StreamingResponse(
            cells_csv(run.cells, run.region_names),
            media_type=_CSV,
            headers=_attachment(files.name, "_cells.csv"),
        )

    @router.get("/regions.geojson", response_class=Response, responses={200: {"content": {_GEOJSON: {}}}})
    def regions(job_id: str) -> Response:
        """Return the scored regions with their measurements."""
        files, run_dir = results.run_dir(job_id)
        return FileResponse(
            run_dir / "regions.geojson",
            media_type=_GEOJSON,
            headers=_attachment(files.name, "_regions.geojson"),
        )

    @router.get("/report.html", response_class=Response, responses={200: {"content": {"text/html": {}}}})
    def report(job_id: str) -> Response:
        """Return the report, one page that opens offline and prints well."""
        files, run_dir = results.run_dir(job_id)
        return FileResponse(
            results.report(run_dir), media_type="text/html", headers=_attachment(files.name, "_report.html")
        )
