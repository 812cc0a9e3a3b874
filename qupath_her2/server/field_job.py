"""One field of view in a warm worker process: the slide stays open, and what holds for all of it is kept.

The field is measured, scored and written by the same functions as an image (`runs.score_image`), with the field as its
only tumour region. Stain vectors (of the stain group, in a project that has one), glass colour and tissue are those of
the whole slide, which no region changes, so that a field has the cells that a run with this region would have.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from qupath_her2.batch.job import perform
from qupath_her2.errors import Her2Error
from qupath_her2.project.exchange.image_ids import folder_image_id
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.writing import output_errors
from qupath_her2.records import ImageResult
from qupath_her2.runs.inputs import gather_inputs
from qupath_her2.runs.planned_stains import known_stains
from qupath_her2.runs.profile_choice import BUILT_IN, profile_chooser
from qupath_her2.runs.score_image import finished_result, measure_image
from qupath_her2.runs.stain_groups import kept_stains
from qupath_her2.runs.stains_file import STAINS_FILE
from qupath_her2.runs.write_run import write_run
from qupath_her2.server.field_limits import MOST_AREA_PX2, too_large
from qupath_her2.server.slide_job import SlideJob, plan_slide
from qupath_her2.server.slide_look import failure_in_known_names
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.synthetic.example_project import write_field

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.runs.types import Progress
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.tissue import Tissue

__all__ = ["FieldJob", "WarmUp"]

#: Side of the field that warms a process up, px, and the id of its region.
_WARM_PX = 256
_WARM_UUID = UUID("00000000-0000-4000-8000-000000000000")
#: Slides kept open; a flat image is held decoded.
_MOST_OPEN = 3


@dataclass(frozen=True, slots=True)
class FieldJob:
    """A field of a slide; picklable.

    Attributes
    ----------
    slide
        The slide and its options; its `out` is the folder of this field alone.
    geometry
        GeoJSON geometry of the field, level-0 pixels; None where it is an annotation of the image's region file.
    uuid
        Id of the annotation that it is.
    ref
        The image as a pulled project describes it; None for a plain file.
    her2
        Exchange folder of the project.
    """

    slide: SlideJob
    geometry: dict[str, Any] | None = field(hash=False)
    uuid: UUID
    ref: SlideRef | None = None
    her2: Path | None = None

    @property
    def image(self) -> str:
        """The slide's folder name in the exchange folder."""
        return self.slide.image if self.ref is None else self.ref.id

    @property
    def name(self) -> str:
        """The file name that people know."""
        return self.slide.name


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A small drawn field in a folder of its own; scoring it loads and compiles what a process needs."""

    folder: Path

    @property
    def image(self) -> str:
        """The image's folder name in the exchange folder."""
        return folder_image_id(self.name)

    @property
    def name(self) -> str:
        """Its file name."""
        return "warm.ome.tif"


@dataclass(slots=True)
class _WarmSlide:
    """An open slide, its plan without regions, and its tissue."""

    slide: Slide
    planned: ScoreJob
    tissue: Tissue | None


#: {what a plan depends on: the slide}, the one used last at the end; of this process alone.
_warm: OrderedDict[str, _WarmSlide] = OrderedDict()


@perform.register(FieldJob)
def _score_field(job: FieldJob, *, progress: Progress | None = None, threads: int = 1) -> ImageResult:
    start = time.monotonic()
    try:
        return _field_result(job, _warm_slide(job), progress, threads, start)
    except Her2Error as error:
        return failure_in_known_names(job, job.slide.slide, error, start)


@perform.register(WarmUp)
def _warm_up(job: WarmUp, *, progress: Progress | None = None, threads: int = 1) -> ImageResult:
    with output_errors(job.folder):
        write_field(job.folder, "warm", score="2+", seed=1, side_px=_WARM_PX, stroma=0.1, out_of_focus=0.0)
    ring = [[0, 0], [_WARM_PX, 0], [_WARM_PX, _WARM_PX], [0, _WARM_PX], [0, 0]]
    slide = SlideJob(job.name, job.folder / job.name, None, job.folder / "her2")
    field = FieldJob(slide, {"type": "Polygon", "coordinates": [ring]}, _WARM_UUID)
    result = perform(field, progress=progress, threads=threads)
    # Its folder is removed; nobody asks for it again.
    _warm.pop(_key(field)).slide.close()
    return result


