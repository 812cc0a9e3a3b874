"""Nuclei found in real cores, compared with those marked by a reader (`marked_nuclei.csv`).

The trees of the classical detector were trained on these very crops, so its line is optimistic; a network trained on
drawn fields alone has never seen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import numpy as np
import shapely

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.measure import CellSettings, find_cells
from qupath_her2.cells.samples import read_samples
from qupath_her2.cells.stain_planes import PlaneSettings
from qupath_her2.learning.segmentation.pixel_network import PixelNetwork
from qupath_her2.learning.segmentation.slide_segmenter import SlideSegmenter
from qupath_her2.records import Region
from qupath_her2.regions import map_regions
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons
from tests.helpers.matching import match_nuclei
from tests.quality.chain import group_vectors
from tests.quality.nucleus_trees import CROP_PX, ellipse, marked_crops

__all__ = ["MarkedFigures", "compare_marked", "marked_table"]

#: Pixel size of the cores, as everywhere in this report; their files do not contain it.
_UM_PX = 0.25
#: Nuclei closer to the edge of a crop were not marked reliably.
_EDGE_PX = 6


@dataclass(frozen=True, slots=True)
class MarkedFigures:
    """Counts of one detector: for each core, (found, false, missed) nuclei of the marked crops."""

    name: str
    cores: dict[int, tuple[int, int, int]]

    def f1(self, core: int | None = None) -> float:
        """Return the harmonic mean of precision and recall for one core or for all."""
        rows = list(self.cores.values()) if core is None else [self.cores[core]]
        found, false, missed = np.sum(rows, axis=0)
        return float(2 * found / (2 * found + false + missed))


def compare_marked(cores: Path, ways: Sequence[tuple[str, PixelNetwork | None]]) -> list[MarkedFigures]:
    """Find the nuclei of the marked crops with the classical detector (None) or a network.

    Parameters
    ----------
    cores : folder of the marked cores, ``<core>_*.jpg``.
    ways : name and network of each detector; None stands for the classical one.
    """
    slides = [open_slide(path) for path in sorted(cores.glob("*.jpg"))]
    tissues = [find_tissue(slide, pixel_size_um=_UM_PX) for slide in slides]
    vectors, grid = group_vectors(list(zip(slides, tissues, strict=True)), _UM_PX), make_grid(_UM_PX)
    settings = CellSettings()
    found: dict[str, dict[int, tuple[int, int, int]]] = {name: {} for name, _ in ways}
    for core, (slide, tissue) in enumerate(zip(slides, tissues, strict=True)):
        stains = replace(vectors[core], background_rgb=tissue.background_rgb)
        whole = Region(UUID(int=1), shapely.MultiPolygon(tissue_polygons(tissue)), "tumour")
        samples = read_samples(slide, map_regions([whole]), grid, stains, PlaneSettings())
        for name, network in ways:
            classes = None if network is None else SlideSegmenter(network, slide, _UM_PX)
            counts = np.zeros(3, int)
            for (_, x, y), marks in ((k, v) for k, v in marked_crops().items() if k[0] == core):
                box = shapely.box(x, y, x + CROP_PX, y + CROP_PX)
                region = map_regions([Region(UUID(int=2), box, "tumour")])
                cells = find_cells(slide, region, grid, stains, samples, settings, classes=classes)
                counts += _count(cells.centre_xy - [x, y], marks)
            found[name][core] = (int(counts[0]), int(counts[1]), int(counts[2]))
        slide.close()
    return [MarkedFigures(name, of_cores) for name, of_cores in found.items()]


def _count(xy: np.ndarray, marks: Sequence[dict[str, str]]) -> np.ndarray:
    """Return found, false and missed nuclei of a crop; doubtful marks are ignored."""
    sure = [ellipse(mark) for mark in marks if mark["sure"] == "1"]
    doubtful = [ellipse(mark) for mark in marks if mark["sure"] != "1"]
    inner = shapely.box(_EDGE_PX, _EDGE_PX, CROP_PX - _EDGE_PX, CROP_PX - _EDGE_PX)
    xy = xy[shapely.contains_xy(inner, xy[:, 0], xy[:, 1])]
    rings, others = ([np.array(e.exterior.coords) for e in group] for group in (sure, doubtful))
    matches = match_nuclei(xy, rings, _UM_PX, others)
    missed = sum(inner.contains(sure[i].centroid) for i in matches.missed)
    return np.array([len(matches.truth), len(matches.false), missed])


def marked_table(figures: Sequence[MarkedFigures]) -> str:
    """Return the table, one line per detector."""
    lines = [f"{'nuclei marked by a reader':26}{'found':>7}{'false':>7}{'missed':>8}{'F1':>8}   by core"]
    for one in figures:
        found, false, missed = np.sum(list(one.cores.values()), axis=0)
        by_core = ", ".join(f"{core}: {one.f1(core):.3f}" for core in one.cores)
        lines.append(f"{one.name[:25]:26}{found:>7}{false:>7}{missed:>8}{one.f1():>8.3f}   {by_core}")
    return "\n".join(lines)
