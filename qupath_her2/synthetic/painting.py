"""Lay stain onto a fine grid: membranes as exact ridges, cytoplasm and nuclei as filled outlines."""

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
#: The canvas reaches this far beyond the picture: further than any blur of the optics.
PAD_UM = 6.0
#: Sub-pixel bits of OpenCV's polygon filling.
SHIFT = 6


@dataclass(frozen=True, slots=True)
class Canvas:
    """Amounts of stain (OD along a unit vector) on a grid of `grid_um` that covers picture and margin.

    `haematoxylin`, `dab`, `eosin`, `grey` : float32 (H, W); grey is absorbed or scattered alike in all
    channels and may be slightly negative where an edge refracts light into the lens.
    """

    settings: FieldSettings
    grid_um: float
    oversampling: int
    haematoxylin: Floats
    dab: Floats
    eosin: Floats
    grey: Floats


def canvas_for(settings: FieldSettings) -> Canvas:
    """Make an empty canvas, at least twice as fine as the picture and never coarser than 0.25 µm."""
    oversampling = max(2, int(np.ceil(settings.pixel_size_um / 0.25)))
    grid_um = settings.pixel_size_um / oversampling
    width, height = (round((e + 2 * PAD_UM) / grid_um) for e in settings.extent_um)
    layers = [np.zeros((height, width), np.float32) for _ in range(4)]
    return Canvas(settings, grid_um, oversampling, *layers)


def texture(canvas: Canvas, name: str, scale_um: float) -> Floats:
    """Draw a named random field of mean 0 and SD 1 on the canvas's grid."""
    rng = stream(canvas.settings.seed, name)
    return smooth_field(rng, canvas.settings.extent_um, scale_um, canvas.grid_um, PAD_UM)


def _fixed(canvas: Canvas, ring: Ring) -> NDArray[np.int32]:
    """Canvas coordinates of a ring in OpenCV's fixed-point form; pixel centres lie at whole numbers."""
    return np.asarray(np.rint(((ring + PAD_UM) / canvas.grid_um - 0.5) * 2**SHIFT), np.int32)


def fill(canvas: Canvas, layer: Floats, ring: Ring, value: float) -> None:
    """Set a layer to `value` inside a ring given in µm."""
    cv2.fillPoly(layer, [_fixed(canvas, ring)], float(value), lineType=cv2.LINE_8, shift=SHIFT)


def stroke(
    canvas: Canvas, layer: Floats, ring: Ring, value: float, width_um: float, closed: bool = True
) -> None:
    """Set a layer to `value` along a ring or path given in µm."""
    thickness = max(1, round(width_um / canvas.grid_um))
    cv2.polylines(layer, [_fixed(canvas, ring)], closed, float(value), thickness, cv2.LINE_8, SHIFT)


def blurred(canvas: Canvas, layer: Floats, sigma_um: float) -> Floats:
    """Gaussian blur of a layer by a sigma in µm."""
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma_um / canvas.grid_um), np.float32)


def paint_membranes(canvas: Canvas, membranes: list[Membrane | None]) -> None:
    """Add every membrane; where two cells touch, `FieldSettings.contact` says how their deposits add."""
    drawn = [m for m in membranes if m is not None and m.od.max() > 1e-4]
    if not drawn:
        return
    path = (np.concatenate([m.path_um for m in drawn]) + PAD_UM) / canvas.grid_um - 0.5
    od = np.concatenate([m.od for m in drawn])
    width = np.concatenate([m.width_um for m in drawn]) / canvas.grid_um
    offsets = np.concatenate([[0], np.cumsum([len(m.od) for m in drawn])])
    power = 2 if canvas.settings.contact == "quadrature" else 1
    laid = np.zeros_like(canvas.dab)
    _ridges(path, od, width, 1.6 / canvas.grid_um, offsets, power, laid)
    amount = np.sqrt(laid) if power == 2 else laid
    rough = canvas.settings.granularity
    # Grains finer than the ridge is wide: without them thick membranes look airbrushed.
    grain = 1 + rough * (0.7 * texture(canvas, "dab grain", 0.3) + 0.4 * texture(canvas, "dab clumps", 0.7))
    canvas.dab[:] += amount * np.maximum(grain, 0.05)


