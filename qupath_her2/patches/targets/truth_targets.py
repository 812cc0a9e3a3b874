"""Targets from synthetic fields, whose ground truth has every cell except those cut by the field's edge."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.patches.targets.raster import Rings
from qupath_her2.patches.targets.targets import (
    BACKGROUND,
    IGNORE,
    MEMBRANE,
    NUCLEUS,
    OTHER_NUCLEUS,
    TargetFrame,
    TargetSettings,
    membrane_band,
    rasterise,
)
from qupath_her2.synthetic.field import Field

__all__ = ["field_frame", "truth_target"]

#: Area of a tumour nest in no counted cell that is wider than this is a cell cut by the edge, not a gap between cells.
_WIDEST_SLIT_UM = 2.0
#: Kinds, in `FieldTruth.other_kinds`, of tumour nuclei centred outside the field, and of the cells of benign ducts.
_CUT_TUMOUR, _DUCT = "border", "duct"
#: The ground truth has no outlines of duct cells: what lies closer to their nuclei than this is unknown.
_DUCT_CELL_UM = 3.0


def field_frame(field: Field) -> TargetFrame:
    """Return the frame of the whole field at its own scale."""
    height, width = field.rgb.shape[:2]
    return TargetFrame(0, 0, width, height, field.settings.pixel_size_um)


def truth_target(
    field: Field,
    frame: TargetFrame | None = None,
    settings: TargetSettings | None = None,
    *,
    tells_tumour: bool = False,
) -> NDArray[np.uint8]:
    """Return the target of a synthetic field.

    Membranes are the outlines of tumour cells, stained or not, as in `cell_target`; nuclei of stroma and lymphocytes
    count as nuclei, or as a class of their own. The ground truth has no outlines of cells whose nucleus is beyond the
    field's edge: their area is unknown, and so is everything outside the field. Cells of benign ducts are unknown too:
    on a small window nobody can tell them from tumour, and a network that learnt to would lose tumour glands.

    Parameters
    ----------
    field
        A synthetic field.
    frame
        The window; None takes the whole field.
    settings
        Membrane width.
    tells_tumour
        Nuclei of no tumour cell are `OTHER_NUCLEUS` (classes `TUMOUR_TARGET_CLASSES`) instead of `NUCLEUS`.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W): `BACKGROUND`, `MEMBRANE`, `NUCLEUS`, `OTHER_NUCLEUS`, `IGNORE`.

    Raises
    ------
    PatchError
        See `targets.membrane_band`.
    """
    frame, settings = frame or field_frame(field), settings or TargetSettings()
    truth = field.truth
    outlines = _joined(truth.cells)
    cells = rasterise(outlines, frame)
    nests = rasterise([truth.tumour_region], frame)
    target = frame.empty()
    drawn = rasterise([shapely.box(0, 0, field.settings.width_px, field.settings.height_px)], frame)
    target[drawn] = BACKGROUND
    target[_cut_cells(nests & ~cells, drawn, frame)] = IGNORE
    # Tumour nuclei centred outside the field are listed with the others, but they are tumour all the same.
    cut: list[NDArray[np.float32]] = []
    ducts: list[NDArray[np.float32]] = []
    others: list[NDArray[np.float32]] = []
    for ring, kind in zip(truth.other_nuclei, truth.other_kinds, strict=True):
        (cut if kind == _CUT_TUMOUR else ducts if kind == _DUCT else others).append(ring)
    around_um = _DUCT_CELL_UM / field.settings.pixel_size_um
    target[rasterise([shapely.Polygon(ring).buffer(around_um) for ring in ducts], frame)] = IGNORE
    target[rasterise(_joined(others), frame)] = OTHER_NUCLEUS if tells_tumour else NUCLEUS
    target[rasterise(_joined([*truth.nuclei, *cut]), frame)] = NUCLEUS
    target[membrane_band(outlines, frame, settings.membrane_width_um)] = MEMBRANE
    target[~drawn] = IGNORE
    return target


def _cut_cells(rest: NDArray[np.bool_], drawn: NDArray[np.bool_], frame: TargetFrame) -> NDArray[np.bool_]:
    """Return the wide parts of the nests that are in no counted cell, bool (H, W)."""
    # Odd, so that the disc has a centre pixel.
    across = max(3, round(_WIDEST_SLIT_UM / frame.um_px) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (across, across))
    # A cut cell continues beyond the edge. If the outside counted as empty, opening would erode the cell there.
    goes_on = (rest | ~drawn).astype(np.uint8)
    padded = cv2.copyMakeBorder(goes_on, across, across, across, across, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc)[across:-across, across:-across]
    return np.asarray((opened > 0) & rest)


def _joined(rings: Sequence[NDArray[np.float32]]) -> Rings:
    offsets = np.cumsum([0, *map(len, rings)])
    xy = np.concatenate([np.zeros((0, 2)), *rings]).astype(np.float64)
    return Rings(xy, offsets, np.zeros(len(rings), bool))
