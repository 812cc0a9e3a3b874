"""Painting of stain onto a fine grid: membranes as analytic ridges, cytoplasm and nuclei as filled outlines."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from qupath_her2.synthetic.cells import CellPlan, Membrane
from qupath_her2.synthetic.noise import smooth_field, stream
from qupath_her2.synthetic.settings import FieldSettings

__all__ = [
    "PAD_UM",
    "Canvas",
    "canvas_for",
    "fill",
    "paint_cytoplasm",
    "paint_membranes",
    "paint_nuclei",
    "texture",
]

Floats = NDArray[np.float32]
Ring = NDArray[np.float64]
#: The canvas extends this far beyond the image, µm: farther than any blur of the optics reaches.
PAD_UM = 6.0
#: Fractional bits of OpenCV's fixed-point vertices.
SHIFT = 6


@dataclass(frozen=True, slots=True)
class Canvas:
    """Amounts of stain on a fine grid that covers the image and a margin of `PAD_UM`.

    Attributes
    ----------
    settings
        Settings of the field.
    grid_um
        Grid spacing, µm.
    oversampling
        Grid samples per image pixel along each axis.
    haematoxylin, dab, eosin
        float32 (H, W), OD along the unit vector of the stain.
    grey
        float32 (H, W), OD absorbed or scattered about equally in all channels; slightly negative where an edge
        refracts light into the lens.
    """

    settings: FieldSettings
    grid_um: float
    oversampling: int
    haematoxylin: Floats
    dab: Floats
    eosin: Floats
    grey: Floats


def canvas_for(settings: FieldSettings) -> Canvas:
    """Return an empty canvas, at least twice as fine as the image and never coarser than 0.25 µm."""
    oversampling = max(2, int(np.ceil(settings.pixel_size_um / 0.25)))
    grid_um = settings.pixel_size_um / oversampling
    width, height = (round((e + 2 * PAD_UM) / grid_um) for e in settings.extent_um)
    layers = [np.zeros((height, width), np.float32) for _ in range(4)]
    return Canvas(settings, grid_um, oversampling, *layers)


def texture(canvas: Canvas, name: str, scale_um: float) -> Floats:
    """Draw a random field of mean 0 and SD 1 on the canvas grid.

    Parameters
    ----------
    canvas
        Gives the seed and the grid.
    name
        Name of the random stream: the same name gives the same field.
    scale_um
        Correlation length, µm.

    Returns
    -------
    Floats
        float32 (H, W).
    """
    rng = stream(canvas.settings.seed, name)
    return smooth_field(rng, canvas.settings.extent_um, scale_um, canvas.grid_um, PAD_UM)


def _fixed(canvas: Canvas, ring: Ring) -> NDArray[np.int32]:
    """Return a ring (µm) in OpenCV's fixed-point canvas coordinates; pixel centres lie at whole numbers."""
    return np.asarray(np.rint(((ring + PAD_UM) / canvas.grid_um - 0.5) * 2**SHIFT), np.int32)


def fill(canvas: Canvas, layer: Floats, ring: Ring, value: float) -> None:
    """Set a layer to `value` inside a ring.

    Parameters
    ----------
    canvas
        Gives the grid.
    layer
        float32 (H, W), changed in place.
    ring
        float64 (K, 2), µm.
    value
        OD.
    """
    cv2.fillPoly(layer, [_fixed(canvas, ring)], float(value), lineType=cv2.LINE_8, shift=SHIFT)


def stroke(
    canvas: Canvas, layer: Floats, ring: Ring, value: float, width_um: float, closed: bool = True
) -> None:
    """Set a layer to `value` along a ring or path.

    Parameters
    ----------
    canvas
        Gives the grid.
    layer
        float32 (H, W), changed in place.
    ring
        float64 (K, 2), µm.
    value
        OD.
    width_um
        Width of the line, µm; at least one grid sample is painted.
    closed
        Join the last vertex to the first.
    """
    thickness = max(1, round(width_um / canvas.grid_um))
    cv2.polylines(layer, [_fixed(canvas, ring)], closed, float(value), thickness, cv2.LINE_8, SHIFT)


def blurred(canvas: Canvas, layer: Floats, sigma_um: float) -> Floats:
    """Return a layer after a Gaussian blur.

    Parameters
    ----------
    canvas
        Gives the grid.
    layer
        float32 (H, W), not changed.
    sigma_um
        Sigma, µm, > 0.

    Returns
    -------
    Floats
        float32 (H, W).
    """
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma_um / canvas.grid_um), np.float32)


