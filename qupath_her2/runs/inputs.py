"""Inputs of one image: pixel size, regions, cells, settings and weights, gathered and hashed before it is measured."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import shapely

from qupath_her2.errors import RegionFileError, SettingsError
from qupath_her2.project.exchange.existing_cell_files import read_existing_cells
from qupath_her2.project.geojson.regions import RegionFile, read_regions
from qupath_her2.provenance import canonical_json, image_fingerprint, input_hash, sha256_file
from qupath_her2.records import Region
from qupath_her2.runs.types import Inputs
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB

if TYPE_CHECKING:
    from qupath_her2.records import CaseInfo
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.scoring.score_cells import ScoringSettings
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["core_regions", "gather_inputs", "scoring_hash", "unopened_inputs"]


def gather_inputs(job: ScoreJob, slide: Slide) -> Inputs:
    """Resolve pixel size and regions of a job, and hash all of its inputs.

    Parameters
    ----------
    job
        The image and its options.
    slide
        The open image.

    Returns
    -------
    Inputs
        Everything that the result depends on.

    Raises
    ------
    RegionFileError
        The region file as a whole cannot be read.
    SettingsError
        A pixel size that no microscope has.
    """
    pixel_size_um, source = _pixel_size(job, slide)
    found = _region_file(job, slide)
    cores = core_regions(found)
    regions = cores or found.regions
    card = job.method.card()
    # A network that finds the tumour is not bounded by people's tumour regions.
    finds_tumour = card is not None and card.task == "tumour"
    if finds_tumour:
        regions = tuple(region for region in regions if region.role not in ("tumour", "stroma"))
    has_tumour = any(region.role == "tumour" for region in regions)
    whole_tissue = (job.options.whole_tissue or finds_tumour) and not has_tumour
    fingerprint = image_fingerprint(job.ref.path)
    measurement_hash = input_hash(
        (*found.regions, *found.cores),
        settings={
            "method": job.method.name,
            "whole_tissue": whole_tissue,
            "tissue": job.settings.tissue,
            **job.method.measurement_settings(job.settings, card),
        },
        image_fingerprint=fingerprint,
        pixel_size_um=pixel_size_um,
        stains=job.stains or QUPATH_H_DAB,
        existing_cells=_existing_digest(job, found),
    )
    return Inputs(
        pixel_size_um=pixel_size_um,
        pixel_size_source=source,
        region_file=found,
        regions=regions,
        by_core=bool(cores),
        whole_tissue=whole_tissue,
        fingerprint=fingerprint,
        region_hash=None if job.ref.regions_path is None else sha256_file(job.ref.regions_path),
        hash=scoring_hash(measurement_hash, job.settings.scoring, job.ref.case),
        measurement_hash=measurement_hash,
        card=card,
    )


def unopened_inputs(job: ScoreJob) -> Inputs:
    """Return the inputs of an image that QuPath could not hand over; its result depends on the reason alone."""
    reason = job.ref.refusal
    digest = input_hash(
        (),
        settings={"refusal": reason},
        image_fingerprint="",
        pixel_size_um=job.ref.pixel_size_um,
        stains=None,
    )
    return Inputs(
        pixel_size_um=job.ref.pixel_size_um,
        pixel_size_source="unknown" if job.ref.pixel_size_um is None else "QuPath",
        region_file=RegionFile(),
        regions=(),
        by_core=False,
        whole_tissue=False,
        fingerprint="",
        region_hash=None,
        hash=scoring_hash(digest, job.settings.scoring, job.ref.case),
        measurement_hash=digest,
    )


def scoring_hash(measurement_hash: str, scoring: ScoringSettings, case: CaseInfo) -> str:
    """Return the input hash of a result: that of its measurement together with what scoring depends on.

    It needs a stored run alone, so that rescoring without pixels gives the very run that scoring with them would give.

    Parameters
    ----------
    measurement_hash
        Of the measured cells, 64 hex digits.
    scoring
        Guideline and limits.
    case
        Chooses the guideline and adds the ISH result.

    Returns
    -------
    str
        64 hex digits.
    """
    rest = canonical_json({"measurement": measurement_hash, "scoring": scoring, "case": case})
    return hashlib.sha256(rest).hexdigest()


def _pixel_size(job: ScoreJob, slide: Slide) -> tuple[float | None, str]:
    """Return the pixel size in use: the user's, else QuPath's, else the file's."""
    for value, source in (
        (job.options.pixel_size_um, "flag"),
        (job.ref.pixel_size_um, "QuPath"),
        (slide.pixel_size_um, "file"),
    ):
        if value is not None:
            if not 0.01 <= value <= 100:
                raise SettingsError(
                    f"A pixel size of {value:g} µm ({source}) for image '{job.name}' is no microscope's. "
                    "Typical are 0.25 (40x) and 0.5 (20x)."
                )
            return value, source
    return None, "unknown"


def _region_file(job: ScoreJob, slide: Slide) -> RegionFile:
    path = job.ref.regions_path
    if path is None:
        return RegionFile()
    if not path.is_file():
        raise RegionFileError(f"The region file '{path}' of image '{job.name}' is gone. Export it again.")
    found = read_regions(
        path, image_width=slide.width, image_height=slide.height, class_names=job.settings.regions
    )
    cells_path = path.with_name(f"{job.image}.cells.npz")
    if not job.method.uses_existing_cells or found.existing_cells is not None or not cells_path.is_file():
        return found
    return replace(found, existing_cells=read_existing_cells(cells_path))


def _existing_digest(job: ScoreJob, found: RegionFile) -> str | None:
    if not job.method.uses_existing_cells:
        return None
    if found.existing_cells is None:
        raise RegionFileError(
            f"Image '{job.name}' has no cells in its region file, but --cells from-regions asks for them. "
            "Export the detections with the annotations (of a QuPath project: qupath-her2 pull --cells), "
            "or leave the flag out to find cells here."
        )
    return found.existing_cells.digest()


def core_regions(found: RegionFile) -> tuple[Region, ...]:
    """Return TMA cores as tumour regions, each cut with the tumour annotations where there are any.

    The regions of other roles follow, so that they still subtract. Empty without cores.
    """
    if not found.cores:
        return ()
    tumour = [region.geometry for region in found.regions if region.role == "tumour"]
    others = tuple(region for region in found.regions if region.role != "tumour")
    drawn = shapely.union_all(tumour) if tumour else None
    cores = []
    for core in found.cores:
        shape = core.geometry if drawn is None else shapely.intersection(core.geometry, drawn)
        polygons = [p for p in shapely.get_parts(shape) if p.geom_type == "Polygon" and p.area > 0]
        if polygons:
            whole = polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
            cores.append(replace(core, geometry=whole, role="tumour"))
    return (*cores, *others)
