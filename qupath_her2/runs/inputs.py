"""Inputs of one image: pixel size, regions, cells, settings and weights, gathered and hashed before it is measured.

The input hash names a run. It covers everything that may change the result and nothing else, so that a run is redone
when, and only when, its result could differ. Our own objects in QuPath are not part of it: writing a result back must
not make that result out of date.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import shapely

from qupath_her2.errors import RegionFileError, SettingsError
from qupath_her2.project.exchange.correction_files import CellCorrections, corrections_path, read_corrections
from qupath_her2.project.exchange.existing_cell_files import read_existing_cells
from qupath_her2.project.geojson.regions import RegionFile
from qupath_her2.project.region_formats import read_region_file
from qupath_her2.provenance import canonical_json, image_fingerprint, input_hash, outlines_hash, sha256_file
from qupath_her2.records import Region
from qupath_her2.regions import exclusive_areas
from qupath_her2.runs.deleted_proposals import deleted_proposals
from qupath_her2.runs.finder_choice import finder_digest
from qupath_her2.runs.types import Inputs
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from qupath_her2.slides.tissue_outlines import polygon_parts

if TYPE_CHECKING:
    from qupath_her2.config import Settings
    from qupath_her2.models.card import ModelCard
    from qupath_her2.records import CaseInfo, SlideRef
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.scoring.score_cells import ScoringSettings
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["core_regions", "gather_inputs", "scoring_hash", "tumour_is_drawn", "unopened_inputs"]


def gather_inputs(job: ScoreJob, slide: Slide) -> Inputs:
    """Determine pixel size and regions of an image, and hash everything that its result depends on.

    Parameters
    ----------
    job
        The image and its options.
    slide
        The open image.

    Returns
    -------
    Inputs
        With the hash of all inputs, and of those of the measurement alone.

    Raises
    ------
    RegionFileError
        The region file as a whole cannot be read.
    ExchangeError
        The run of proposals that QuPath shows is damaged.
    SettingsError
        The pixel size is outside 0.01 to 100 µm.
    """
    pixel_size_um, source = _pixel_size(job, slide)
    found = _region_file(job, slide)
    card = job.method.card(pixel_size_um)
    regions, finds_tumour = _regions_in_use(job, found, card)
    # A drawn region always wins over --whole-tissue, so that a project may be half annotated.
    has_tumour = any(region.role == "tumour" for region in regions)
    # Tumour drawn outside all cores is a mistake to point out, no reason to score the glass between the cores.
    wants_tissue = (job.options.whole_tissue or job.searches_tumour) and not (found.cores or found.selected)
    whole_tissue = (wants_tissue or finds_tumour) and not has_tumour
    # Cores in which nobody drew tumour are searched one by one, and stay the regions of the result.
    is_drawn = any(region.role == "tumour" for region in found.regions)
    find_tumour = job.searches_tumour and (whole_tissue or (bool(found.cores) and not is_drawn))
    deleted = _deleted(job, found) if find_tumour else ()
    corrections = _corrections(job)
    fingerprint = image_fingerprint(job.ref.path)
    measurement_hash = input_hash(
        # As drawn, before cores are cut or roles removed: those steps follow from the settings below.
        (*found.drawn, *deleted),
        settings={
            "method": job.method.name,
            "whole_tissue": whole_tissue,
            "tissue": job.settings.tissue,
            **_search_settings(job, find_tumour),
            **_listed_only(found),
            **({} if has_tumour or whole_tissue else _proposed_only(found)),
            **_choices(job),
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
        regions=(*regions, *deleted),
        by_core=bool(found.cores),
        whole_tissue=whole_tissue,
        fingerprint=fingerprint,
        region_hash=None if job.ref.regions_path is None else sha256_file(job.ref.regions_path),
        hash=scoring_hash(
            measurement_hash,
            job.settings.scoring,
            job.ref.case,
            "" if corrections is None else corrections.digest,
        ),
        measurement_hash=measurement_hash,
        outlines_hash=outlines_hash(found.drawn),
        card=card,
        corrections=corrections,
        empty_cores=() if finds_tumour else _empty_cores(found, regions),
        find_tumour=find_tumour,
        deleted=deleted,
    )


def _regions_in_use(
    job: ScoreJob, found: RegionFile, card: ModelCard | None
) -> tuple[tuple[Region, ...], bool]:
    """Return the regions in use, and whether the method searches all tissue, whatever tumour was drawn."""
    if found.selected is not None:
        return _selected_regions(found, found.selected), False
    if job.method.tumour_search == "always":
        # Cores are tissue as well, and proposals do not repeat what is drawn already.
        return tuple(replace(r, role="ignore") if r.role == "tumour" else r for r in found.regions), True
    regions = core_regions(found) if found.cores else found.regions
    # A network that finds the tumour searches all tissue: tumour and stroma annotations would only restrict it.
    # Ignored, in-situ and control regions still subtract.
    if card is not None and card.task == "tumour":
        return tuple(region for region in regions if region.role not in ("tumour", "stroma")), True
    return regions, False


def _deleted(job: ScoreJob, found: RegionFile) -> tuple[Region, ...]:
    """Return the proposals that a person deleted; asked to do it again, the program proposes them again."""
    return () if job.options.force else deleted_proposals(job.out, job.ref, found)


def _empty_cores(found: RegionFile, regions: tuple[Region, ...]) -> tuple[Region, ...]:
    in_use = {region.uuid for region in regions}
    return tuple(core for core in found.cores if core.uuid not in in_use)


def _choices(job: ScoreJob) -> dict[str, Any]:
    """Return picture, plane, region and profile for the input hash where they were chosen: others keep their hash."""
    # The file, and so its fingerprint, is the same for all of its pictures.
    chosen: dict[str, Any] = {
        key: step[key] for step in job.ref.chain for key in ("series", "plane") if key in step
    }
    if job.options.region is not None:
        chosen["region"] = str(job.options.region)
    return (
        chosen if job.profile is None else {**chosen, "profile": [job.profile.digest, job.profile.sentence]}
    )


def _search_settings(job: ScoreJob, find_tumour: bool) -> dict[str, Any]:
    """Return what a search for tumour depends on, for the input hash; empty where none was asked for."""
    if not job.searches_tumour:
        return {}
    # A result says that nothing was searched for: it differs from one where nobody asked.
    if not find_tumour:
        return {"find_tumour": "drawn"}
    return {"find_tumour": job.settings.find_tumour.proposals, **finder_digest(job.settings)}


def _proposed_only(found: RegionFile) -> dict[str, int]:
    """Return the number of proposals for the input hash: the refusal of an image without tumour regions names it."""
    return {"proposed": len(found.proposals)} if found.proposals else {}


def _listed_only(found: RegionFile) -> dict[str, list[Any]]:
    """Return what a result lists without measuring it: features set aside and missing cores, for the input hash.

    Without them, a result would count as up to date that does not mention what was added to the file since. Keys are
    left out where there is nothing to list.
    """
    listed = {
        "set_aside": sorted((feature.id or "", feature.reason) for feature in found.quarantined),
        "missing_cores": sorted((str(core.uuid), core.name or "") for core in found.missing_cores),
    }
    return {name: entries for name, entries in listed.items() if entries}


def unopened_inputs(job: ScoreJob) -> Inputs:
    """Return the inputs of an image that could not be exported from QuPath; its result depends on the reason alone."""
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


def scoring_hash(
    measurement_hash: str, scoring: ScoringSettings, case: CaseInfo, corrections: str = ""
) -> str:
    """Return the input hash of a result from the hash of its measurement and what scoring depends on.

    It can be computed from a stored run alone. Rescoring without pixels thus ends in the same run, under the same name,
    as scoring with them.

    Parameters
    ----------
    measurement_hash
        Of the measured cells, 64 hex digits.
    scoring
        Guideline and limits.
    case
        Chooses the guideline and adds the ISH result.
    corrections
        Digest of a person's corrections of the cells; "" where nobody corrected any.

    Returns
    -------
    str
        64 hex digits.
    """
    parts: dict[str, Any] = {"measurement": measurement_hash, "scoring": scoring, "case": case}
    if corrections:
        parts["corrections"] = corrections
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def _pixel_size(job: ScoreJob, slide: Slide) -> tuple[float | None, str]:
    """Return the pixel size in use, µm, and its source: the user's flag, else QuPath's value, else the file's."""
    # QuPath before the file: a person may have corrected there what the scanner wrote wrongly.
    for value, source in (
        (job.options.pixel_size_um, "flag"),
        (job.ref.pixel_size_um, "QuPath"),
        (slide.pixel_size_um, "file"),
    ):
        if value is not None:
            if not 0.01 <= value <= 100:
                # Values beyond these are units gone wrong (mm, nm, dpi), and every size in µm would follow them.
                raise SettingsError(
                    f"Pixel size {value:g} µm ({source}) of image '{job.name}' is outside 0.01 to 100 µm. "
                    "Typical are 0.25 (40x) and 0.5 (20x). Correct it in QuPath (Image tab), or pass --pixel-size-um."
                )
            return value, source
    return None, "unknown"