def paint_membranes(canvas: Canvas, membranes: list[Membrane | None]) -> None:
    """Paint all membranes; `FieldSettings.contact` says how the deposits of touching cells add up."""
    drawn = [m for m in membranes if m is not None and m.od.max() > 1e-4]
    if not drawn:
        return
    path = (np.concatenate([m.path_um for m in drawn]) + PAD_UM) / canvas.grid_um - 0.5
    od = np.concatenate([m.od for m in drawn])
    width = np.concatenate([m.width_um for m in drawn]) / canvas.grid_um
    offsets = np.concatenate([[0], np.cumsum([len(m.od) for m in drawn])])
    power = 2 if canvas.settings.contact == "quadrature" else 1
    deposit = np.zeros_like(canvas.dab)
    _ridges(path, od, width, 1.6 / canvas.grid_um, offsets, power, deposit)
    # Squares were summed: two equal membranes give the square root of 2 times one.
    amount = np.sqrt(deposit) if power == 2 else deposit
    rough = canvas.settings.granularity
    # Grains finer than the ridge: without them thick membranes look airbrushed.
    grain = 1 + rough * (0.7 * texture(canvas, "dab grain", 0.3) + 0.4 * texture(canvas, "dab clumps", 0.7))
    canvas.dab[:] += amount * np.maximum(grain, 0.05)


@njit(cache=True)
def _ridges(path, od, width, thick_px, offsets, power, deposit):  # type: ignore[no-untyped-def]
    """Add the ridge of each ring, raised to `power`, to `deposit`; within a ring the maximum over segments counts."""
    bottom_row, right_column = deposit.shape
    for cell in range(len(offsets) - 1):
        first, last = offsets[cell], offsets[cell + 1]
        # At 1.4 FWHM from its crest a Gaussian has fallen below 0.5 % of its peak.
        reach = 1.4 * width[first:last].max()
        left = max(0, int(path[first:last, 0].min() - reach))
        top = max(0, int(path[first:last, 1].min() - reach))
        right = min(right_column, int(path[first:last, 0].max() + reach) + 2)
        bottom = min(bottom_row, int(path[first:last, 1].max() + reach) + 2)
        if right <= left or bottom <= top:
            continue
        # Segments overlap at their ends: a buffer per ring takes the maximum there before rings are summed.
        own = np.zeros((bottom - top, right - left), np.float32)
        thick = min(1.0, max(0.0, 2.0 * width[first:last].mean() / thick_px - 1.0))
        for a in range(first, last):
            b = a + 1 if a + 1 < last else first
            if od[a] + od[b] < 2e-4:
                continue
            _segment(path[a], path[b], od[a], od[b], 0.5 * (width[a] + width[b]), thick, left, top, own)
        for r in range(bottom - top):
            for c in range(right - left):
                v = own[r, c]
                deposit[top + r, left + c] += v * v if power == 2 else v


@njit(cache=True)
def _segment(p, q, od_p, od_q, width, thick, left, top, own):  # type: ignore[no-untyped-def]
    """Raise `own` to the ridge of one straight segment; thick ridges have a flatter top."""
    reach = 1.4 * width
    dx, dy = q[0] - p[0], q[1] - p[1]
    length2 = max(dx * dx + dy * dy, 1e-9)
    x0, x1 = (
        max(left, int(min(p[0], q[0]) - reach)),
        min(left + own.shape[1] - 1, int(max(p[0], q[0]) + reach) + 1),
    )
    y0, y1 = (
        max(top, int(min(p[1], q[1]) - reach)),
        min(top + own.shape[0] - 1, int(max(p[1], q[1]) + reach) + 1),
    )
    for y in range(y0, y1 + 1):
        for x in range(x0, x1 + 1):
            # Foot of the perpendicular on the segment: t from 0 at p to 1 at q.
            t = ((x - p[0]) * dx + (y - p[1]) * dy) / length2
            t = min(1.0, max(0.0, t))
            ex, ey = x - p[0] - t * dx, y - p[1] - t * dy
            # u is the squared distance in units of the half width, 1 at half maximum: exp(-ln 2 u) is a Gaussian,
            # exp(-ln 2 u^2) a plateau with steep edges.
            u = 4.0 * (ex * ex + ey * ey) / (width * width)
            value = (od_p + t * (od_q - od_p)) * np.exp(-0.693147 * (thick * u * u + (1 - thick) * u))
            if value > own[y - top, x - left]:
                own[y - top, x - left] = value