def _field_result(
    job: FieldJob, warm: _WarmSlide, progress: Progress | None, threads: int, start: float
) -> ImageResult:
    out = job.slide.out
    planned = _with_profile(job, replace(warm.planned, out=out))
    if job.geometry is None:
        assert job.ref is not None
        options = replace(planned.options, region=job.uuid)
        planned = replace(
            planned, options=options, ref=replace(planned.ref, regions_path=job.ref.regions_path)
        )
    else:
        planned = replace(planned, ref=replace(planned.ref, regions_path=_region_file(job, warm)))
    with lock_image(out, planned.image) as lock:
        inputs = gather_inputs(planned, warm.slide)
        # One that came with its outline was measured before it was accepted.
        area_px2 = next((one.geometry.area for one in inputs.regions if one.uuid == job.uuid), 0.0)
        if area_px2 > MOST_AREA_PX2:
            raise Her2Error(f"{too_large(area_px2)} Score so much tissue as a job.")
        if warm.tissue is None:
            warm.tissue = find_tissue(
                warm.slide, pixel_size_um=inputs.pixel_size_um, settings=planned.settings.tissue
            )
        _, finished = measure_image(
            planned, warm.slide, inputs, tissue=warm.tissue, progress=progress, threads=threads
        )
        seconds = time.monotonic() - start
        run_dir = write_run(planned, lock, warm.slide, inputs, finished, seconds=seconds)
    return finished_result(planned, finished, run_dir, start)


def _region_file(job: FieldJob, warm: _WarmSlide) -> Path:
    """Write the field as the only tumour region of its slide."""
    # A pattern such as ``Tumor*`` matches its own stem.
    class_name = warm.planned.settings.regions.tumour[0].rstrip("*")
    feature = {
        "type": "Feature",
        "id": str(job.uuid),
        "geometry": job.geometry,
        "properties": {"objectType": "annotation", "classification": {"name": class_name}},
    }
    path = job.slide.out.with_name(f"{job.slide.out.name}.geojson")
    with output_errors(path):
        path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


def _warm_slide(job: FieldJob) -> _WarmSlide:
    """Return the open slide of a job; it is opened and planned where it is new, or was changed since."""
    key = _key(job)
    found = _warm.get(key)
    if found is None:
        # Vectors are estimated where some tissue is scored, and a field is; which part is no matter to them.
        options = {**job.slide.options, "whole_tissue": True, "find_tumour": False}
        if job.her2 is not None:
            options["profile"] = BUILT_IN
        planned = plan_slide(replace(job.slide, options=options, regions=None), ref=job.ref)
        planned = replace(planned, options=replace(planned.options, whole_tissue=False))
        slide = open_image(planned.ref)
        try:
            found = _WarmSlide(slide, _with_group_stains(job, planned, slide), None)
        except Her2Error:
            slide.close()
            raise
        _warm[key] = found
        while len(_warm) > _MOST_OPEN:
            _warm.popitem(last=False)[1].slide.close()
    _warm.move_to_end(key)
    return found


def _with_group_stains(job: FieldJob, planned: ScoreJob, slide: Slide) -> ScoreJob:
    """Return the plan of a project's image with the vectors of its stain group, where none were set for it."""
    ref, settings = planned.ref, planned.settings
    if job.her2 is None or known_stains(ref, settings) is not None:
        return planned
    kept = kept_stains(ref, slide, job.her2, settings)
    return planned if kept is None else replace(planned, stains=kept)


def _with_profile(job: FieldJob, planned: ScoreJob) -> ScoreJob:
    """Return the plan of a project's image with its cut-points, which are read for each field: they may be edited."""
    if job.her2 is None:
        return planned
    name = job.slide.options.get("profile") or planned.settings.profile
    return profile_chooser(name, job.her2, job.her2.absolute().parent)(planned)


def _key(job: FieldJob) -> str:
    path = job.slide.slide
    try:
        state = path.stat()
        changed = (state.st_size, state.st_mtime_ns)
    except OSError:
        # That it is gone is said when it is opened.
        changed = (0, 0)
    ref = None if job.ref is None else replace(job.ref, regions_path=None)
    settings = job.slide.config or path.with_name("her2.toml")
    # Settings that were edited count from the next field on.
    toml = _changed_ns(settings)
    stains = 0 if job.her2 is None else _changed_ns(job.her2 / STAINS_FILE)
    return repr((str(path), changed, sorted(job.slide.options.items()), str(settings), toml, stains, ref))


def _changed_ns(path: Path) -> int:
    """Return when a file was changed, ns; 0 where there is none."""
    return path.stat().st_mtime_ns if path.is_file() else 0