@njit(cache=True)
def _ridges(path, od, width, thick_px, offsets, power, laid):  # type: ignore[no-untyped-def]
    """Add each ring's ridge, to the given power; within one ring the highest stretch counts once."""
    bottom_row, right_column = laid.shape
    for cell in range(len(offsets) - 1):
        first, last = offsets[cell], offsets[cell + 1]
        reach = 1.4 * width[first:last].max()
        left = max(0, int(path[first:last, 0].min() - reach))
        top = max(0, int(path[first:last, 1].min() - reach))
        right = min(right_column, int(path[first:last, 0].max() + reach) + 2)
        bottom = min(bottom_row, int(path[first:last, 1].max() + reach) + 2)
        if right <= left or bottom <= top:
            continue
        own = np.zeros((bottom - top, right - left), np.float32)
        thick = min(1.0, max(0.0, 2.0 * width[first:last].mean() / thick_px - 1.0))
        for a in range(first, last):
            b = a + 1 if a + 1 < last else first
            if od[a] + od[b] < 2e-4:
                continue
            _stretch(path[a], path[b], od[a], od[b], 0.5 * (width[a] + width[b]), thick, left, top, own)
        for r in range(bottom - top):
            for c in range(right - left):
                v = own[r, c]
                laid[top + r, left + c] += v * v if power == 2 else v


@njit(cache=True)
def _stretch(p, q, od_p, od_q, width, thick, left, top, own):  # type: ignore[no-untyped-def]
    """Raise `own` to the ridge of one straight stretch, flatter on top the thicker it is."""
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
            t = ((x - p[0]) * dx + (y - p[1]) * dy) / length2
            t = min(1.0, max(0.0, t))
            ex, ey = x - p[0] - t * dx, y - p[1] - t * dy
            # u is 1 at half maximum: exp(-ln 2 u) is a Gaussian, exp(-ln 2 u^2) a plateau with edges.
            u = 4.0 * (ex * ex + ey * ey) / (width * width)
            value = (od_p + t * (od_q - od_p)) * np.exp(-0.693147 * (thick * u * u + (1 - thick) * u))
            if value > own[y - top, x - left]:
                own[y - top, x - left] = value


def paint_cytoplasm(canvas: Canvas, plan: CellPlan) -> None:
    """Fill each cell with its cytoplasmic DAB, granular, thinner over the nucleus."""
    layer = np.zeros_like(canvas.dab)
    order = stream(canvas.settings.seed, "cytoplasm").permutation(len(plan.outlines))
    for i in order:
        fill(canvas, layer, plan.outlines[i], plan.cytoplasm_od[i])
    for ring, od, nuclear in zip(plan.nuclei, plan.cytoplasm_od, plan.nuclear_dab_od, strict=True):
        # Cytoplasm above and below the nucleus within the section still absorbs.
        fill(canvas, layer, ring, 0.4 * od + nuclear)
    _paint_tangential(canvas, plan, layer)
    grain = (
        1 + 0.22 * texture(canvas, "cytoplasm grain", 0.45) + 0.2 * texture(canvas, "cytoplasm drift", 2.5)
    )
    canvas.dab[:] += np.maximum(blurred(canvas, layer, 0.25) * grain, 0)


def _paint_tangential(canvas: Canvas, plan: CellPlan, layer: Floats) -> None:
    """Spread some stained membranes into a sheet, as where the section grazes a cell's top or flank."""
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
    """Add nuclei: textured, pale vesicular with a dark rim and nucleolus, or dense, each at its mean OD.

    Parameters
    ----------
    canvas
        Where to. nuclei : open rings in µm. ods : mean haematoxylin OD of each.
    name
        Names the random stream. dense : share of dense, structureless nuclei.
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
    """Draw a small uneven disc, 12 vertices."""
    angle = np.arange(12) * np.pi / 6
    radius = radius_um * (1 + 0.15 * rng.standard_normal(12))
    return centre + np.stack([np.cos(angle) * radius, np.sin(angle) * radius], 1)
