"""Drawing of regions, cells and patches on a picture, in QuPath's class colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import shapely

from qupath_her2.cells.existing_cells import select_rings
from qupath_her2.project.class_names import class_colour, patch_colour
from qupath_her2.records import NOT_MEASURED, CellTable, CutArea, PatchTable, Region, RegionRole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = [
    "CUT_COLOUR",
    "NOT_MEASURED_COLOUR",
    "ROLE_COLOURS",
    "Frame",
    "draw_cells",
    "draw_cut",
    "draw_patches",
    "draw_regions",
]

RGB = tuple[int, int, int]

ROLE_COLOURS: dict[RegionRole, RGB] = {
    "tumour": (200, 0, 0),
    "stroma": (0, 140, 60),
    "ignore": (60, 60, 60),
    "in_situ": (160, 0, 160),
    "control": (0, 110, 160),
    "other": (110, 110, 110),
}
NOT_MEASURED_COLOUR: RGB = (150, 150, 150)
#: Areas that were cut out: a blue that neither stain, class nor region has.
CUT_COLOUR: RGB = (0, 200, 255)
#: Cells smaller than this on the picture are filled, since their outlines would merge into each other.
_MIN_OUTLINE_PX = 7.0
#: Fractional bits of OpenCV's fixed-point vertices: sixteenths of a picture pixel.
_SHIFT = 4
#: Cells whose rings are converted at once, so that the drawing of a slide takes little memory.
_RINGS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Frame:
    """Position and scale of a picture on the image.

    Attributes
    ----------
    x, y
        Top-left corner of the picture, level-0 pixels.
    scale
        Picture pixels per level-0 pixel.
    """

    x: float
    y: float
    scale: float

    def to_picture(self, xy: NDArray[Any]) -> NDArray[np.int32]:
        """Convert level-0 points (P, 2) to OpenCV's fixed-point picture coordinates, int32 (P, 2).

        (0, 0) is the corner of the first pixel in QuPath but its centre in OpenCV: hence the half pixel.
        """
        picture = (np.asarray(xy, dtype=np.float64) - (self.x, self.y)) * self.scale - 0.5
        # Points far outside would overflow the fixed-point range; clipping hardly changes where their lines cross the
        # picture.
        return np.rint(np.clip(picture, -1e6, 1e6) * (1 << _SHIFT)).astype(np.int32)


def _rings(
    xy: NDArray[np.float32], offsets: NDArray[np.int64], which: NDArray[np.intp], frame: Frame
) -> Iterator[list[NDArray[np.int32]]]:
    """Yield the rings of the chosen cells in the picture, some thousand at a time: a slide has a million."""
    for first in range(0, len(which), _RINGS_AT_ONCE):
        chosen, starts = select_rings(xy, offsets, which[first : first + _RINGS_AT_ONCE])
        rings = np.split(frame.to_picture(chosen), starts[1:-1])
        yield [ring for ring in rings if len(ring) >= 3]


def _visible(table: CellTable, frame: Frame, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which cells may be visible, bool (N,): centre on the picture or at most `margin` level-0 px outside."""
    # Far more than the radius of any cell at 40x.
    margin = 60.0
    x, y = table.centroid_xy[:, 0] - frame.x, table.centroid_xy[:, 1] - frame.y
    height, width = shape[0] / frame.scale, shape[1] / frame.scale
    inside: NDArray[np.bool_] = (x > -margin) & (y > -margin) & (x < width + margin) & (y < height + margin)
    return inside


def draw_cells(
    picture: NDArray[np.uint8],
    table: CellTable,
    frame: Frame,
    *,
    thickness_px: int = 1,
    only: NDArray[np.bool_] | None = None,
    with_nuclei: bool = False,
) -> None:
    """Draw cell outlines into a picture, in QuPath's class colours.

    Cells too small for an outline are filled semi-transparently.

    Parameters
    ----------
    picture
        uint8 (H, W, 3), RGB, changed in place.
    table
        The cells, outlines in level-0 pixels.
    frame
        Position and scale of the picture.
    thickness_px
        Line width, picture pixels.
    only
        bool (N,), the cells to draw; None draws all.
    with_nuclei
        Draw nucleus outlines too, one picture pixel wide.
    """
    shown = _visible(table, frame, picture.shape)
    if only is not None:
        shown &= only
    is_small = _median_side_px(table, np.flatnonzero(shown), frame) < _MIN_OUTLINE_PX
    target = picture.copy() if is_small else picture
    # Class by class, so that one OpenCV call draws all rings of a colour; the strongest class comes last, on top.
    for code in (NOT_MEASURED, *range(len(table.class_names))):
        which = np.flatnonzero(shown & (table.cell_class == code))
        if len(which) == 0:
            continue
        colour = class_colour(table.class_names[code]) if code != NOT_MEASURED else NOT_MEASURED_COLOUR
        for rings in _rings(table.cell_xy, table.cell_offsets, which, frame):
            if not is_small:
                cv2.polylines(target, rings, True, colour, thickness_px, cv2.LINE_AA, _SHIFT)
                continue
            for ring in rings:
                cv2.fillPoly(target, [ring], colour, cv2.LINE_8, _SHIFT)
        if with_nuclei and not is_small:
            for nuclei in _rings(table.nucleus_xy, table.nucleus_offsets, which, frame):
                cv2.polylines(target, nuclei, True, colour, 1, cv2.LINE_AA, _SHIFT)
    if is_small:
        cv2.addWeighted(target, 0.6, picture, 0.4, 0.0, dst=picture)