def _corrections(job: ScoreJob) -> CellCorrections | None:
    """Return what a person changed in the cells of earlier results; None for a method that counts no cells."""
    if job.ref.regions_path is None or not job.method.counts_cells:
        return None
    return read_corrections(corrections_path(job.ref.regions_path, job.image))


def _region_file(job: ScoreJob, slide: Slide) -> RegionFile:
    path = job.ref.regions_path
    if path is None:
        return RegionFile()
    if not path.is_file():
        raise RegionFileError(
            f"The region file '{path}' of image '{job.name}' does not exist any more. Export the regions again."
        )
    found = read_region_file(path, slide, class_names=job.settings.regions, only=job.options.region)
    cells_path = path.with_name(f"{job.image}.cells.npz")
    if not job.method.uses_existing_cells or found.existing_cells is not None or not cells_path.is_file():
        return found
    return replace(found, existing_cells=read_existing_cells(cells_path))


def tumour_is_drawn(ref: SlideRef, slide: Slide, settings: Settings) -> bool:
    """Return whether an image has a tumour region or a TMA core to score.

    Parameters
    ----------
    ref
        The image and its region file.
    slide
        The open image.
    settings
        Class names by role.

    Returns
    -------
    bool
        False without a region file.

    Raises
    ------
    RegionFileError
        The region file cannot be read.
    """
    path = ref.regions_path
    if path is None or not path.is_file():
        return False
    found = read_region_file(path, slide, class_names=settings.regions)
    return bool(core_regions(found)) or any(region.role == "tumour" for region in found.regions)


