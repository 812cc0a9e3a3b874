"""Layout of whole breast tissue: growth patterns of the tumour, ducts, fat, vessels, clefts and tears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.synthetic.ducts import Adipocytes, place_benign, place_fat, place_in_situ, place_vessels
from qupath_her2.synthetic.fibres import Fibres, fibres_round
from qupath_her2.synthetic.layout import (
    BENIGN,
    FAT,
    GLASS,
    LAYOUT_UM,
    LUMEN,
    NECROSIS,
    STROMA,
    TUMOUR,
    Layout,
    cut_edge,
    cut_lumens,
    depth_in,
    fill_with_cells,
)
from qupath_her2.synthetic.noise import MARGIN_UM, smooth_field, stream
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.tissue import TissueSettings

__all__ = ["TissueLayout", "lay_out_tissue"]

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Ring = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TissueLayout(Layout):
    """Layout of whole tissue; cells of invasive and in-situ carcinoma are those of `Layout`.

    Attributes
    ----------
    in_situ
        bool (H, W) on the layout raster, ducts with carcinoma in situ.
    benign
        Cells of benign ducts; its region has them as tumour.
    fibres
        Direction and texture of the stroma.
    fat
        Fat cells.
    vessels
        Outlines of the vessels' lumens, float64 (K, 2), µm.
    """

    in_situ: Mask
    benign: Layout
    fibres: Fibres
    fat: Adipocytes
    vessels: list[Ring]


def lay_out_tissue(settings: FieldSettings, tissue: TissueSettings) -> TissueLayout:
    """Lay out whole tissue; the result depends on extent in µm and seed, never on the pixel size.

    Parameters
    ----------
    settings
        Settings of the field.
    tissue
        Its tissue.

    Returns
    -------
    TissueLayout
        Regions, cells and fibres, margin included.
    """
    width, height = (round((e + 2 * MARGIN_UM) / LAYOUT_UM) for e in settings.extent_um)
    region = np.full((height, width), STROMA, np.uint8)
    taken = np.zeros(region.shape, bool)
    fat = place_fat(settings, tissue, region)
    _grow(settings, tissue, region)
    in_situ = place_in_situ(settings, tissue, region, taken)
    place_benign(settings, tissue, region, taken)
    vessels = place_vessels(settings, tissue, region, taken)
    fibres = fibres_round(settings, np.isin(region, (TUMOUR, BENIGN, LUMEN, NECROSIS, FAT)))
    _cut_clefts(settings, tissue, region, in_situ)
    _cut_tears(settings, tissue, region, fibres)
    cut_edge(settings, region)
    cells = fill_with_cells(settings, region, _towards(region, (LUMEN, NECROSIS)))
    # Benign luminal cells are small and columnar, and leave no gaps.
    small = replace(
        settings, gland=1.0, cell_diameter_um=8.6, cell_diameter_cv=0.1, n_target=None, crowding=1.0
    )
    ducts = np.where(region == BENIGN, TUMOUR, STROMA).astype(np.uint8)
    benign = fill_with_cells(small, ducts, _towards(region, (LUMEN,)))
    return TissueLayout(
        cells.region, cells.outlines, cells.axis, cells.aspect, in_situ, benign, fibres, fat, vessels
    )


def _towards(region: Codes, codes: tuple[int, ...]) -> Floats:
    """Return minus the distance from the nearest lumen, float32 (H, W), µm: it rises towards the apex of a cell."""
    away = cv2.distanceTransform((~np.isin(region, codes)).astype(np.uint8), cv2.DIST_L2, 5) * LAYOUT_UM
    return np.asarray(-np.minimum(away, 200), np.float32)


def _grow(settings: FieldSettings, tissue: TissueSettings, region: Codes) -> None:
    """Let the invasive tumour grow into stroma and fat, each pattern in its own patches, in place."""
    if tissue.tumour <= 0:
        return
    patches = [
        smooth_field(stream(settings.seed, f"patch {name}"), settings.extent_um, 60.0, LAYOUT_UM)
        for name in tissue.architectures
    ]
    owner = np.argmax(patches, axis=0)
    for number, name in enumerate(tissue.architectures):
        grown = _GROWTH[name](settings, tissue, region.shape)
        here = (owner == number) & (grown != STROMA)
        region[here] = grown[here]


def _outline(settings: FieldSettings, scale_um: float) -> Floats:
    """Return the random field whose level sets are the nests' outlines, with a finer ripple."""
    nests = smooth_field(stream(settings.seed, "nests"), settings.extent_um, scale_um, LAYOUT_UM)
    return nests + 0.10 * smooth_field(stream(settings.seed, "ripple"), settings.extent_um, 6.0, LAYOUT_UM)


def _walls(settings: FieldSettings, tissue: TissueSettings) -> Floats:
    """Return the thickness of the epithelium at each sample, float32 (H, W), µm; it drifts over some 30 µm."""
    drift = smooth_field(stream(settings.seed, "walls"), settings.extent_um, 30.0, LAYOUT_UM)
    low, high = tissue.wall_um
    return np.asarray(low + (high - low) * np.clip(0.5 + 0.35 * drift, 0, 1), np.float32)


def _solid(settings: FieldSettings, tissue: TissueSettings, _shape: tuple[int, ...]) -> Codes:
    """Return large nests without lumens."""
    nests = _outline(settings, tissue.nest_um)
    return np.where(nests > np.quantile(nests, 1 - tissue.tumour), TUMOUR, STROMA).astype(np.uint8)


def _cribriform(settings: FieldSettings, tissue: TissueSettings, shape: tuple[int, ...]) -> Codes:
    """Return large nests with many round lumens."""
    grown = _solid(settings, tissue, shape)
    cut_lumens(settings, grown, 4.0, 16.0)
    return grown


