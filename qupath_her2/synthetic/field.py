"""Rendering of a synthetic HER2 field together with its ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import MultiPolygon, Polygon

from qupath_her2.synthetic.architecture import TissueLayout, lay_out_tissue
from qupath_her2.synthetic.artefacts import paint_debris, paint_wrinkles
from qupath_her2.synthetic.bystanders import tissue_nuclei
from qupath_her2.synthetic.cells import CellPlan, plan_cells
from qupath_her2.synthetic.granules import paint_grains, paint_immune_stain
from qupath_her2.synthetic.layout import LAYOUT_UM, TUMOUR, Layout, lay_out
from qupath_her2.synthetic.noise import MARGIN_UM, sample
from qupath_her2.synthetic.optics import expose
from qupath_her2.synthetic.painting import Canvas, canvas_for, paint_cytoplasm, paint_membranes, paint_nuclei
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.stroma import paint_tissue_ground
from qupath_her2.synthetic.surroundings import (
    OtherNuclei,
    other_nuclei,
    paint_ground,
    paint_others,
    paint_red_cells_and_dirt,
)
from qupath_her2.synthetic.tissue import TissueSettings

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
        Kind of each: ``stroma``, ``lymphocyte``, or ``border`` for a tumour nucleus centred outside the image. In whole
        tissue also ``duct`` (luminal cells of benign ducts), ``myoepithelium``, ``endothelium``, ``adipocyte`` and
        ``necrosis`` (fragments of dead nuclei).
    tumour_region
        Outline of the tumour nests within the image, carcinoma in situ included.
    cell_kinds
        Kind of each of the N tumour cells: ``invasive`` or ``in situ``.
    areas
        uint8 (H, W), what lies at each pixel's centre: an index into `layout.AREAS` (glass and clefts, stroma, tumour,
        lumen, fat, benign ducts, necrosis, vessels).
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
    cell_kinds: tuple[str, ...]
    areas: NDArray[np.uint8]

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
    if settings.tissue is not None:
        return _draw_tissue(settings, settings.tissue)
    # The truth is fixed by the plan before anything is painted, so nothing that is painted can bend it.
    layout = lay_out(settings)
    plan = plan_cells(settings, layout)
    others = other_nuclei(settings, layout)
    canvas = canvas_for(settings)
    paint_ground(canvas, layout)
    paint_others(canvas, others)
    _paint_cells(canvas, plan, "tumour")
    # Before the red cells are painted: their yellow is not DAB, and must not follow the stain's strength.
    canvas.dab[:] *= settings.stain_scale
    paint_red_cells_and_dirt(canvas, layout)
    return Field(expose(canvas), _truth(settings, layout, plan, others), settings)


def _draw_tissue(settings: FieldSettings, tissue: TissueSettings) -> Field:
    """Draw a field of whole tissue."""
    layout = lay_out_tissue(settings, tissue)
    plan = plan_cells(settings, layout)
    # Normal epithelium has no more than faint, incomplete membranes; its cytoplasm may stain.
    normal = replace(
        settings, shares=(0.7, 0.3, 0.0, 0.0), diffuse_dab_od=tissue.benign_dab_od, nucleus_area_share=(0.32, 0.5),
        class_patchiness=0.8,
    )  # fmt: skip
    benign = plan_cells(normal, layout.benign)
    others = tissue_nuclei(settings, tissue, layout)
    canvas = canvas_for(settings)
    paint_tissue_ground(canvas, layout, tissue)
    paint_others(canvas, others)
    paint_immune_stain(canvas, tissue, others)
    _paint_cells(canvas, benign, "duct")
    _paint_cells(canvas, plan, "tumour")
    paint_grains(canvas, plan)
    canvas.dab[:] *= settings.stain_scale
    paint_debris(canvas, layout, tissue)
    paint_red_cells_and_dirt(canvas, layout)
    paint_wrinkles(canvas, tissue)
    around = OtherNuclei(
        others.nuclei + benign.nuclei,
        others.kinds + ["duct"] * len(benign.nuclei),
        np.concatenate([others.od, benign.haematoxylin_od]),
    )
    return Field(expose(canvas), _truth(settings, layout, plan, around), settings)


def _paint_cells(canvas: Canvas, plan: CellPlan, name: str) -> None:
    """Paint cytoplasm, nuclei and membranes of epithelial cells."""
    paint_cytoplasm(canvas, plan)
    paint_nuclei(canvas, plan.nuclei, plan.haematoxylin_od, name, dense=0.08)
    paint_membranes(canvas, plan.membranes)


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
        cell_kinds=_cell_kinds(layout, plan.nucleus_xy[kept]),
        areas=_areas(settings, layout),
    )


def _cell_kinds(layout: Layout, xy_um: NDArray[np.float64]) -> tuple[str, ...]:
    """Return ``in situ`` for cells inside a duct with carcinoma in situ, otherwise ``invasive``."""
    if not isinstance(layout, TissueLayout):
        return ("invasive",) * len(xy_um)
    is_in_situ = sample(layout.in_situ.astype(np.float32), xy_um, LAYOUT_UM) > 0
    return tuple("in situ" if one else "invasive" for one in is_in_situ)


def _areas(settings: FieldSettings, layout: Layout) -> NDArray[np.uint8]:
    """Return the region code at the centre of each pixel, uint8 (H, W)."""
    columns, rows = (
        (np.arange(n) + 0.5) * settings.pixel_size_um for n in (settings.width_px, settings.height_px)
    )
    # Sample k of the layout covers k to k + 1 spacings from the corner of the margin.
    column, row = (
        np.minimum((at + MARGIN_UM) / LAYOUT_UM, size - 1).astype(np.intp)
        for at, size in zip((columns, rows), layout.region.shape[::-1], strict=True)
    )
    return np.ascontiguousarray(layout.region[np.ix_(row, column)])


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
