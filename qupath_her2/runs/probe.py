"""One cheap look at an image before a batch: can it be read, how much is there to score, which images is it like."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qupath_her2.errors import Her2Error, ImageReadError
from qupath_her2.project.exchange.correction_files import corrections_path
from qupath_her2.project.region_formats import read_region_file
from qupath_her2.provenance import image_fingerprint, sha256_file
from qupath_her2.runs.failures import failure_class
from qupath_her2.runs.inputs import core_regions
from qupath_her2.slides.readers.scanner import scan_date, scanner_of, stated_properties
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.tissue import find_tissue

if TYPE_CHECKING:
    from qupath_her2.config import Settings
    from qupath_her2.project.geojson.regions import RegionFile
    from qupath_her2.records import SlideRef
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["Probe", "drawn_tumour", "probe_image", "regions_digest", "stain_kind"]

_UM2_PER_MM2 = 1e6


@dataclass(frozen=True, slots=True)
class Probe:
    """What a look at an image found.

    Attributes
    ----------
    fingerprint
        Of the image file; "" where it cannot be read.
    width, height
        Size of level 0, px.
    pixel_size_um
        µm per level-0 pixel, QuPath's before the file's; None where unknown.
    kind
        File type, pixel size and stain, see `stain_kind`.
    has_tumour
        Whether a tumour region or TMA core is drawn.
    area_mm2
        Area that will be scored, mm²: drawn tumour, else tissue where that is asked for, else 0.
    scanner, scanned
        Scanner and date of the scan as the file names them; "" where it does not.
    problem
        Message where the image cannot be read; "" otherwise.
    failure
        Class of the problem.
    """

    fingerprint: str = ""
    width: int = 0
    height: int = 0
    pixel_size_um: float | None = None
    kind: str = ""
    has_tumour: bool = False
    area_mm2: float = 0.0
    scanner: str = ""
    scanned: str = ""
    problem: str = ""
    failure: str = ""


def stain_kind(ref: SlideRef, slide: Slide) -> str:
    """Return the kind of an image: its file type and pixel size, which stand for the scanner, and its stain."""
    size = ref.pixel_size_um or slide.pixel_size_um
    kind = ref.path.suffix.lower().lstrip(".")
    return f"{kind}, {'unknown size' if size is None else f'{size:.2f} µm'}, {ref.case.stain}"


def probe_image(ref: SlideRef, settings: Settings, *, whole_tissue: bool = False) -> Probe:
    """Look at an image: a thumbnail at most, and no pixel of level 0.

    Parameters
    ----------
    ref
        The image, with the pixel size in use where one was given.
    settings
        Of the tissue search and of the region classes.
    whole_tissue
        Tissue is scored or searched where no tumour is drawn.

    Returns
    -------
    Probe
        With a problem where the image cannot be read. A region file that cannot be read is left to the job, which says
        so.
    """
    try:
        with open_image(ref) as slide:
            size = ref.pixel_size_um or slide.pixel_size_um
            n_tumour, area_px = _drawn(ref, slide, settings)
            if not n_tumour and whole_tissue and size is not None:
                tissue = find_tissue(slide, pixel_size_um=size, settings=settings.tissue)
                area_px = float(tissue.mask.mean()) * slide.width * slide.height
            properties = stated_properties(ref.path)
            return Probe(
                image_fingerprint(ref.path),
                slide.width,
                slide.height,
                size,
                stain_kind(ref, slide),
                n_tumour > 0,
                0.0 if size is None else area_px * size**2 / _UM2_PER_MM2,
                scanner_of(properties),
                scan_date(properties),
            )
    except ImageReadError as error:
        return Probe(problem=str(error), failure=failure_class(error))


def _drawn(ref: SlideRef, slide: Slide, settings: Settings) -> tuple[int, float]:
    """Return how many tumour regions or cores are drawn, and their area in level-0 px²."""
    if ref.regions_path is None or not ref.regions_path.is_file():
        return 0, 0.0
    try:
        found = read_region_file(ref.regions_path, slide, class_names=settings.regions)
    except ImageReadError:
        raise
    except Her2Error:
        return 0, 0.0
    return drawn_tumour(found)


def drawn_tumour(found: RegionFile) -> tuple[int, float]:
    """Return how many tumour regions or cores of an image are scored, and their area in level-0 px²."""
    scored = core_regions(found) or found.regions
    tumour = [region.geometry.area for region in scored if region.role == "tumour"]
    return len(tumour), float(sum(tumour))


def regions_digest(ref: SlideRef) -> str:
    """Return a hash of all that people drew and corrected for an image: regions, corrections, existing cells."""
    if ref.regions_path is None:
        return ""
    files = (
        ref.regions_path,
        corrections_path(ref.regions_path, ref.id),
        ref.regions_path.with_name(f"{ref.id}.cells.npz"),
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name} {sha256_file(path) if path.is_file() else ''}\n".encode())
    return digest.hexdigest()