def _glandular(settings: FieldSettings, tissue: TissueSettings, _shape: tuple[int, ...]) -> Codes:
    """Return separate glands: nests hollow beyond the thickness of their wall."""
    nests = _outline(settings, 0.7 * tissue.nest_um)
    grown = np.where(nests > np.quantile(nests, 1 - tissue.tumour), TUMOUR, STROMA).astype(np.uint8)
    return _hollowed(settings, grown, _walls(settings, tissue))


def _tubular(settings: FieldSettings, tissue: TissueSettings, _shape: tuple[int, ...]) -> Codes:
    """Return a network of tubules: bands along the zero level of a random field, hollow where they are wide."""
    bands = np.abs(_outline(settings, 0.62 * tissue.nest_um))
    grown = np.where(bands < np.quantile(bands, tissue.tumour), TUMOUR, STROMA).astype(np.uint8)
    return _hollowed(settings, grown, 0.8 * _walls(settings, tissue))


def _hollowed(settings: FieldSettings, grown: Codes, wall_um: Floats) -> Codes:
    """Open a lumen where the tumour is deeper than its wall."""
    depth = depth_in(grown, TUMOUR)
    rough = smooth_field(stream(settings.seed, "lumen outline"), settings.extent_um, 3.0, LAYOUT_UM)
    grown[depth + 1.2 * rough > wall_um] = LUMEN
    return grown


def _trabecular(settings: FieldSettings, tissue: TissueSettings, _shape: tuple[int, ...]) -> Codes:
    """Return cords of one to two cells' width, broken here and there."""
    line = smooth_field(stream(settings.seed, "nests"), settings.extent_um, 0.5 * tissue.nest_um, LAYOUT_UM)
    slope = np.hypot(*np.gradient(line)) / LAYOUT_UM
    # First-order distance from the zero level, µm.
    away = np.abs(line) / np.maximum(slope, 1e-3)
    near = (away < _walls(settings, tissue) / 2).astype(np.uint8)
    gate = smooth_field(stream(settings.seed, "cords"), settings.extent_um, 16.0, LAYOUT_UM)
    # Half of all cords remain at a tumour share of 0.25, all at 0.5.
    kept = gate > np.quantile(gate, max(0.0, 1 - 2 * tissue.tumour))
    cords = cv2.morphologyEx(near * kept.astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    return np.where(cords > 0, TUMOUR, STROMA).astype(np.uint8)


def _single_cells(settings: FieldSettings, tissue: TissueSettings, shape: tuple[int, ...]) -> Codes:
    """Return single cells and short files of cells, as in lobular carcinoma."""
    rng = stream(settings.seed, "single cells")
    swirl = smooth_field(stream(settings.seed, "files"), settings.extent_um, 40.0, LAYOUT_UM)
    discs = np.full(shape, STROMA, np.uint8)
    extent = np.array(settings.extent_um) + 2 * MARGIN_UM
    radius_um = 0.5 * settings.cell_diameter_um
    # Files of 3.5 cells on average fill the share, overlaps aside.
    n_files = int(0.6 * tissue.tumour * extent.prod() / (3.5 * np.pi * radius_um**2))
    for _ in range(n_files):
        at = rng.uniform(0, 1, 2) * extent
        for _ in range(int(rng.integers(1, 7))):
            column, row = (int(v / LAYOUT_UM) for v in at)
            if not (0 <= row < shape[0] and 0 <= column < shape[1]):
                break
            radius = radius_um * rng.uniform(0.85, 1.15) / LAYOUT_UM
            axes = (round(radius * rng.uniform(1, 1.25)), round(radius * rng.uniform(0.8, 1)))
            angle = float(np.pi * swirl[row, column])
            cv2.ellipse(discs, (column, row), axes, np.degrees(angle), 0, 360, TUMOUR, -1)
            at = at + 1.85 * radius_um * np.array([np.cos(angle), np.sin(angle)])
    return discs


_GROWTH: dict[str, Callable[[FieldSettings, TissueSettings, tuple[int, ...]], Codes]] = {
    "solid": _solid,
    "cribriform": _cribriform,
    "glandular": _glandular,
    "tubular": _tubular,
    "trabecular": _trabecular,
    "single cells": _single_cells,
}


def _cut_clefts(settings: FieldSettings, tissue: TissueSettings, region: Codes, in_situ: Mask) -> None:
    """Open retraction clefts: the stroma beside parts of the nests' borders becomes glass, in place."""
    if tissue.clefts <= 0 or tissue.cleft_um <= 0:
        return
    apart = cv2.distanceTransform((region != TUMOUR).astype(np.uint8), cv2.DIST_L2, 5) * LAYOUT_UM
    gate = smooth_field(stream(settings.seed, "retraction"), settings.extent_um, 16.0, LAYOUT_UM)
    rough = smooth_field(stream(settings.seed, "cleft outline"), settings.extent_um, 2.5, LAYOUT_UM)
    # The cleft widens within about one SD of the gate to its full width.
    open_um = (
        tissue.cleft_um * np.clip(gate - np.quantile(gate, 1 - tissue.clefts), 0, 1) * (1 + 0.15 * rough)
    )
    region[(region == STROMA) & (apart < open_um) & ~in_situ] = GLASS


def _cut_tears(settings: FieldSettings, tissue: TissueSettings, region: Codes, fibres: Fibres) -> None:
    """Tear holes into the stroma, ragged along its fibres, in place."""
    if tissue.tears <= 0:
        return
    holes = smooth_field(stream(settings.seed, "tears"), settings.extent_um, 22.0, LAYOUT_UM)
    holes = holes - 0.5 * fibres.bands
    stroma = region == STROMA
    region[stroma & (holes > np.quantile(holes, 1 - tissue.tears))] = GLASS
