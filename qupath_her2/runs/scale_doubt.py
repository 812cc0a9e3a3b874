"""Doubt about the pixel size, stated with a result, and looked for before anything is scored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import shapely

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.nuclei.detection import ClassicalDetector
from qupath_her2.cells.nuclei.star_contours import polygon_areas
from qupath_her2.cells.quality.image_quality import assess_image, check_image, check_pixel_size
from qupath_her2.cells.samples import read_samples
from qupath_her2.cells.scale import DOUBT, blob_diameter_um, check_blobs, check_nuclei
from qupath_her2.records import Region
from qupath_her2.regions import map_regions
from qupath_her2.scoring.reason import with_sentence
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.config import Settings
    from qupath_her2.records import SlideRef, SlideScore
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["SCALE_IN_DOUBT", "image_scale_sentence", "scale_sentence", "with_scale_doubt"]

#: Tag of a score whose pixel size does not fit the nuclei.
SCALE_IN_DOUBT = "pixel size in doubt"


def with_scale_doubt(score: SlideScore) -> SlideScore:
    """Return a score that says in its reason, and by a tag, where a warning doubts its pixel size.

    Parameters
    ----------
    score
        Of an image; unchanged without such a warning.
    """
    warning = next((text for text in score.warnings if text.startswith(DOUBT)), None)
    if warning is None:
        return score
    # The way out stands in the warning.
    sentence = f"{warning.split('. ')[0]}."
    return replace(
        score,
        tags=(*score.tags, SCALE_IN_DOUBT),
        reason=with_sentence(score.reason, sentence),
        regions={
            uuid: replace(one, reason=with_sentence(one.reason, sentence))
            for uuid, one in score.regions.items()
        },
    )


def scale_sentence(
    slide: Slide, pixel_size_um: float, regions: Sequence[Region], settings: Settings
) -> str | None:
    """Return why the pixel size of an image is refused or in doubt, from samples of its tissue; None where it fits.

    Parameters
    ----------
    slide
        An open image.
    pixel_size_um
        Pixel size of level 0, µm.
    regions
        Its regions; without a tumour region among them, all tissue is sampled.
    settings
        Those of tissue, detection and scale.

    Returns
    -------
    str | None
        A sentence with the way out. None also where the image is refused for another reason, such as H&E.

    Raises
    ------
    ImageReadError
        When the file is damaged or gone.
    """
    s = settings.cells
    if check_pixel_size(pixel_size_um, s.quality)[0] is not None:
        return None
    tissue = find_tissue(slide, pixel_size_um=pixel_size_um, settings=settings.tissue)
    if not any(region.role == "tumour" for region in regions):
        whole = shapely.MultiPolygon(tissue_polygons(tissue))
        regions = [*regions, Region(UUID(int=1), whole, "tumour")]
    region_map, grid = map_regions(regions), make_grid(pixel_size_um, s.grid)
    if all(region.geometry.is_empty for region in region_map.scored):
        return None
    # QuPath's vectors: an image alone says less about its stains than its folder, which is not read here.
    stains = replace(QUPATH_H_DAB, background_rgb=tissue.background_rgb)
    samples = read_samples(slide, region_map, grid, stains, s.planes)
    blobs_um = blob_diameter_um(slide, samples, grid, stains, pixel_size_um)
    refusal = check_blobs(blobs_um, pixel_size_um, s.scale)
    if refusal is not None:
        return f"{refusal.reason[:1].upper()}{refusal.reason[1:]}."
    if check_image(assess_image(samples, stains, s.quality), s.quality) is not None:
        return None
    tiles = [sample.tile for sample in samples]
    detector = ClassicalDetector(s.detection).prepared(tiles)
    radii = np.concatenate([detector.detect(tile).radii for tile in tiles]) * np.float32(grid.um_px)
    doubt = check_nuclei(polygon_areas(radii), blobs_um, pixel_size_um, s.scale)
    return None if doubt is None else doubt.sentence()


def image_scale_sentence(
    ref: SlideRef, settings: Settings, pixel_size_um: float | None = None, regions: Sequence[Region] = ()
) -> str | None:
    """Open an image, and return its `scale_sentence`; None also where it has no pixel size.

    Parameters
    ----------
    ref
        The image.
    settings
        Those of tissue, detection and scale.
    pixel_size_um
        Instead of that of QuPath or the file, µm.
    regions
        Its regions.

    Returns
    -------
    str | None
        A sentence with the way out.

    Raises
    ------
    ImageReadError
        When the file is damaged or gone.
    """
    with open_image(ref) as slide:
        stated = pixel_size_um or ref.pixel_size_um or slide.pixel_size_um
        return None if stated is None else scale_sentence(slide, stated, regions, settings)