def paint_cytoplasm(canvas: Canvas, plan: CellPlan) -> None:
    """Fill each cell with its granular cytoplasmic DAB, less over the nucleus."""
    layer = np.zeros_like(canvas.dab)
    # In random order, for overlapping cells overwrite each other.
    order = stream(canvas.settings.seed, "cytoplasm").permutation(len(plan.outlines))
    for i in order:
        fill(canvas, layer, plan.outlines[i], plan.cytoplasm_od[i])
    for ring, od, nuclear in zip(plan.nuclei, plan.cytoplasm_od, plan.nuclear_dab_od, strict=True):
        # A section is thicker than a nucleus: cytoplasm above and below it still absorbs.
        fill(canvas, layer, ring, 0.4 * od + nuclear)
    _paint_tangential(canvas, plan, layer)
    grain = (
        1 + 0.22 * texture(canvas, "cytoplasm grain", 0.45) + 0.2 * texture(canvas, "cytoplasm drift", 2.5)
    )
    canvas.dab[:] += np.maximum(blurred(canvas, layer, 0.25) * grain, 0)


def _paint_tangential(canvas: Canvas, plan: CellPlan, layer: Floats) -> None:
    """Spread part of some stained membranes into a sheet, as where the section grazes a cell tangentially."""
    rng = stream(canvas.settings.seed, "tangential")
    sheet = np.zeros_like(layer)
    for ring, od, share in zip(plan.outlines, plan.membrane_od, plan.completeness, strict=True):
        if share == 0 or rng.random() >= canvas.settings.tangential:
            continue
        length = int(len(ring) * rng.uniform(0.2, 0.45))
        arc = np.roll(ring, int(rng.integers(len(ring))), axis=0)[:length]
        inner = ring.mean(0) + rng.uniform(0.3, 0.7) * (arc - ring.mean(0))
        fill(canvas, sheet, np.concatenate([arc, inner[::-1]]), od * rng.uniform(0.25, 0.6))
    layer += blurred(canvas, sheet, 0.6)


def paint_nuclei(
    canvas: Canvas, nuclei: list[Ring], ods: NDArray[np.float64], name: str, dense: float = 0.0
) -> None:
    """Paint textured nuclei, from vesicular ones with a dark rim and nucleoli to dense ones, each at its own OD.

    Parameters
    ----------
    canvas
        Changed in place.
    nuclei
        N open rings, float64 (K, 2), µm.
    ods
        float64 (N,), haematoxylin OD of each.
    name
        Name of the random stream.
    dense
        Share of dense, structureless nuclei, 0..1.
    """
    rng = stream(canvas.settings.seed, f"chromatin {name}")
    base, rim, rough = (np.zeros_like(canvas.dab) for _ in range(3))
    for ring, od in zip(nuclei, ods, strict=True):
        is_dense = rng.random() < dense
        vesicular = 0.0 if is_dense else rng.beta(1.2, 1.2)
        fill(canvas, base, ring, od * (1 - 0.35 * vesicular))
        fill(canvas, rough, ring, 0.2 if is_dense else rng.uniform(0.35, 0.8))
        stroke(canvas, rim, ring, od * (0.15 + 0.85 * vesicular), 0.5)
        middle, size = ring.mean(0), np.sqrt(np.ptp(ring, axis=0).prod())
        for _ in range(0 if is_dense else rng.integers(0, 3)):
            spot = middle + rng.normal(0, 0.13, 2) * size
            nucleolus = wobble(rng, spot, rng.uniform(0.35, 0.95))
            fill(canvas, base, nucleolus, od * rng.uniform(1.5, 2.3))
    grain = 0.8 * texture(canvas, f"chromatin fine {name}", 0.32) + 0.6 * texture(
        canvas, f"clumps {name}", 0.8
    )
    sharp = base * np.maximum(1 + rough * grain, 0.1) + rim
    canvas.haematoxylin[:] += blurred(canvas, sharp, 0.22)


def wobble(rng: np.random.Generator, centre: NDArray[np.float64], radius_um: float) -> Ring:
    """Draw a small irregular disc.

    Parameters
    ----------
    rng
        Random generator.
    centre
        float64 (2,), µm.
    radius_um
        Mean radius, µm; vertices scatter around it with an SD of 15 %.

    Returns
    -------
    Ring
        float64 (12, 2), open ring, µm.
    """
    angle = np.arange(12) * np.pi / 6
    radius = radius_um * (1 + 0.15 * rng.standard_normal(12))
    return centre + np.stack([np.cos(angle) * radius, np.sin(angle) * radius], 1)
