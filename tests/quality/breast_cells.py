"""Finders of cells compared on the marked crops of real breast fields (`breast_nuclei`), all at 0.5 µm/px or finer.

A network reads no pixels coarser than its own. The three BCI fields, about 0.75 µm/px, are therefore enlarged to 0.5
first, for all finders alike, which adds no detail: their rows say how a finder copes with soft pictures, those of the
MIST fields (0.46 µm/px) how it copes with slides scanned at 20x.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.measure import CellSettings, find_cells
from qupath_her2.cells.network_cells import NetworkCellSettings
from qupath_her2.cells.samples import read_samples
from qupath_her2.cells.stain_planes import PlaneSettings
from qupath_her2.cells.tile_cells import TileCells
from qupath_her2.learning.segmentation.pixel_network import PixelNetwork
from qupath_her2.learning.segmentation.slide_segmenter import SlideSegmenter
from qupath_her2.records import Region
from qupath_her2.regions import map_regions
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons
from tests.quality.breast_nuclei import CROP_PX, UM_PX, Crop, CropFigures, count, field_file, marked_crops
from tests.quality.chain import group_vectors

__all__ = ["BreastFigures", "breast_comparison", "compare_breast"]

#: Coarsest pixels shown, µm.
_SHOWN_UM_PX = 0.5
#: `NetworkCellSettings.min_tumour_share` of the shares kept by kind.
_TUMOUR_SHARE = 0.05
#: Kinds of marks that are epithelium, tumour or benign.
_EPITHELIUM = ("tumour", "other")
#: Radius around a mark within which a centre lies in the nucleus, µm, as in `breast_nuclei`.
_NUCLEUS_UM = 3.5


@dataclass(frozen=True, slots=True)
class BreastFigures:
    """Figures of one finder on the crops of a group of fields.

    `nuclei` : counts of every crop with the cells of all nuclei. `kept` : share of the certain nuclei of each kind that
    are cells of the result, where the finder leaves out other than tumour cells. `cpu_seconds` : for all crops.
    """

    name: str
    nuclei: tuple[CropFigures, ...]
    kept: dict[str, float]
    cpu_seconds: float


def compare_breast(
    folder: Path, ways: Sequence[tuple[str, PixelNetwork | None]], fields: Sequence[str]
) -> list[BreastFigures]:
    """Find the nuclei of the marked crops with the classical detector (None) or a network.

    Parameters
    ----------
    folder : of the fields.
    ways : name and network of each finder.
    fields : starts of the names of the fields, keys of `breast_nuclei.UM_PX`.
    """
    crops = {crop: marks for crop, marks in marked_crops().items() if crop[0] in fields}
    found = []
    for name, network in ways:
        every, kept, start = [], [], time.process_time()
        for crop, (all_xy, tumour_xy) in _crop_centres(folder, list(crops), network):
            every.append(count(crop, crops[crop], all_xy)[0])
            kept.append((crop, tumour_xy))
        spent = time.process_time() - start
        found.append(BreastFigures(name, tuple(every), _kept(crops, dict(kept)), spent))
    return found


def _kept(
    crops: dict[Crop, list[dict[str, str]]], centres: dict[Crop, NDArray[np.float64]]
) -> dict[str, float]:
    """Return the share of the certain marks of each kind that have a centre of `centres` within a nucleus's radius."""
    hits: dict[str, list[bool]] = {}
    for crop, marks in crops.items():
        xy, reach = centres[crop], _NUCLEUS_UM / UM_PX[crop[0]]
        for mark in marks:
            if mark["sure"] == "1":
                away = np.hypot(xy[:, 0] - float(mark["x_px"]), xy[:, 1] - float(mark["y_px"]))
                kind = "epithelium" if mark["kind"] in _EPITHELIUM else mark["kind"]
                hits.setdefault(kind, []).append(bool((away < reach).any()))
    return {kind: float(np.mean(found)) for kind, found in sorted(hits.items())}


def _crop_centres(
    folder: Path, crops: Sequence[Crop], network: PixelNetwork | None
) -> Iterator[tuple[Crop, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    """Yield the centres of all nuclei and of the result's cells of each crop, pixels of the crop."""
    with TemporaryDirectory() as temporary:
        for name in dict.fromkeys(crop[0] for crop in crops):
            own = [crop for crop in crops if crop[0] == name]
            path, grow = _shown(field_file([folder], name), UM_PX[name], Path(temporary))
            every = _found(path, UM_PX[name] / grow, grow, own, network, 0.0)
            tumour = _found(path, UM_PX[name] / grow, grow, own, network, _TUMOUR_SHARE)
            for crop, cells, kept in zip(own, every, tumour, strict=True):
                corner = np.array(crop[1:])
                yield crop, (cells.centre_xy / grow - corner, kept.centre_xy / grow - corner)


def _shown(path: Path, um_px: float, folder: Path) -> tuple[Path, float]:
    """Return a picture of pixels of at most `_SHOWN_UM_PX`, and how many times it was enlarged for that."""
    grow = max(1.0, um_px / _SHOWN_UM_PX)
    if grow == 1:
        return path, 1.0
    picture = cv2.resize(cv2.imread(str(path)), None, fx=grow, fy=grow, interpolation=cv2.INTER_CUBIC)
    copy = folder / f"{path.stem}.png"
    cv2.imwrite(str(copy), picture)
    return copy, grow


def _found(
    path: Path,
    um_px: float,
    grow: float,
    crops: Sequence[Crop],
    network: PixelNetwork | None,
    min_tumour_share: float,
) -> list[TileCells]:
    """Return the cells of each crop, found as if the whole field were scored."""
    slide = open_slide(path)
    try:
        tissue = find_tissue(slide, pixel_size_um=um_px)
        (stains,) = group_vectors([(slide, tissue)], um_px)
        stains, grid = replace(stains, background_rgb=tissue.background_rgb), make_grid(um_px)
        whole = Region(UUID(int=1), shapely.MultiPolygon(tissue_polygons(tissue)), "tumour")
        samples = read_samples(slide, map_regions([whole]), grid, stains, PlaneSettings())
        settings = NetworkCellSettings(min_tumour_share=min_tumour_share)
        found = []
        for _, x, y in crops:
            box = shapely.box(*(grow * np.array([x, y, x + CROP_PX, y + CROP_PX])))
            region = map_regions([Region(UUID(int=2), box, "tumour")])
            classes = None if network is None else SlideSegmenter(network, slide, um_px)
            found.append(
                find_cells(
                    slide, region, grid, stains, samples, CellSettings(), classes=classes, network=settings
                )
            )
        return found
    finally:
        slide.close()


def breast_comparison(figures: Sequence[BreastFigures]) -> str:
    """Return the table, one line per finder."""
    lines = [
        f"{'nuclei of breast fields':26}{'found':>7}{'false':>7}{'missed':>8}{'F1':>8}{'CPU s':>8}   F1 by crop; kept"
    ]
    for one in figures:
        found, false, missed = (
            sum(getattr(crop, name) for crop in one.nuclei) for name in ("found", "false", "missed")
        )
        by_crop = " ".join(f"{crop.f1:.2f}" for crop in one.nuclei)
        kept = ", ".join(f"{kind} {share:.2f}" for kind, share in one.kept.items())
        lines.append(
            f"{one.name[:25]:26}{found:>7}{false:>7}{missed:>8}{2 * found / (2 * found + false + missed):>8.3f}"
            f"{one.cpu_seconds:>8.1f}   {by_crop}; {kept}"
        )
    return "\n".join(lines)
