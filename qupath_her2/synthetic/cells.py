"""Plan of the tumour cells: class, membrane, cytoplasm and nucleus, all fixed before anything is painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from qupath_her2.synthetic.layout import LAYOUT_UM, Layout
from qupath_her2.synthetic.noise import sample, smooth_field, stream
from qupath_her2.synthetic.outline import centroid, inset, resampled, wobbly_ellipse
from qupath_her2.synthetic.settings import FieldSettings

__all__ = ["CellPlan", "Membrane", "class_of", "plan_cells", "stained_angles"]

Ring = NDArray[np.float64]
#: Codes of intensity and pattern: indices into `records.INTENSITIES` and `records.PATTERNS`.
NONE, FAINT, MODERATE, INTENSE = 0, 1, 2, 3
INCOMPLETE, LATERAL, COMPLETE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Membrane:
    """DAB along the border of one cell: a ridge with a Gaussian profile.

    Attributes
    ----------
    path_um
        float64 (K, 2), open ring, crest line of the ridge, µm.
    od
        float64 (K,), peak OD along the path; 0 where the membrane is unstained.
    width_um
        float64 (K,), full width at half maximum, µm.
    """

    path_um: Ring
    od: NDArray[np.float64]
    width_um: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CellPlan:
    """Plan of all N tumour cells, those in the margin included; positions in µm.

    Attributes
    ----------
    outlines, nuclei
        N open rings each, float64 (K, 2), µm.
    nucleus_xy
        float64 (N, 2), centroid of each nucleus, µm.
    is_counted
        bool (N,), True if the nucleus centre lies within the image.
    cell_class
        uint8 (N,), 0..3, see `class_of`.
    intensity, pattern
        uint8 (N,), indices into `records.INTENSITIES` and `records.PATTERNS`.
    completeness
        float64 (N,), 0..1, share of directions from the centre that meet stained membrane.
    membrane_od, width_um
        float64 (N,), peak OD and width of each cell's own membrane; 0 without one.
    cytoplasm_od
        float64 (N,), DAB OD of the cytoplasm.
    haematoxylin_od, nuclear_dab_od
        float64 (N,), haematoxylin and DAB OD of the nucleus.
    membranes
        N membranes; None for unstained cells.
    """

    outlines: list[Ring]
    nuclei: list[Ring]
    nucleus_xy: NDArray[np.float64]
    is_counted: NDArray[np.bool_]
    cell_class: NDArray[np.uint8]
    intensity: NDArray[np.uint8]
    pattern: NDArray[np.uint8]
    completeness: NDArray[np.float64]
    membrane_od: NDArray[np.float64]
    width_um: NDArray[np.float64]
    cytoplasm_od: NDArray[np.float64]
    haematoxylin_od: NDArray[np.float64]
    nuclear_dab_od: NDArray[np.float64]
    membranes: list[Membrane | None]


def class_of(intensity: NDArray[np.uint8], pattern: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the cell class 0..3 by the ASCO/CAP breast guideline (doi 10.5858/arpa.2018-0902-SA).

    3+: intense and complete. 2+: faint or moderate and complete, or moderate to intense and incomplete.
    1+: faint and incomplete. 0: no staining.
    """
    is_stained = (intensity > NONE) & (pattern > 0)
    is_complete = is_stained & (pattern == COMPLETE)
    result = np.where(is_stained, 1, 0)
    result = np.where(is_complete | (is_stained & (intensity >= MODERATE)), 2, result)
    return np.where(is_complete & (intensity == INTENSE), 3, result).astype(np.uint8)


def plan_cells(settings: FieldSettings, layout: Layout) -> CellPlan:
    """Fix the ground truth of every cell such that the counted cells have the requested class shares.

    Parameters
    ----------
    settings
        Settings of the field.
    layout
        Regions and cell outlines.

    Returns
    -------
    CellPlan
        All cells of the layout; those with the nucleus centre in the image are counted.
    """
    rng = stream(settings.seed, "cells")
    outlines, nuclei = _nuclei(settings, layout)
    n = len(outlines)
    centre = np.array([centroid(ring) for ring in nuclei]).reshape(n, 2)
    is_counted = np.all((centre >= 0) & (centre < np.array(settings.extent_um)), axis=1)
    cell_class = _classes(settings, rng, centre, is_counted)
    intensity, pattern = _intensity_and_pattern(settings, rng, cell_class)
    od, width = _od_and_width(settings, rng, intensity)
    completeness = np.zeros(n)
    membranes: list[Membrane | None] = [None] * n
    for i in np.flatnonzero(pattern > 0):
        share = _share(settings, rng, pattern[i])
        # The layout's axis has no direction: the apex is at either end.
        axis = layout.axis[i] + (0 if rng.random() < 0.5 else np.pi)
        angles = stained_angles(rng, int(pattern[i]), share, axis)
        # The share as drawn, not as requested: it is rounded to whole degrees.
        completeness[i] = angles.mean()
        membranes[i] = _membrane(settings, rng, outlines[i], angles, od[i], width[i])
    cytoplasm = od * settings.cytoplasm_fraction * rng.uniform(0.4, 1.0, n)
    cytoplasm += rng.uniform(*settings.diffuse_dab_od, n)
    haematoxylin, dab = rng.uniform(*settings.haematoxylin_od, n), rng.uniform(*settings.nuclear_dab_od, n)
    return CellPlan(
        outlines, nuclei, centre, is_counted, cell_class, intensity, pattern, completeness,
        od, width, cytoplasm, haematoxylin, dab, membranes,
    )  # fmt: skip


