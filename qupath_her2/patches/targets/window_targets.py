"""Ground truth of an image's pixels, from masks, annotations or cells, as a function from a window to its target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from qupath_her2.errors import PatchError
from qupath_her2.patches.datasets.sources import SourceImage
from qupath_her2.patches.targets.mask_targets import mask_path, mask_target, read_mask
from qupath_her2.patches.targets.settings import SegmentationSettings
from qupath_her2.patches.targets.targets import IGNORE, TargetFrame, annotation_target, cell_target, rasterise
from qupath_her2.project.exchange.existing_cell_files import read_existing_cells
from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.project.geojson.regions import RegionFile
from qupath_her2.records import CellTable, Region

__all__ = ["Truth", "image_truth"]

#: Returns the target of a frame, uint8 (H, W).
Truth = Callable[[TargetFrame], NDArray[np.uint8]]


def image_truth(
    image: SourceImage,
    found: RegionFile,
    settings: SegmentationSettings,
    *,
    size: tuple[int, int],
    her2: Path | None = None,
) -> Truth | None:
    """Return the ground truth of an image's pixels.

    Parameters
    ----------
    image, found
        The image and its annotations.
    settings
        Source of the ground truth.
    size
        Width and height of the image, level-0 px.
    her2
        The exchange folder, needed for ``results``.

    Returns
    -------
    Truth or None
        A function that returns the target of a window; None where the image has no such ground truth.

    Raises
    ------
    PatchError, RegionFileError, ExchangeError
        A file cannot be read or does not fit the image.
    """
    kind, mask = settings.truth, mask_path(image.path, settings.masks)
    if kind == "masks" or (kind == "auto" and mask.is_file()):
        if not mask.is_file():
            return None
        # Read once per image, not per window.
        values = read_mask(mask, settings.masks, size=size)
        return lambda frame: mask_target(values, frame)
    cells: CellTable | ExistingCells | None = None
    if kind == "results":
        cells = _cells_of_run(image, her2)
    elif kind in ("auto", "cells"):
        cells = _pulled_cells(image, found)
    wanted = settings.targets
    drawn = tuple(region for region in found.regions if wanted.code_of(region.class_name) is not None)
    if kind in ("cells", "results"):
        drawn = ()
    if cells is None and not drawn:
        return None
    ignored = tuple(region for region in found.regions if region.role == "ignore")
    return _target_of(cells, drawn, ignored, _complete_ground(cells, found.regions, settings), settings)


def _target_of(
    cells: CellTable | ExistingCells | None,
    drawn: tuple[Region, ...],
    ignored: tuple[Region, ...],
    complete: Polygon | MultiPolygon | None,
    settings: SegmentationSettings,
) -> Truth:
    def target(frame: TargetFrame) -> NDArray[np.uint8]:
        if cells is None:
            found = frame.empty()
        else:
            found = cell_target(cells, frame, settings.targets, labelled=complete)
            found[rasterise([region.geometry for region in ignored], frame)] = IGNORE
        if drawn:
            # Annotations override cells: a membrane that a person draws corrects the detection there.
            over = annotation_target([*drawn, *ignored], frame, settings.targets)
            found = np.where(over == IGNORE, found, over)
        return found

    return target


def _pulled_cells(image: SourceImage, found: RegionFile) -> ExistingCells | None:
    if found.existing_cells is not None or image.regions_path is None:
        return found.existing_cells
    # A pull with --cells writes them next to the region file; a pull without leaves none.
    path = image.regions_path.with_name(f"{image.id}.cells.npz")
    return read_existing_cells(path) if path.is_file() else None


def _cells_of_run(image: SourceImage, her2: Path | None) -> CellTable | None:
    if her2 is None:
        raise PatchError(
            f"Image '{image.name}' has no results, because it is part of a published data set. "
            "Set another truth in [patches.segmentation] of her2.toml."
        )
    run = current_run(her2, image.id)
    return None if run is None else read_run(run)[1]


def _complete_ground(
    cells: CellTable | ExistingCells | None, regions: tuple[Region, ...], settings: SegmentationSettings
) -> Polygon | MultiPolygon | None:
    """Return the union of the tumour regions that contain a cell; None without any, or if cells may be incomplete."""
    if cells is None or not settings.cells_are_complete or len(cells) == 0:
        return None
    # The first vertex of each outline stands for the cell; cells without an outline have none.
    first = cells.cell_offsets[:-1][np.diff(cells.cell_offsets) > 0]
    x, y = cells.cell_xy[first].astype(np.float64).T
    held = []
    for region in regions:
        shapely.prepare(region.geometry)
        if region.role == "tumour" and shapely.contains_xy(region.geometry, x, y).any():
            held.append(region.geometry)
    if not held:
        return None
    area = shapely.union_all(held)
    polygons = [part for part in shapely.get_parts(area) if isinstance(part, Polygon)]
    return MultiPolygon(polygons)
