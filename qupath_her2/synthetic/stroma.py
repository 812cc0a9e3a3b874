"""Ground of whole tissue: collagen bands, fat, contents of lumens and vessels, necrosis; cytoplasm of epithelium."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.synthetic.architecture import TissueLayout
from qupath_her2.synthetic.layout import BENIGN, FAT, LAYOUT_UM, LUMEN, NECROSIS, STROMA, TUMOUR, VESSEL
from qupath_her2.synthetic.noise import smooth_field, stream
from qupath_her2.synthetic.outline import wobbly_ellipse
from qupath_her2.synthetic.painting import Canvas, blurred, fill, stroke, texture
from qupath_her2.synthetic.surroundings import to_canvas
from qupath_her2.synthetic.tissue import TissueSettings

__all__ = ["paint_tissue_ground"]

Floats = NDArray[np.float32]


def paint_tissue_ground(canvas: Canvas, layout: TissueLayout, tissue: TissueSettings) -> None:
    """Paint everything that lies under nuclei and membranes.

    Parameters
    ----------
    canvas
        Changed in place.
    layout
        Regions, fibres, fat and vessels.
    tissue
        ODs and amounts.
    """
    grain = texture(canvas, "ground grain", 0.3)
    _paint_cytoplasm(canvas, layout, grain)
    _paint_stroma(canvas, layout, tissue, grain)
    if tissue.fat > 0:
        _paint_fat(canvas, layout, tissue, grain)
    _paint_vessels(canvas, layout, tissue)
    _paint_contents(canvas, layout, tissue, grain)


def _covered(canvas: Canvas, layout: TissueLayout, *codes: int) -> Floats:
    """Return the soft coverage of the canvas by regions, float32 (H, W), 0..1."""
    return blurred(canvas, to_canvas(canvas, np.isin(layout.region, codes)), 0.4)


def _paint_cytoplasm(canvas: Canvas, layout: TissueLayout, grain: Floats) -> None:
    """Paint the pale, finely granular body of epithelial cells."""
    drift = texture(canvas, "ground drift", 3.0)
    foam = texture(canvas, "foam", 0.9)
    ground = _covered(canvas, layout, TUMOUR, BENIGN) * np.maximum(
        1 + 0.2 * drift + 0.4 * grain + 0.2 * foam, 0
    )
    ground *= canvas.settings.background_od
    if canvas.settings.palette == "H&E":
        canvas.eosin[:] += 5 * ground
    canvas.haematoxylin[:] += 0.7 * ground
    canvas.grey[:] += 0.3 * ground


def _paint_stroma(canvas: Canvas, layout: TissueLayout, tissue: TissueSettings, grain: Floats) -> None:
    """Paint bands of collagen: a continuous sheet where it is dense, strands with gaps where it is loose."""
    stroma = _covered(canvas, layout, STROMA)
    fibres = layout.fibres
    loose = 0.55 * smooth_field(
        stream(canvas.settings.seed, "looseness"), canvas.settings.extent_um, 30.0, LAYOUT_UM
    )
    # A logistic of the band height: at a collagen of 0.35 half of the area is strand, at 1 nearly all.
    sheet = 1 / (1 + np.exp(-(fibres.bands + 2.6 * (tissue.collagen - 0.35) + loose) / 0.4))
    drift = smooth_field(
        stream(canvas.settings.seed, "collagen drift"), canvas.settings.extent_um, 12.0, LAYOUT_UM
    )
    body = sheet * np.maximum(1 + 0.2 * fibres.bands + 0.32 * fibres.fibrils + 0.2 * drift, 0.15)
    strands = np.exp(-((fibres.fibrils / 0.35) ** 2)) * (1 - sheet)
    # Collagen is no wood: pores and specks break its grain.
    pores = 0.18 * texture(canvas, "pores", 0.8) + 0.15 * texture(canvas, "specks", 1.8)
    raster = np.asarray(0.06 + 0.9 * body + 0.25 * strands, np.float32)
    amount = tissue.stroma_od * stroma * to_canvas(canvas, raster) * np.maximum(1 + 0.35 * grain + pores, 0)
    patches = 1 + 0.8 * to_canvas(
        canvas,
        smooth_field(stream(canvas.settings.seed, "brown"), canvas.settings.extent_um, 25.0, LAYOUT_UM),
    )
    brown = tissue.stroma_dab * np.maximum(patches, 0)
    canvas.dab[:] += brown * amount
    rest = np.maximum(1 - brown, 0) * amount
    if canvas.settings.palette == "H&E":
        canvas.eosin[:] += 5 * amount
    canvas.haematoxylin[:] += 0.65 * rest
    canvas.grey[:] += 0.35 * rest
    # Refraction: one flank of each fibre is bright, the other dark, as in light that falls in obliquely.
    relief = fibres.fibrils * (0.4 + 0.6 * sheet) + sheet
    slope = np.gradient(cv2.GaussianBlur(np.asarray(relief, np.float32), (0, 0), 0.6))
    edge = np.clip(slope[0] + slope[1], -1.2, 1.2).astype(np.float32)
    canvas.grey[:] += 0.10 * tissue.refraction * stroma * to_canvas(canvas, edge)


def _paint_fat(canvas: Canvas, layout: TissueLayout, tissue: TissueSettings, grain: Floats) -> None:
    """Paint the thin walls of fat cells; their body is as empty as glass."""
    wall = to_canvas(canvas, np.minimum(layout.fat.wall_um, 20.0).astype(np.float32))
    inside = _covered(canvas, layout, FAT)
    thick = 0.6 * np.exp(0.4 * texture(canvas, "wall thickness", 12.0))
    amount = (
        (0.03 + tissue.stroma_od) * inside * np.exp(-((wall / thick) ** 2)) * np.maximum(2.2 + 0.4 * grain, 0)
    )
    brown = min(1.0, 2 * tissue.stroma_dab)
    canvas.dab[:] += brown * amount
    canvas.haematoxylin[:] += 0.5 * (1 - brown) * amount
    canvas.grey[:] += 0.5 * (1 - brown) * amount + 0.006 * inside


def _paint_vessels(canvas: Canvas, layout: TissueLayout, tissue: TissueSettings) -> None:
    """Paint the wall of each vessel, and refractile red cells in half of them."""
    rng = stream(canvas.settings.seed, "vessel contents")
    wall, body, edge = (np.zeros_like(canvas.dab) for _ in range(3))
    for ring in layout.vessels:
        stroke(canvas, wall, ring, 1.2 * tissue.stroma_od, rng.uniform(1.2, 2.6))
        if rng.random() < 0.5:
            continue
        size = np.ptp(ring, axis=0)
        for _ in range(int(0.02 * size.prod()) + 1):
            middle = ring.mean(0) + 0.3 * size * rng.uniform(-1, 1, 2)
            cell = wobbly_ellipse(
                rng, middle, rng.uniform(14, 28), rng.uniform(1, 2), rng.uniform(0, 3.1), 0.15
            )
            fill(canvas, body, cell, rng.uniform(0.02, 0.14))
            flank = np.roll(cell, int(rng.integers(48)), axis=0)[: int(rng.integers(16, 48))]
            stroke(canvas, edge, flank, rng.uniform(0.15, 0.5), rng.uniform(0.4, 0.8), closed=False)
    canvas.haematoxylin[:] += 0.5 * blurred(canvas, wall, 0.4)
    cells = blurred(canvas, body + edge, 0.22) * _covered(canvas, layout, VESSEL)
    canvas.grey[:] += 0.5 * blurred(canvas, wall, 0.4) + cells
    # Haemoglobin keeps a trace of yellow, part of which unmixes as DAB.
    canvas.dab[:] += 0.12 * cells


def _paint_contents(canvas: Canvas, layout: TissueLayout, tissue: TissueSettings, grain: Floats) -> None:
    """Fill a third of the lumens with secretion, and necrosis with granular debris and ghosts of cells."""
    rng = stream(canvas.settings.seed, "contents")
    count, labels = cv2.connectedComponents((layout.region == LUMEN).astype(np.uint8), connectivity=4)
    filled = np.where(rng.random(count) < 0.35, rng.uniform(*tissue.secretion_dab_od, count), 0.0)
    filled[0] = 0
    cracks = np.clip(1.4 + texture(canvas, "cracks", 2.0), 0, 1)
    layer = blurred(canvas, to_canvas(canvas, filled[labels].astype(np.float32)), 0.6) * cracks
    clumps = texture(canvas, "clumps of debris", 1.0)
    canvas.dab[:] += layer * np.maximum(1 + 0.25 * clumps + 0.2 * grain, 0)
    canvas.haematoxylin[:] += 0.25 * layer
    necrosis = _covered(canvas, layout, NECROSIS)
    if necrosis.any():
        ghosts = np.maximum(0.8 + 0.5 * clumps + 0.35 * texture(canvas, "ghosts", 3.0) + 0.35 * grain, 0)
        canvas.dab[:] += rng.uniform(*tissue.necrosis_dab_od) * necrosis * ghosts
        canvas.haematoxylin[:] += canvas.settings.background_od * necrosis * ghosts
        canvas.grey[:] += 0.5 * canvas.settings.background_od * necrosis * ghosts
