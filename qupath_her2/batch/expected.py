"""Expected work of jobs, before any pixel is read: by the area that will be scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qupath_her2.errors import Her2Error
from qupath_her2.project.geojson.regions import read_regions
from qupath_her2.runs.options import ScoreJob
from qupath_her2.runs.probe import drawn_tumour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.runs.types import Job

__all__ = ["SECONDS_PER_MM2", "SECONDS_PER_SLIDE", "expected_work"]

#: Expected time of one worker: so much for every slide (small ones, `tests.benchmarks.batch`), and so much for each mm²
#: that is scored (a drawn slide of 105 mm², 7,400 cells per mm²); one thread. A batch that has begun goes by its own
#: slides.
SECONDS_PER_SLIDE = 0.4
SECONDS_PER_MM2 = 1.2

_UM2_PER_MM2 = 1e6


def expected_work(jobs: Sequence[Job]) -> dict[str, float]:
    """Return the expected work of jobs that nobody has looked at yet, for the share that is done and the time left.

    Parameters
    ----------
    jobs
        Of one run.

    Returns
    -------
    dict[str, float]
        {image: seconds of one worker}, by the tumour drawn in images of a QuPath project, whose size and pixel size
        its export states. Other images count as the mean of those.
    """
    areas = {job.image: _drawn_mm2(job) for job in jobs} if len(jobs) > 1 else {}
    known = [area for area in areas.values() if area is not None]
    mean = sum(known) / len(known) if known else 0.0
    work = {}
    for job in jobs:
        area = areas.get(job.image)
        work[job.image] = SECONDS_PER_SLIDE + SECONDS_PER_MM2 * (mean if area is None else area)
    return work


def _drawn_mm2(job: Job) -> float | None:
    """Return the area of the tumour drawn in an image, mm²; None where that is not known without opening it."""
    if not isinstance(job, ScoreJob):
        return None
    ref = job.ref
    if ref.regions_path is None or not (ref.width and ref.height and ref.pixel_size_um):
        return None
    try:
        found = read_regions(
            ref.regions_path,
            image_width=ref.width,
            image_height=ref.height,
            class_names=job.settings.regions,
        )
    except Her2Error:
        # The job itself says what is wrong with the file.
        return None
    n_tumour, area_px = drawn_tumour(found)
    return area_px * ref.pixel_size_um**2 / _UM2_PER_MM2 if n_tumour else None
