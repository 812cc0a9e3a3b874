"""Everything a result depends on, gathered before the first pixel is measured, and its hash."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import shapely

from qupath_her2.errors import ModelError, RegionFileError, SettingsError
from qupath_her2.project.exchange.existing_cell_files import read_existing_cells
from qupath_her2.project.geojson.regions import RegionFile, read_regions
from qupath_her2.provenance import canonical_json, image_fingerprint, input_hash, sha256_file
from qupath_her2.records import Refusal, Region
from qupath_her2.runs.cell_sources import cell_network_settings, check_cell_network, coarse_refusal
from qupath_her2.runs.methods.patches import network_card, network_settings
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB

if TYPE_CHECKING:
    from qupath_her2.models.card import ModelCard
    from qupath_her2.records import CaseInfo
    from qupath_her2.runs.score_image import ScoreJob
    from qupath_her2.scoring.aggregate import ScoringSettings
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["Inputs", "core_regions", "gather_inputs", "scoring_hash", "unopened_inputs"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What goes into the scoring of one image.

    Attributes
    ----------
    pixel_size_um
        µm per level-0 pixel in use, None where nobody knows.
    pixel_size_source
        ``flag``, ``QuPath``, ``file`` or ``unknown``.
    region_file
        What the region file holds; empty without one.
    regions
        The regions to use, all roles; TMA cores are already cut with the tumour.
    by_core
        Each region is a TMA core with a score of its own, and the slide has none.
    whole_tissue
        No one chose the tumour, and all tissue is to be scored.
    refusal
        Why the image must not be scored, as far as is known before looking at it.
    fingerprint
        Of the image file.
    region_hash
        SHA-256 of the region file, None without one.
    hash
        The input hash.
    measurement_hash
        The same without what only the scoring of measured cells uses.
    card
        Of the network that predicts patches or finds cells; None without one.
    """

    pixel_size_um: float | None
    pixel_size_source: str
    region_file: RegionFile
    regions: tuple[Region, ...]
    by_core: bool
    whole_tissue: bool
    refusal: Refusal | None
    fingerprint: str
    region_hash: str | None
    hash: str
    measurement_hash: str
    card: ModelCard | None = None


def gather_inputs(job: ScoreJob, slide: Slide) -> Inputs:
    """Resolve pixel size and regions of a job, and hash all of its inputs.

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
    card = _card(job)
    # A network that is to find the tumour has no bounds in people's tumour regions.
    is_search = card is not None and card.task == "tumour"
    if is_search:
        regions = tuple(region for region in regions if region.role not in ("tumour", "stroma"))
    has_tumour = any(region.role == "tumour" for region in regions)
    whole_tissue = (job.whole_tissue or is_search) and not has_tumour
    fingerprint = image_fingerprint(job.ref.path)
    parts: dict[str, Any] = {
        "image_fingerprint": fingerprint,
        "pixel_size_um": pixel_size_um,
        "stains": job.stains or QUPATH_H_DAB,
        "existing_cells": _existing_digest(job, found),
    }
    people = (*found.regions, *found.cores)
    measuring: dict[str, Any] = {
        "method": job.method,
        "whole_tissue": whole_tissue,
        "tissue": job.settings.tissue,
    }
    if job.method == "cells":
        measuring["cells"] = job.settings.cells
        measuring |= {} if card is None else cell_network_settings(job, card)
    elif job.method == "indicators":
        measuring |= {"indicators": job.settings.indicators, "control": job.settings.control}
        measuring |= {"keep_controls": job.keep_controls, "ranges": job.ranges}
        measuring |= {} if card is None else {"tumour": job.settings.tumour}
    if card is not None and job.method != "cells":
        measuring |= network_settings(job, card)
    measurement_hash = input_hash(people, settings=measuring, **parts)
    return Inputs(
        pixel_size_um=pixel_size_um,
        pixel_size_source=source,
        region_file=found,
        regions=regions,
        by_core=bool(cores),
        whole_tissue=whole_tissue,
        refusal=_early_refusal(job, pixel_size_um, has_tumour or whole_tissue, card),
        fingerprint=fingerprint,
        region_hash=None if job.ref.regions_path is None else sha256_file(job.ref.regions_path),
        hash=scoring_hash(measurement_hash, job.settings.scoring, job.ref.case),
        measurement_hash=measurement_hash,
        card=card,
    )


def unopened_inputs(job: ScoreJob) -> Inputs:
    """Return the inputs of an image that QuPath could not hand over: the reason is all that counts."""
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
        refusal=reason,
        fingerprint="",
        region_hash=None,
        hash=scoring_hash(digest, job.settings.scoring, job.ref.case),
        measurement_hash=digest,
    )


def scoring_hash(measurement_hash: str, scoring: ScoringSettings, case: CaseInfo) -> str:
    """Return the input hash of a result, 64 hex digits: its measurement's and what the scoring adds.

    It can be made from a stored run alone, so that scoring again without pixels gives the run that scoring
    with them would give.
    """
    rest = canonical_json({"measurement": measurement_hash, "scoring": scoring, "case": case})
    return hashlib.sha256(rest).hexdigest()


def _pixel_size(job: ScoreJob, slide: Slide) -> tuple[float | None, str]:
    """Return the pixel size in use: the user's word, then QuPath's, then the file's."""
    for value, source in (
        (job.pixel_size_um, "flag"),
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


def _card(job: ScoreJob) -> ModelCard | None:
    """Return the card of the network that the job asks, if it asks one."""
    if job.method == "network":
        return network_card(job)
    if job.method == "indicators":
        return None if job.checkpoint is None else _finder_card(job)
    return check_cell_network(job.checkpoint) if job.cells == "network" else None


def _finder_card(job: ScoreJob) -> ModelCard:
    """Return the card of the network that finds the tumour for the indicators."""
    card = network_card(job)
    if card.task != "tumour":
        raise ModelError(
            f"--tumour-from '{job.checkpoint}' names a network of the task '{card.task}'. Train one that finds tumour: "
            "qupath-her2 train FOLDER --recipe tumour-resnet34."
        )
    return card


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
    if job.cells != "from-regions" or found.existing_cells is not None or not cells_path.is_file():
        return found
    return replace(found, existing_cells=read_existing_cells(cells_path))


def _existing_digest(job: ScoreJob, found: RegionFile) -> str | None:
    if job.cells != "from-regions":
        return None
    if found.existing_cells is None:
        raise RegionFileError(
            f"Image '{job.name}' has no cells in its region file, but --cells from-regions asks for them. "
            "Export the detections with the annotations (of a QuPath project: qupath-her2 pull --cells), "
            "or leave the flag out to find cells here."
        )
    return found.existing_cells.digest()


def _early_refusal(
    job: ScoreJob, pixel_size_um: float | None, has_where: bool, card: ModelCard | None
) -> Refusal | None:
    # A network that sees whole images made small needs no scale.
    if pixel_size_um is None and (card is None or not math.isnan(card.pixel_size_um)):
        return Refusal(
            "pixel_size_missing",
            f"image '{job.name}' has no pixel size. Set it in QuPath (Image tab → Pixel width) "
            "or pass --pixel-size-um 0.25",
        )
    if not has_where:
        return Refusal(
            "no_tumour_region",
            "no tumour region: draw one and set its class to Tumor, or pass --whole-tissue",
        )
    if card is not None and job.method == "cells" and pixel_size_um is not None:
        return coarse_refusal(job.name, pixel_size_um, card)
    return None


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