def _nuclei(settings: FieldSettings, layout: Layout) -> tuple[list[Ring], list[Ring]]:
    """Return outlines and nuclei of all cells; some cells are enlarged to overlap their neighbours."""
    rng = stream(settings.seed, "nuclei")
    cells = (
        shapely.polygons([shapely.linearrings(ring) for ring in layout.outlines]) if layout.outlines else []
    )
    # A nucleus keeps 0.6 µm of cytoplasm around it, so that membrane and nucleus do not merge.
    room = shapely.buffer(cells, -0.6)
    outlines, nuclei = [], []
    for ring, cell, free in zip(layout.outlines, cells, room, strict=True):
        # Principal axes of the outline: nuclei are elongated along their cell, but less so.
        spread = np.linalg.eigh(np.cov((ring - ring.mean(0)).T))
        axis = np.arctan2(*spread[1][::-1, 1])
        stretched = (spread[0][1] / spread[0][0]) ** settings.nucleus_elongation
        aspect = min(rng.uniform(*settings.nucleus_aspect) * stretched, 3.0)
        area = cell.area * rng.uniform(*settings.nucleus_area_share)
        middle = centroid(ring) + rng.normal(0, 0.06, 2) * np.sqrt(cell.area)
        nucleus = wobbly_ellipse(rng, middle, area, aspect, axis + rng.normal(0, 0.2), 0.08)
        for _ in range(25):
            if free.contains(shapely.Polygon(nucleus)):
                break
            # Shrink by 5 % and move towards the cell's centre until it fits.
            nucleus = 0.95 * nucleus + 0.05 * (0.6 * middle + 0.4 * centroid(ring))
        grow = rng.uniform(1.1, 1.28) if rng.random() < settings.overlap else 1.0
        outlines.append(ring.mean(0) + grow * (ring - ring.mean(0)))
        nuclei.append(ring.mean(0) + grow * (nucleus - ring.mean(0)))
    return outlines, nuclei