def _median_side_px(table: CellTable, which: NDArray[np.int64], frame: Frame) -> float:
    """Return the median side of the cells' bounding boxes on the picture, px, from a sample of about 1000 cells."""
    offsets = table.cell_offsets
    sides = [
        float(np.ptp(table.cell_xy[offsets[i] : offsets[i + 1]], axis=0).mean())
        for i in which[:: max(1, len(which) // 1000)]
        if offsets[i + 1] > offsets[i]
    ]
    return float(np.median(sides)) * frame.scale if sides else _MIN_OUTLINE_PX


def draw_patches(picture: NDArray[np.uint8], patches: PatchTable, frame: Frame) -> None:
    """Tint patches in the colour of their class, more strongly the higher the probability.

    Patches without a class get a thin grey outline.

    Parameters
    ----------
    picture
        uint8 (H, W, 3), RGB, changed in place.
    patches
        The patches, positions in level-0 pixels.
    frame
        Position and scale of the picture.
    """
    for box, code, probabilities in zip(
        patches.box_xywh.astype(float), patches.patch_class, patches.probabilities, strict=True
    ):
        corners = np.array([box[:2], box[:2] + box[2:]])
        (left, top), (right, bottom) = np.rint(
            np.clip((corners - (frame.x, frame.y)) * frame.scale, 0, 1e6)
        ).astype(int)
        part = picture[top:bottom, left:right]
        if part.size == 0:
            continue
        if code == NOT_MEASURED:
            cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), NOT_MEASURED_COLOUR, 1)
            continue
        colour = np.array(patch_colour(patches.class_names[code]), np.float32)
        # At most 45 %, so that the tissue stays visible through the tint.
        strength = 0.45 * float(probabilities[code])
        part[:] = np.rint((1 - strength) * part + strength * colour).astype(np.uint8)


def draw_cut(
    picture: NDArray[np.uint8], cut: Sequence[CutArea], frame: Frame, *, thickness_px: int = 2
) -> None:
    """Tint and outline the areas that were cut out.

    Parameters
    ----------
    picture
        uint8 (H, W, 3), RGB, changed in place.
    cut
        Areas, level-0 pixels.
    frame
        Position and scale of the picture.
    thickness_px
        Line width, picture pixels.
    """
    rings = [_polygon_rings(polygon, frame) for area in cut for polygon in shapely.get_parts(area.geometry)]
    if not rings:
        return
    tinted = picture.copy()
    for of_polygon in rings:
        # Holes are filled by the even-odd rule, as they are drawn together with their polygon.
        cv2.fillPoly(tinted, of_polygon, CUT_COLOUR, cv2.LINE_8, _SHIFT)
    cv2.addWeighted(tinted, 0.35, picture, 0.65, 0.0, dst=picture)
    for of_polygon in rings:
        cv2.polylines(picture, of_polygon, True, CUT_COLOUR, thickness_px, cv2.LINE_AA, _SHIFT)


def _polygon_rings(polygon: shapely.Polygon, frame: Frame) -> list[NDArray[np.int32]]:
    return [
        frame.to_picture(np.asarray(ring.coords)[:, :2]) for ring in (polygon.exterior, *polygon.interiors)
    ]


def draw_regions(
    picture: NDArray[np.uint8], regions: Sequence[Region], frame: Frame, *, thickness_px: int = 2
) -> None:
    """Draw region outlines, coloured by role.

    Parameters
    ----------
    picture
        uint8 (H, W, 3), RGB, changed in place.
    regions
        Regions, outlines in level-0 pixels.
    frame
        Position and scale of the picture.
    thickness_px
        Line width, picture pixels.
    """
    for region in regions:
        rings = [
            ring for polygon in shapely.get_parts(region.geometry) for ring in _polygon_rings(polygon, frame)
        ]
        # A wider white line underneath sets the outline off from cells of the same colour.
        for colour, thickness in (
            ((255, 255, 255), thickness_px + 4),
            (ROLE_COLOURS[region.role], thickness_px),
        ):
            cv2.polylines(picture, rings, True, colour, thickness, cv2.LINE_AA, _SHIFT)
