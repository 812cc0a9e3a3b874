"""What people, or a detection, said of an image's pixels: one function from a frame to its target."""

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
from qupath_her2.patches.targets.targets import IGNORE, TargetFrame, annotation_target, cell_target, inside
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
    """Return what says the pixels of an image; None where nothing does.

    Parameters
    ----------
    image, found
        The image and its annotations.
    settings
        Which truth is wanted.
    size
        Of the image, level-0 px.
    her2
        The exchange folder, for ``results``.

    Raises
    ------
    PatchError, RegionFileError, ExchangeError
        A file of it is there and cannot be read, or does not fit the image.
    """
    kind, mask = settings.truth, mask_path(image.path, settings.masks)
    if kind == "masks" or (kind == "auto" and mask.is_file()):
        if not mask.is_file():
            return None
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
            found[inside([region.geometry for region in ignored], frame)] = IGNORE
        if drawn:
            # A person who draws a membrane corrects what a detection says there.
            over = annotation_target([*drawn, *ignored], frame, settings.targets)
            found = np.where(over == IGNORE, found, over)
        return found

    return target


def _pulled_cells(image: SourceImage, found: RegionFile) -> ExistingCells | None:
    if found.existing_cells is not None or image.regions_path is None:
        return found.existing_cells
    path = image.regions_path.with_name(f"{image.id}.cells.npz")
    return read_existing_cells(path) if path.is_file() else None


def _cells_of_run(image: SourceImage, her2: Path | None) -> CellTable | None:
    if her2 is None:
        raise PatchError(f"Image '{image.name}': a published data set has no results. Choose another truth.")
    run = current_run(her2, image.id)
    return None if run is None else read_run(run)[1]


def _complete_ground(
    cells: CellTable | ExistingCells | None, regions: tuple[Region, ...], settings: SegmentationSettings
) -> Polygon | MultiPolygon | None:
    """Return the tumour regions that hold a cell; None where there are none, or cells are not complete."""
    if cells is None or not settings.cells_are_complete or len(cells) == 0:
        return None
    # A cell without an outline has no first vertex.
    first = cells.cell_offsets[:-1][np.diff(cells.cell_offsets) > 0]
    x, y = cells.cell_xy[first].astype(np.float64).T
    held = []
    for region in regions:
        shapely.prepare(region.geometry)
        if region.role == "tumour" and shapely.contains_xy(region.geometry, x, y).any():
            held.append(region.geometry)
    if not held:
        return None
    ground = shapely.union_all(held)
    polygons = [part for part in shapely.get_parts(ground) if isinstance(part, Polygon)]
    return MultiPolygon(polygons)