def _classes(
    settings: FieldSettings, rng: np.random.Generator, centre: Ring, is_counted: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Assign classes in patches, as in tissue; the counted cells have the shares to the nearest whole cell."""
    patches = sample(smooth_field(rng, settings.extent_um, 22.0, LAYOUT_UM), centre, LAYOUT_UM)
    mix = settings.class_patchiness
    rank = np.sqrt(mix) * patches + np.sqrt(1 - mix) * rng.standard_normal(len(centre))
    counted = np.flatnonzero(is_counted)
    edges = np.rint(np.cumsum(settings.shares)[:3] * len(counted)).astype(int)
    ranked = np.sort(rank[counted])
    # An edge beyond the last counted cell means that the classes above are empty.
    cuts = [ranked[e] if e < len(ranked) else np.inf for e in edges]
    return np.asarray(np.searchsorted(np.array(cuts), rank, side="right"), np.uint8)


def _intensity_and_pattern(
    settings: FieldSettings, rng: np.random.Generator, cell_class: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw intensity and pattern codes whose guideline class is `cell_class`, each uint8 (N,)."""
    intensity, pattern = cell_class.copy(), np.where(cell_class > 0, COMPLETE, 0).astype(np.uint8)
    pattern[cell_class == 1] = INCOMPLETE
    kind = rng.random(len(cell_class))
    is_uncommon = (cell_class == 2) & (kind < settings.uncommon)
    intensity[(cell_class == 2) & (kind > 1 - settings.faint_complete) & ~is_uncommon] = FAINT
    intensity[is_uncommon & (rng.random(len(kind)) < 0.3)] = INTENSE
    pattern[is_uncommon] = INCOMPLETE
    pattern[(pattern == INCOMPLETE) & (rng.random(len(kind)) < settings.lateral)] = LATERAL
    return intensity, pattern


def _od_and_width(
    settings: FieldSettings, rng: np.random.Generator, intensity: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw peak OD and width (µm) of each cell's own membrane, float64 (N,); 0 for unstained cells."""
    od, width = np.zeros(len(intensity)), np.zeros(len(intensity))
    ods = (settings.faint_od, settings.moderate_od, settings.intense_od)
    widths = (settings.width_1_um, settings.width_2_um, settings.width_3_um)
    for code, (span, (mean, sd)) in enumerate(zip(ods, widths, strict=True), start=FAINT):
        these = np.flatnonzero(intensity == code)
        od[these] = rng.uniform(*span, len(these))
        # Clipped at 2 SD: a width near zero would vanish in the rendering.
        width[these] = mean + sd * np.clip(rng.standard_normal(len(these)), -2, 2)
    return od, width


def _share(settings: FieldSettings, rng: np.random.Generator, pattern: int) -> float:
    """Draw the completeness of one cell, 0..1."""
    if pattern == COMPLETE:
        return rng.uniform(*settings.complete_share)
    low, high = settings.incomplete_share
    # A lateral pattern covers both flanks: below about a third of the border no pathologist would call it lateral.
    return rng.uniform(max(low, min(0.35, high)), high) if pattern == LATERAL else rng.uniform(low, high)


def stained_angles(rng: np.random.Generator, pattern: int, share: float, axis: float) -> NDArray[np.bool_]:
    """Draw which of 360 directions from a cell's centre meet stained membrane.

    Parameters
    ----------
    rng
        Random stream.
    pattern
        Index into `records.PATTERNS`.
    share
        Requested completeness, 0..1.
    axis
        Direction of the cell's apex, radians; lateral staining lies across it, basolateral staining opposite to it.

    Returns
    -------
    NDArray[np.bool_]
        bool (360,), entry d for the direction of d degrees; its mean is the completeness, within 2 / 360 of `share`.
    """
    total = round(360 * share)
    if pattern == LATERAL and rng.random() < 0.5:
        runs, gaps = [total // 2, total - total // 2], [(360 - total) // 2, 360 - total - (360 - total) // 2]
        start = np.degrees(axis) + 90 - runs[0] / 2
    elif pattern == LATERAL:
        runs, gaps, start = [total], [360 - total], np.degrees(axis) + 180 - total / 2
    else:
        pieces = int(rng.integers(1, 4 if pattern == COMPLETE else 5))
        runs, gaps, start = _split(rng, total, pieces), _split(rng, 360 - total, pieces), rng.uniform(0, 360)
    ring = np.concatenate([np.repeat([True, False], pair) for pair in zip(runs, gaps, strict=True)])
    return np.roll(ring, round(start) % 360)


def _split(rng: np.random.Generator, total: int, pieces: int) -> list[int]:
    """Split a whole number into `pieces` parts of uneven size."""
    # Dirichlet parameters of 4 make very small parts rare.
    shares = rng.dirichlet(np.full(pieces, 4.0))
    edges = np.rint(np.concatenate([[0], np.cumsum(shares)]) * total).astype(int)
    return [int(part) for part in np.diff(edges)]


def _membrane(
    settings: FieldSettings,
    rng: np.random.Generator,
    outline: Ring,
    angles: NDArray[np.bool_],
    od: float,
    width: float,
) -> Membrane:
    """Place the ridge just inside the outline, uneven along its length, with soft ends.

    Parameters
    ----------
    settings
        Settings of the field.
    rng
        Random stream.
    outline
        float64 (K, 2), open ring of the cell, µm.
    angles
        bool (360,), stained directions from `stained_angles`.
    od, width
        Median peak OD and mean width (µm) of the membrane.

    Returns
    -------
    Membrane
        The ridge, sampled every 0.4 µm.
    """
    path = resampled(inset(resampled(outline, 0.4), min(0.25 * width, 0.35)), 0.4)
    offset = path - centroid(outline)
    degrees = np.degrees(np.arctan2(offset[:, 1], offset[:, 0])).astype(int) % 360
    stained = ndimage.gaussian_filter1d(angles[degrees].astype(float), 1.0, mode="wrap")
    # Where a membrane runs obliquely through the section, its line is broader and paler.
    slant = np.maximum(_along(rng, len(path), 6.0) - 1.0, 0)
    path = inset(path, 0.12 * _along(rng, len(path), 2.5))
    # Beads about as long as the line is wide; a thick line averages over its grains and is more even along its length.
    beads = _along(rng, len(path), max(1.5, 2.5 * width)) / max(1.0, width)
    beads = beads + 0.7 * _along(rng, len(path), 8.0)
    grain = np.exp(settings.granularity * beads - 0.35 * slant)
    # Normalised to a median of 1 over the stained part, which makes `od` the ground truth of the median peak OD.
    if angles.any():
        grain /= np.median(grain[angles[degrees]]) if angles[degrees].any() else 1.0
    widths = width * np.exp(0.12 * _along(rng, len(path), 8.0)) * (1 + 0.6 * slant)
    return Membrane(path, od * stained * grain, widths)


def _along(rng: np.random.Generator, n: int, sigma: float) -> NDArray[np.float64]:
    """Draw noise of mean 0 and SD about 1 along a closed ring, correlated over `sigma` samples."""
    # Smoothing white noise with a Gaussian divides its variance by 2 sigma sqrt(pi).
    raw = ndimage.gaussian_filter1d(rng.standard_normal(n), sigma, mode="wrap")
    return np.asarray(raw * np.sqrt(2 * sigma * np.sqrt(np.pi)))