def _existing_digest(job: ScoreJob, found: RegionFile) -> str | None:
    if not job.method.uses_existing_cells:
        return None
    if found.existing_cells is None:
        raise RegionFileError(
            f"Image '{job.name}' has no cells in its region file, but --cells from-regions was given. "
            "Export the detections with the annotations (QuPath project: qupath-her2 pull --cells), "
            "or leave the flag out to detect cells."
        )
    return found.existing_cells.digest()


def core_regions(found: RegionFile) -> tuple[Region, ...]:
    """Return TMA cores as tumour regions, intersected with the tumour annotations if there are any.

    Regions of other roles follow, so that they still subtract; where tumour lies in them again, without it. Empty
    without cores.
    """
    if not found.cores:
        return ()
    regions = found.regions
    if any(region.role == "tumour" for region in regions):
        regions = _without_overlaps(regions)
    tumour = [region.geometry for region in regions if region.role == "tumour"]
    others = tuple(region for region in regions if region.role != "tumour")
    drawn = shapely.union_all(tumour) if tumour else None
    cores = []
    for core in found.cores:
        shape = core.geometry if drawn is None else _polygons(shapely.intersection(core.geometry, drawn))
        if not shape.is_empty:
            cores.append(replace(core, geometry=shape, role="tumour"))
    return (*cores, *others)


def _selected_regions(found: RegionFile, selected: Region) -> tuple[Region, ...]:
    """Return the region that was asked for like a TMA core: of one that is no tumour, the tumour drawn in it."""
    tumour = [region.geometry for region in found.regions if region.role == "tumour"]
    # Outlines that only touch share no point that could be scored.
    if selected.role == "tumour" or not any(shape.intersection(selected.geometry).area for shape in tumour):
        # Its own class, or the person who asks, says what it is.
        found = replace(found, regions=tuple(one for one in found.regions if one.role != "tumour"))
    return core_regions(replace(found, cores=(selected,)))


def _without_overlaps(regions: tuple[Region, ...]) -> tuple[Region, ...]:
    """Return regions without the parts that others win: a core is larger than the tumour that stroma would cover."""
    deciding = [region for region in regions if region.role != "other"]
    areas = [_polygons(area) for area in exclusive_areas(deciding)]
    cut = [replace(r, geometry=area) for r, area in zip(deciding, areas, strict=True) if not area.is_empty]
    return (*cut, *(region for region in regions if region.role == "other"))


def _polygons(shape: shapely.Geometry) -> shapely.Polygon | shapely.MultiPolygon:
    """Return the area of a shape, without the lines and points in which outlines only touch; it may be empty."""
    polygons = polygon_parts(shape)
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
