"""Nuclei found in real cores, compared with those marked by a reader (`marked_nuclei.csv`).

The trees of the classical detector were trained on these very crops, so its line is optimistic; a network trained on
drawn fields alone has never seen them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import cv2
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

#: Pixel size of the cores, as everywhere in this report, µm; their files do not contain it.
_CORE_UM_PX = 0.25
#: Nuclei closer to the edge of a crop were not marked reliably.
_EDGE_PX = 6


@dataclass(frozen=True, slots=True)
class MarkedFigures:
    """Figures of one detector: for each core, (found, false, missed) nuclei of the marked crops; CPU time for all."""

    name: str
    cores: dict[int, tuple[int, int, int]]
    cpu_seconds: float = 0.0

    def f1(self, core: int | None = None) -> float:
        """Return the harmonic mean of precision and recall for one core or for all."""
        rows = list(self.cores.values()) if core is None else [self.cores[core]]
        found, false, missed = np.sum(rows, axis=0)
        return float(2 * found / (2 * found + false + missed))


def compare_marked(
    cores: Path, ways: Sequence[tuple[str, PixelNetwork | None]], um_px: float = _CORE_UM_PX
) -> list[MarkedFigures]:
    """Find the nuclei of the marked crops with the classical detector (None) or a network.

    Parameters
    ----------
    cores : folder of the marked cores, ``<core>_*.jpg``.
    ways : name and network of each detector; None stands for the classical one.
    um_px : pixel size at which the cores are shown, 0.25 µm or a multiple, to which they are averaged first.
    """
    with TemporaryDirectory() as folder:
        paths = sorted(cores.glob("*.jpg"))
        return _compare([_shown(path, um_px, Path(folder)) for path in paths], ways, um_px)


def _shown(core: Path, um_px: float, folder: Path) -> Path:
    """Return a core at a pixel size: itself, or a copy whose pixels are means of blocks, as of a coarser scan."""
    block = round(um_px / _CORE_UM_PX)
    if block == 1:
        return core
    picture = cv2.imread(str(core))
    height, width = (side // block for side in picture.shape[:2])
    picture = picture[: height * block, : width * block]
    copy = folder / f"{core.stem}.png"
    cv2.imwrite(str(copy), cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
    return copy


def _compare(
    paths: Sequence[Path], ways: Sequence[tuple[str, PixelNetwork | None]], um_px: float
) -> list[MarkedFigures]:
    """Find and count the nuclei of the marked crops; see `compare_marked`."""
    slides = [open_slide(path) for path in paths]
    tissues = [find_tissue(slide, pixel_size_um=um_px) for slide in slides]
    vectors, grid = group_vectors(list(zip(slides, tissues, strict=True)), um_px), make_grid(um_px)
    settings, shrink = CellSettings(), _CORE_UM_PX / um_px
    found: dict[str, dict[int, tuple[int, int, int]]] = {name: {} for name, _ in ways}
    spent = dict.fromkeys(found, 0.0)
    for core, (slide, tissue) in enumerate(zip(slides, tissues, strict=True)):
        stains = replace(vectors[core], background_rgb=tissue.background_rgb)
        whole = Region(UUID(int=1), shapely.MultiPolygon(tissue_polygons(tissue)), "tumour")
        samples = read_samples(slide, map_regions([whole]), grid, stains, PlaneSettings())
        for name, network in ways:
            classes = None if network is None else SlideSegmenter(network, slide, um_px)
            start = time.process_time()
            counts = np.zeros(3, int)
            for (_, x, y), marks in ((k, v) for k, v in marked_crops().items() if k[0] == core):
                box = shapely.box(*(shrink * np.array([x, y, x + CROP_PX, y + CROP_PX])))
                region = map_regions([Region(UUID(int=2), box, "tumour")])
                cells = find_cells(slide, region, grid, stains, samples, settings, classes=classes)
                counts += _count(cells.centre_xy / shrink - [x, y], marks)
            spent[name] += time.process_time() - start
            found[name][core] = (int(counts[0]), int(counts[1]), int(counts[2]))
        slide.close()
    return [MarkedFigures(name, of_cores, spent[name]) for name, of_cores in found.items()]


def _count(xy: np.ndarray, marks: Sequence[dict[str, str]]) -> np.ndarray:
    """Return found, false and missed nuclei of a crop; doubtful marks are ignored."""
    sure = [ellipse(mark) for mark in marks if mark["sure"] == "1"]
    doubtful = [ellipse(mark) for mark in marks if mark["sure"] != "1"]
    inner = shapely.box(_EDGE_PX, _EDGE_PX, CROP_PX - _EDGE_PX, CROP_PX - _EDGE_PX)
    xy = xy[shapely.contains_xy(inner, xy[:, 0], xy[:, 1])]
    rings, others = ([np.array(e.exterior.coords) for e in group] for group in (sure, doubtful))
    matches = match_nuclei(xy, rings, _CORE_UM_PX, others)
    missed = sum(inner.contains(sure[i].centroid) for i in matches.missed)
    return np.array([len(matches.truth), len(matches.false), missed])


def marked_table(figures: Sequence[MarkedFigures]) -> str:
    """Return the table, one line per detector."""
    lines = [
        f"{'nuclei marked by a reader':26}{'found':>7}{'false':>7}{'missed':>8}{'F1':>8}{'CPU s':>8}   by core"
    ]
    for one in figures:
        found, false, missed = np.sum(list(one.cores.values()), axis=0)
        by_core = ", ".join(f"{core}: {one.f1(core):.3f}" for core in one.cores)
        lines.append(
            f"{one.name[:25]:26}{found:>7}{false:>7}{missed:>8}{one.f1():>8.3f}"
            f"{one.cpu_seconds:>8.1f}   {by_core}"
        )
    return "\n".join(lines)
