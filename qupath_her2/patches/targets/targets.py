"""What a segmenter is to learn: every pixel of a picture is membrane, nucleus, background, or not known.

Ground that nobody labelled is `IGNORE`, never background: a network must not be told that a nucleus which no one
outlined is none. Sources: cells with nuclei (`cell_target`), annotations (`annotation_target`), masks beside the
images (`mask_targets`), drawn fields (`truth_targets`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.cutting.labels import label_regions
from qupath_her2.patches.targets.raster import Rings, coverage, rings_of, rings_that_meet
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.records import CellTable, Region

__all__ = [
    "BACKGROUND",
    "IGNORE",
    "MEMBRANE",
    "NUCLEUS",
    "TARGET_CLASSES",
    "TargetFrame",
    "TargetSettings",
    "annotation_target",
    "cell_target",
    "inside",
    "membrane_band",
]

BACKGROUND: Final = 0
MEMBRANE: Final = 1
NUCLEUS: Final = 2
IGNORE: Final = 255
#: Names by index.
TARGET_CLASSES: Final = ("Background", "Membrane", "Nucleus")

Target = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """How outlines become targets.

    Attributes
    ----------
    membrane_width_um
        Of the band along a cell's outline, half of it to either side, µm.
    membrane_classes, nucleus_classes, background_classes
        QuPath classes of annotations that mean these; capitals
        do not matter.
    """

    membrane_width_um: float = 1.0
    membrane_classes: tuple[str, ...] = ("Membrane",)
    nucleus_classes: tuple[str, ...] = ("Nucleus",)
    background_classes: tuple[str, ...] = ("Background",)

    def __post_init__(self) -> None:
        if not 0.1 <= self.membrane_width_um <= 10:
            raise SettingsError(
                f"membrane_width_um is {self.membrane_width_um:g}; typical is 1, and 0.1 to 10 µm are taken."
            )
        names = [*self.membrane_classes, *self.nucleus_classes, *self.background_classes]
        if len({name.casefold() for name in names}) < len(names):
            raise SettingsError(
                f"A class of annotations means two things or stands twice: {', '.join(names)}."
            )

    def code_of(self, class_name: str | None) -> int | None:
        """Return what an annotation's class means, None where nothing."""
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
    """Which picture of an image the target is of.

    Attributes
    ----------
    x, y
        Its top left corner, level-0 px.
    width_px, height_px
        Of the picture.
    um_px
        Its scale, µm per px of the picture.
    downsample
        Level-0 px per px of the picture.
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
                f"A picture of {self.width_px} x {self.height_px} px at downsample {self.downsample:g} cannot be; "
                "each must be above 0."
            )
        if not 0 < self.um_px < math.inf:
            raise PatchError(
                f"A target at {self.um_px:g} µm/px cannot be drawn: membranes have a width in µm. Set the image's "
                "pixel size in QuPath (Image tab → Pixel width) or pass --pixel-size-um 0.25."
            )

    def bounds(self, margin_px: float = 0.0) -> tuple[float, float, float, float]:
        """Return min x, min y, max x, max y, level-0 px, with a margin in px of the picture."""
        margin = margin_px * self.downsample
        right, bottom = self.width_px * self.downsample, self.height_px * self.downsample
        return self.x - margin, self.y - margin, self.x + right + margin, self.y + bottom + margin

    def empty(self) -> Target:
        """Return a target of which nothing is known, uint8 (H, W)."""
        return np.full((self.height_px, self.width_px), IGNORE, np.uint8)


def inside(shapes: Sequence[shapely.Geometry] | Rings, frame: TargetFrame) -> NDArray[np.bool_]:
    """Return which pixels have their centre in any of the shapes, bool (H, W); shapes in level-0 px."""
    rings = shapes if isinstance(shapes, Rings) else rings_of(shapes)
    moved = rings.moved(frame.x, frame.y, frame.downsample)
    return np.asarray(coverage(moved, frame.width_px, frame.height_px) > 0)


def membrane_band(outlines: Rings, frame: TargetFrame, width_um: float) -> NDArray[np.bool_]:
    """Return the pixels whose centre lies at most half of `width_um` from an outline, bool (H, W).

    Raises
    ------
    PatchError
        The band is narrower than a pixel of the picture, so that it would have gaps.
    """
    width_px = width_um / frame.um_px
    if width_px < 1:
        raise PatchError(
            f"A membrane of {width_um:g} µm is {width_px:.2f} px wide in a picture of {frame.um_px:g} µm/px and would "
            f"have gaps. Set membrane_width_um to {frame.um_px:g} or more, or take a finer scale."
        )
    if len(outlines) == 0:
        return np.zeros((frame.height_px, frame.width_px), bool)
    moved = outlines.moved(frame.x, frame.y, frame.downsample)
    lines = shapely.linearrings(moved.xy, indices=np.repeat(np.arange(len(moved)), moved.lengths))
    bands = rings_of(shapely.buffer(lines, width_px / 2, quad_segs=4))
    return np.asarray(coverage(bands, frame.width_px, frame.height_px) > 0)


def cell_target(
    cells: CellTable | ExistingCells,
    frame: TargetFrame,
    settings: TargetSettings | None = None,
    *,
    labelled: Polygon | MultiPolygon | None = None,
) -> Target:
    """Return the target that cells make.

    A cell's outline is a band of membrane, its nucleus is filled, the rest of it is background. A membrane lies
    over nuclei, and over the neighbour's cytoplasm. Of a cell without nucleus the inside is not known, and of a
    plain detection nothing is: its outline may be a nucleus or a cell.

    Parameters
    ----------
    cells
        Of the image, level-0 px.
    frame
        The picture.
    settings
        Width of the membrane.
    labelled
        Ground where every cell was outlined, level-0 px: background between the cells, and all outside it
        not known. None: only the cells themselves are known.

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
    outlines = _columns(cells.cell_xy, cells.cell_offsets)
    nuclei = _columns(cells.nucleus_xy, cells.nucleus_offsets)
    seen = rings_that_meet(outlines, frame.bounds(settings.membrane_width_um / frame.um_px))
    is_cell = cells.is_cell[seen] if isinstance(cells, ExistingCells) else np.ones(len(seen), bool)
    has_nucleus = is_cell & (nuclei.lengths[seen] >= 3)
    target = frame.empty()
    if labelled is not None:
        is_labelled = inside([labelled], frame)
        target[is_labelled] = BACKGROUND
    target[inside(outlines.chosen(seen[~has_nucleus]), frame)] = IGNORE
    target[inside(outlines.chosen(seen[has_nucleus]), frame)] = BACKGROUND
    target[inside(nuclei.chosen(seen[has_nucleus]), frame)] = NUCLEUS
    target[membrane_band(outlines.chosen(seen[is_cell]), frame, settings.membrane_width_um)] = MEMBRANE
    if labelled is not None:
        target[~is_labelled] = IGNORE
    return target


def _columns(xy: NDArray[np.float32], offsets: NDArray[np.int64]) -> Rings:
    return Rings(xy.astype(np.float64), offsets, np.zeros(len(offsets) - 1, bool))


def annotation_target(
    regions: Sequence[Region], frame: TargetFrame, settings: TargetSettings | None = None
) -> Target:
    """Return the target that annotations of the classes membrane, nucleus and background make.

    The smallest annotation that holds a point decides, as everywhere; one of role ``ignore`` takes its ground away.
    Annotations of other classes mean nothing here, and what none holds is not known.

    Parameters
    ----------
    regions
        People's annotations of the image, level-0 px.
    frame
        The picture.
    settings
        The names of the classes.

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
            # Other roles than ignore may subtract from scored ground, but a nucleus in them is one.
            kept.append(region if code is None else replace(region, role="other"))
            codes.append(code)
    ground = label_regions(kept, codes)
    target = frame.empty()
    for code in (BACKGROUND, NUCLEUS, MEMBRANE):
        shapes = [shape for shape, label in zip(ground.shapes, ground.label, strict=True) if label == code]
        target[inside(shapes, frame)] = code
    return target
