"""Targets of segmenters: each pixel of a window is membrane, nucleus, background or unknown.

Unlabelled area is `IGNORE`, never background: a network must not learn that a nucleus nobody outlined is background.
Targets come from cells with nuclei (`cell_target`), annotations (`annotation_target`), masks next to the images
(`mask_targets`) and synthetic fields (`truth_targets`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.cutting.labels import label_regions
from qupath_her2.patches.targets.raster import Rings, coverage, polygon_rings, rings_in_box
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.records import CellTable, Region
from qupath_her2.setting_ranges import Range, Text, check_settings

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "MEMBRANE",
    "NUCLEUS",
    "OTHER_NUCLEUS",
    "TARGET_CLASSES",
    "TUMOUR_TARGET_CLASSES",
    "TargetFrame",
    "TargetSettings",
    "annotation_target",
    "cell_target",
    "rasterise",
    "membrane_band",
]

BACKGROUND: Final = 0
MEMBRANE: Final = 1
NUCLEUS: Final = 2
#: A nucleus of no tumour cell, only in targets of `TUMOUR_TARGET_CLASSES`; `NUCLEUS` is then one of a tumour cell.
OTHER_NUCLEUS: Final = 3
IGNORE: Final = 255
#: Names of the classes, by code.
TARGET_CLASSES: Final = ("Background", "Membrane", "Nucleus")
#: The same for networks that tell tumour cells from all others.
TUMOUR_TARGET_CLASSES: Final = (*TARGET_CLASSES, "Other nucleus")

Target = NDArray[np.uint8]


_Names = Annotated[tuple[str, ...], Text("a class name")]


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """How outlines become targets.

    Attributes
    ----------
    membrane_width_um
        Width of the membrane band, centred on the cell's outline, µm.
    membrane_classes, nucleus_classes, background_classes
        QuPath classes of annotations for each target class; case is ignored.
    """

    membrane_width_um: Annotated[float, Range(0.1, 10, "µm")] = 1.0
    membrane_classes: _Names = ("Membrane",)
    nucleus_classes: _Names = ("Nucleus",)
    background_classes: _Names = ("Background",)

    def __post_init__(self) -> None:
        check_settings(self)
        names = [*self.membrane_classes, *self.nucleus_classes, *self.background_classes]
        if len({name.casefold() for name in names}) < len(names):
            raise SettingsError(
                f"An annotation class is listed twice or for two target classes: {', '.join(names)}. "
                "List each class once."
            )

    def code_of(self, class_name: str | None) -> int | None:
        """Return the target class of an annotation class, None where it has none."""
        for code, names in (
            (MEMBRANE, self.membrane_classes),
            (NUCLEUS, self.nucleus_classes),
            (BACKGROUND, self.background_classes),
        ):
            if (class_name or "").casefold() in {name.casefold() for name in names}:
                return code
        return None


@dataclass(frozen=True, slots=True)
class TargetFrame:
    """Position, size and scale of the window that a target belongs to.

    Attributes
    ----------
    x, y
        Top left corner, level-0 px.
    width_px, height_px
        Size of the window, px of the window.
    um_px
        Pixel size of the window, µm.
    downsample
        Level-0 px per px of the window.
    """

    x: float
    y: float
    width_px: int
    height_px: int
    um_px: float
    downsample: float = 1.0

    def __post_init__(self) -> None:
        if self.width_px < 1 or self.height_px < 1 or not 0 < self.downsample < math.inf:
            raise PatchError(
                f"A window of {self.width_px} x {self.height_px} px at downsample {self.downsample:g} is impossible; "
                "size and downsample must be above 0."
            )
        if not 0 < self.um_px < math.inf:
            raise PatchError(
                f"No target can be drawn at {self.um_px:g} µm/px, because the membrane width is in µm. Set the image's "
                "pixel size in QuPath (Image tab → Pixel width) or pass --pixel-size-um 0.25."
            )

    def bounds(self, margin_px: float = 0.0) -> tuple[float, float, float, float]:
        """Return min x, min y, max x, max y, level-0 px, enlarged by a margin in px of the window."""
        margin = margin_px * self.downsample
        right, bottom = self.width_px * self.downsample, self.height_px * self.downsample
        return self.x - margin, self.y - margin, self.x + right + margin, self.y + bottom + margin

    def empty(self) -> Target:
        """Return a target of unknown pixels, uint8 (H, W)."""
        return np.full((self.height_px, self.width_px), IGNORE, np.uint8)


def rasterise(shapes: Sequence[shapely.Geometry] | Rings, frame: TargetFrame) -> NDArray[np.bool_]:
    """Return the pixels of a window whose centre is in any of the shapes (level-0 px), bool (H, W)."""
    rings = shapes if isinstance(shapes, Rings) else polygon_rings(shapes)
    moved = rings.to_window(frame.x, frame.y, frame.downsample)
    return np.asarray(coverage(moved, frame.width_px, frame.height_px) > 0)


def membrane_band(outlines: Rings, frame: TargetFrame, width_um: float) -> NDArray[np.bool_]:
    """Return the pixels whose centre is at most half of `width_um` from an outline.

    Parameters
    ----------
    outlines
        Outlines of cells, level-0 px.
    frame
        The window.
    width_um
        Width of the band, µm.

    Returns
    -------
    NDArray[np.bool_]
        bool (H, W).

    Raises
    ------
    PatchError
        The band is narrower than a pixel of the window, so that it would have gaps.
    """
    width_px = width_um / frame.um_px
    if width_px < 1:
        raise PatchError(
            f"A membrane of {width_um:g} µm is {width_px:.2f} px wide at {frame.um_px:g} µm/px and would have gaps. "
            f"Set membrane_width_um to {frame.um_px:g} or more, or use a finer scale."
        )
    if len(outlines) == 0:
        return np.zeros((frame.height_px, frame.width_px), bool)
    moved = outlines.to_window(frame.x, frame.y, frame.downsample)
    # Buffering the outline, rather than dilating pixels, keeps the width exact at any scale and angle.
    lines = shapely.linearrings(moved.xy, indices=np.repeat(np.arange(len(moved)), moved.lengths))
    # Four segments per quarter circle deviate from a round corner by 2 % of half the width: far below a pixel.
    bands = polygon_rings(shapely.buffer(lines, width_px / 2, quad_segs=4))
    return np.asarray(coverage(bands, frame.width_px, frame.height_px) > 0)


def cell_target(
    cells: CellTable | ExistingCells,
    frame: TargetFrame,
    settings: TargetSettings | None = None,
    *,
    labelled: Polygon | MultiPolygon | None = None,
) -> Target:
    """Return the target of a window from cells.

    A cell's outline becomes a band of membrane, its nucleus is filled, and the rest of it is background. Membrane
    overrides nuclei and the cytoplasm of neighbours. The inside of a cell without a nucleus is unknown, and so is all
    of a plain detection, whose outline may be that of a nucleus or of a cell.

    Parameters
    ----------
    cells
        Cells of the image, level-0 px.
    frame
        The window.
    settings
        Membrane width.
    labelled
        Area in which every cell is outlined, level-0 px: inside it, the area between cells is background; outside it,
        everything is unknown. With None only the cells themselves are known.

    Returns
    -------
    Target
        uint8 (H, W): `BACKGROUND`, `MEMBRANE`, `NUCLEUS`, `IGNORE`.

    Raises
    ------
    PatchError
        See `membrane_band`.
    """
    settings = settings or TargetSettings()
    outlines = _open_rings(cells.cell_xy, cells.cell_offsets)
    nuclei = _open_rings(cells.nucleus_xy, cells.nucleus_offsets)
    # An outline just outside the window still has half its membrane inside: hence the margin.
    seen = rings_in_box(outlines, frame.bounds(settings.membrane_width_um / frame.um_px))
    is_cell = cells.is_cell[seen] if isinstance(cells, ExistingCells) else np.ones(len(seen), bool)
    # Fewer than three vertices enclose no area: such a nucleus is as good as missing.
    has_nucleus = is_cell & (nuclei.lengths[seen] >= 3)
    target = frame.empty()
    if labelled is not None:
        is_labelled = rasterise([labelled], frame)
        target[is_labelled] = BACKGROUND
    # The order is the priority: later classes override earlier ones where cells overlap.
    target[rasterise(outlines.select(seen[~has_nucleus]), frame)] = IGNORE
    target[rasterise(outlines.select(seen[has_nucleus]), frame)] = BACKGROUND
    target[rasterise(nuclei.select(seen[has_nucleus]), frame)] = NUCLEUS
    target[membrane_band(outlines.select(seen[is_cell]), frame, settings.membrane_width_um)] = MEMBRANE
    # Last, since outlines reach across the edge of the area that was annotated completely.
    if labelled is not None:
        target[~is_labelled] = IGNORE
    return target


def _open_rings(xy: NDArray[np.float32], offsets: NDArray[np.int64]) -> Rings:
    return Rings(xy.astype(np.float64), offsets, np.zeros(len(offsets) - 1, bool))


def annotation_target(
    regions: Sequence[Region], frame: TargetFrame, settings: TargetSettings | None = None
) -> Target:
    """Return the target of a window from annotations of the classes membrane, nucleus and background.

    The innermost annotation that contains a point decides, as everywhere; annotations of role ``ignore`` are
    subtracted. Annotations of other classes are skipped, and pixels in no annotation are unknown.

    Parameters
    ----------
    regions
        A person's annotations of the image, level-0 px.
    frame
        The window.
    settings
        Names of the classes.

    Returns
    -------
    Target
        uint8 (H, W): `BACKGROUND`, `MEMBRANE`, `NUCLEUS`, `IGNORE`.
    """
    settings = settings or TargetSettings()
    window = shapely.box(*frame.bounds())
    kept: list[Region] = []
    codes: list[int | None] = []
    for region in regions:
        code = None if region.role == "ignore" else settings.code_of(region.class_name)
        if (code is not None or region.role == "ignore") and region.geometry.intersects(window):
            # Roles such as in situ exclude a region from scoring, but a nucleus drawn there is still a nucleus.
            kept.append(region if code is None else replace(region, role="other"))
            codes.append(code)
    labelled = label_regions(kept, codes)
    target = frame.empty()
    # The areas do not overlap, so any order of the classes gives the same target.
    for code in (BACKGROUND, NUCLEUS, MEMBRANE):
        shapes = [
            shape for shape, label in zip(labelled.shapes, labelled.label, strict=True) if label == code
        ]
        target[rasterise(shapes, frame)] = code
    return target
