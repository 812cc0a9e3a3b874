"""The pipeline of ``qupath-her2 run`` on an image in memory: tissue, stains, cells, score. Nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias
from uuid import UUID

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.measure import CellSettings, MeasuredCells, measure_cells
from qupath_her2.learning.segmentation.pixel_network import PixelNetwork
from qupath_her2.learning.segmentation.slide_segmenter import SlideSegmenter
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.records import CaseInfo, Refusal, Region, SlideScore
from qupath_her2.scoring.score_cells import ScoringSettings, score_cells
from qupath_her2.slides.readers.slide import Slide, open_slide
from qupath_her2.slides.stains.density_sample import sample_tissue
from qupath_her2.slides.stains.estimate import stain_directions
from qupath_her2.slides.stains.groups import group_images
from qupath_her2.slides.stains.vectors import StainVectors
from qupath_her2.slides.tissue import Tissue, find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons

Shape: TypeAlias = shapely.Polygon | shapely.MultiPolygon
_NOTHING = np.empty(0, np.uint8)


@dataclass(frozen=True, slots=True)
class Scored:
    """Result of the pipeline: `cells` is None if the image was refused before measuring; `seconds` of CPU time."""

    cells: MeasuredCells | None
    classes: NDArray[np.uint8]
    score: SlideScore
    stains: StainVectors
    seconds: float


@contextmanager
def picture_file(rgb: NDArray[np.uint8]) -> Iterator[Path]:
    """Write an image as lossless PNG to a temporary folder."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "field.png"
        cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        yield path


def group_vectors(slides: Sequence[tuple[Slide, Tissue]], pixel_size_um: float) -> list[StainVectors]:
    """Return the stain vectors of each of several slides, as `runs.stain_groups` finds them for a folder."""
    own = {
        f"{number:04d}": stain_directions(sample_tissue(slide, tissue, pixel_size_um))
        for number, (slide, tissue) in enumerate(slides)
    }
    by_name = {name: group.vectors for group in group_images(own) for name in group.members}
    return [by_name[name] for name in own]


def score_picture(
    rgb: NDArray[np.uint8],
    pixel_size_um: float,
    shape: Shape | None = None,
    network: PixelNetwork | None = None,
) -> Scored:
    """Score an image as if it were the only one in a folder.

    Parameters
    ----------
    rgb : uint8 (H, W, 3).
    pixel_size_um : µm/px, as given by a user.
    shape : the Tumor region, px; None scores all tissue, as with ``--whole-tissue``.
    network : finds the cells, as with ``--cells her2net:CHECKPOINT``; None uses the classical detector.
    """
    with picture_file(rgb) as path, open_slide(path) as slide:
        start = time.process_time()
        tissue = find_tissue(slide, pixel_size_um=pixel_size_um)
        (stains,) = group_vectors([(slide, tissue)], pixel_size_um)
        scored = score_slide(slide, tissue, stains, pixel_size_um, shape, network)
        return replace(scored, seconds=time.process_time() - start)


def score_slide(
    slide: Slide,
    tissue: Tissue,
    stains: StainVectors,
    pixel_size_um: float,
    shape: Shape | None = None,
    network: PixelNetwork | None = None,
    existing: ExistingCells | None = None,
) -> Scored:
    """Score an open image with given stain vectors and the glass colour of the image; `existing` cells in place."""
    start = time.process_time()
    stains = replace(stains, background_rgb=tissue.background_rgb)
    if shape is None:
        pieces = tissue_polygons(tissue)
        if not pieces:
            refusal = Refusal("no_tissue", "no tissue was found on the glass")
            classes, score = score_facts(_NOTHING, _NOTHING, refusal)
            return Scored(None, classes, score, stains, time.process_time() - start)
        shape = shapely.MultiPolygon(pieces)
    found = measure_cells(
        slide,
        [Region(UUID(int=1), shape, "tumour")],
        pixel_size_um=pixel_size_um,
        stains=stains,
        settings=CellSettings(),
        existing=existing,
        classes=None if network is None else SlideSegmenter(network, slide, pixel_size_um),
    )
    classes, score = score_facts(found.intensity, found.pattern, found.refusal)
    return Scored(found, classes, score, stains, time.process_time() - start)


def score_facts(
    intensity: NDArray[np.uint8], pattern: NDArray[np.uint8], refusal: Refusal | None = None
) -> tuple[NDArray[np.uint8], SlideScore]:
    """Return classes and score of the cells of one region, measured or drawn, by the default guideline."""
    region = np.zeros(len(intensity), np.int32)
    return score_cells(
        intensity,
        pattern,
        region,
        [str(UUID(int=1))],
        case=CaseInfo(),
        settings=ScoringSettings(),
        refusal=refusal,
    )
