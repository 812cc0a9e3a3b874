"""Rendering of a synthetic HER2 field together with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from qupath_her2.synthetic.cells import CellPlan, plan_cells
from qupath_her2.synthetic.layout import LAYOUT_UM, TUMOUR, Layout, lay_out
from qupath_her2.synthetic.noise import MARGIN_UM
from qupath_her2.synthetic.optics import expose
from qupath_her2.synthetic.painting import canvas_for, paint_cytoplasm, paint_membranes, paint_nuclei
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.surroundings import (
    OtherNuclei,
    other_nuclei,
    paint_ground,
    paint_others,
    paint_red_cells_and_dirt,
)

__all__ = ["Field", "FieldTruth", "draw_field"]

Rings = list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class FieldTruth:
    """Ground truth of a field: N tumour cells whose nucleus centre lies in the image, and all other nuclei.

    Coordinates are level-0 pixels of the image, x right, y down; (0, 0) is its top-left corner, not a pixel's centre.

    Attributes
    ----------
    centroid_xy
        float32 (N, 2), centroid of the nucleus.
    cells, nuclei
        N open rings each, float32 (k, 2); they may extend beyond the image.
    intensity, pattern
        uint8 (N,), indices into `records.INTENSITIES` and `records.PATTERNS`.
    completeness
        float32 (N,), 0..1, share of directions from the cell's centre that meet its own stained membrane.
    membrane_od
        float32 (N,), median peak OD of the cell's own stained membrane, before the optics, times `stain_scale`;
        neighbours' membranes are not included.
    width_um
        float32 (N,), mean FWHM of the cell's own membrane before the optics, µm; 0 without membrane.
    cytoplasm_od
        float32 (N,), DAB OD of the cytoplasm.
    haematoxylin_od
        float32 (N,), haematoxylin OD of the nucleus.
    cell_class
        uint8 (N,), 0..3 from intensity and pattern by the ASCO/CAP breast guideline, see `cells.class_of`.
    other_nuclei
        Rings of all nuclei that are not counted tumour cells.
    other_kinds
        Kind of each: ``stroma``, ``lymphocyte``, or ``border`` for a tumour nucleus centred outside the image.
    tumour_region
        Outline of the tumour nests within the image.
    """

    centroid_xy: NDArray[np.float32]
    cells: Rings
    nuclei: Rings
    intensity: NDArray[np.uint8]
    pattern: NDArray[np.uint8]
    completeness: NDArray[np.float32]
    membrane_od: NDArray[np.float32]
    width_um: NDArray[np.float32]
    cytoplasm_od: NDArray[np.float32]
    haematoxylin_od: NDArray[np.float32]
    cell_class: NDArray[np.uint8]
    other_nuclei: Rings
    other_kinds: tuple[str, ...]
    tumour_region: Polygon | MultiPolygon

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def class_shares(self) -> tuple[float, float, float, float]:
        """Shares of the counted cells in the classes 0, 1+, 2+, 3+; zeros if there are no cells."""
        counts = np.bincount(self.cell_class, minlength=4) / max(len(self), 1)
        return float(counts[0]), float(counts[1]), float(counts[2]), float(counts[3])


@dataclass(frozen=True, slots=True)
class Field:
    """A synthetic field: `rgb` uint8 (H, W, 3), its ground truth, and the settings it was drawn with."""

    rgb: NDArray[np.uint8]
    truth: FieldTruth
    settings: FieldSettings


def draw_field(settings: FieldSettings) -> Field:
    """Draw a field; the same settings give the same bytes."""
    # The truth is fixed by the plan before anything is painted, so nothing that is painted can bend it.
    layout = lay_out(settings)
    plan = plan_cells(settings, layout)
    others = other_nuclei(settings, layout)
    canvas = canvas_for(settings)
    paint_ground(canvas, layout)
    paint_others(canvas, others)
    paint_cytoplasm(canvas, plan)
    paint_nuclei(canvas, plan.nuclei, plan.haematoxylin_od, "tumour", dense=0.08)
    paint_membranes(canvas, plan.membranes)
    # Before the red cells are painted: their yellow is not DAB, and must not follow the stain's strength.
    canvas.dab[:] *= settings.stain_scale
    paint_red_cells_and_dirt(canvas, layout)
    return Field(expose(canvas), _truth(settings, layout, plan, others), settings)


def _truth(settings: FieldSettings, layout: Layout, plan: CellPlan, others: OtherNuclei) -> FieldTruth:
    """Convert the plan from µm to pixels, and keep the counted cells."""

    def px(ring: NDArray[np.float64]) -> NDArray[np.float32]:
        return np.asarray(ring / settings.pixel_size_um, np.float32)

    kept = np.flatnonzero(plan.is_counted)
    frame = shapely.box(0, 0, settings.width_px, settings.height_px)
    border = [px(plan.nuclei[i]) for i in np.flatnonzero(~plan.is_counted)]
    around = [(px(ring), kind) for ring, kind in zip(others.nuclei, others.kinds, strict=True)]
    around += [(ring, "border") for ring in border]
    # The margin holds nuclei that the image does not show.
    seen = [(ring, kind) for ring, kind in around if Polygon(ring).intersects(frame)]
    scale = settings.stain_scale
    return FieldTruth(
        centroid_xy=px(plan.nucleus_xy[kept]),
        cells=[px(plan.outlines[i]) for i in kept],
        nuclei=[px(plan.nuclei[i]) for i in kept],
        intensity=plan.intensity[kept],
        pattern=plan.pattern[kept],
        completeness=plan.completeness[kept].astype(np.float32),
        membrane_od=(scale * plan.membrane_od[kept]).astype(np.float32),
        width_um=plan.width_um[kept].astype(np.float32),
        cytoplasm_od=(scale * plan.cytoplasm_od[kept]).astype(np.float32),
        haematoxylin_od=plan.haematoxylin_od[kept].astype(np.float32),
        cell_class=plan.cell_class[kept],
        other_nuclei=[ring for ring, _ in seen],
        other_kinds=tuple(kind for _, kind in seen),
        tumour_region=_tumour_region(settings, layout, frame),
    )


def _tumour_region(settings: FieldSettings, layout: Layout, frame: Polygon) -> Polygon | MultiPolygon:
    """Return the outline of the tumour nests, level-0 px, clipped to the image, with holes."""
    # A closing by one sample includes the slits between cells, as a person's outline would.
    mask = cv2.morphologyEx(
        (layout.region == TUMOUR).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)
    )
    found, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    shells: list[Polygon] = []
    holes: list[Polygon] = []
    for ring, (_, _, _, parent) in zip(found, tree[0] if tree is not None else [], strict=True):
        if len(ring) >= 4:
            # Contours run through the centres of layout samples: hence the half.
            xy = ((ring[:, 0, :] + 0.5) * LAYOUT_UM - MARGIN_UM) / settings.pixel_size_um
            (shells if parent < 0 else holes).append(Polygon(xy).buffer(0))
    region = shapely.union_all(shells).difference(shapely.union_all(holes))
    cut = shapely.simplify(region, 0.25 / settings.pixel_size_um).buffer(0).intersection(frame)
    parts = [part for part in shapely.get_parts(cut) if isinstance(part, Polygon) and not part.is_empty]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)
