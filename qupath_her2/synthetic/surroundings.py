"""Surroundings of the tumour cells: background tissue, collagen, stromal nuclei, lymphocytes, red cells, dirt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.synthetic.layout import LAYOUT_UM, LUMEN, STROMA, TUMOUR, Layout, depth_in, keep_apart
from qupath_her2.synthetic.noise import MARGIN_UM, sample, smooth_field, stream
from qupath_her2.synthetic.outline import wobbly_ellipse
from qupath_her2.synthetic.painting import (
    PAD_UM,
    Canvas,
    blurred,
    fill,
    paint_nuclei,
    stroke,
    texture,
    wobble,
)
from qupath_her2.synthetic.settings import FieldSettings

__all__ = [
    "OtherNuclei",
    "other_nuclei",
    "paint_ground",
    "paint_others",
    "paint_red_cells_and_dirt",
    "to_canvas",
]

Ring = NDArray[np.float64]
Flow = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class OtherNuclei:
    """Nuclei of other cells.

    Attributes
    ----------
    nuclei
        N open rings, float64 (K, 2), µm.
    kinds
        ``stroma`` or ``lymphocyte``, one per nucleus; in whole tissue also ``endothelium``, ``myoepithelium``,
        ``adipocyte`` and ``necrosis`` (fragments of dead nuclei).
    od
        float64 (N,), haematoxylin OD.
    """

    nuclei: list[Ring]
    kinds: list[str]
    od: NDArray[np.float64]


def _inside(region: NDArray[np.uint8], code: int, xy: Ring, depth_um: float) -> NDArray[np.bool_]:
    """Return which points (N, 2; µm) lie at least `depth_um` inside a region, bool (N,)."""
    return np.asarray(sample(depth_in(region, code), xy, LAYOUT_UM) >= depth_um)


def other_nuclei(settings: FieldSettings, layout: Layout) -> OtherNuclei:
    """Place spindle-shaped nuclei along the stroma, lymphocytes in crowds, and a few between tumour cells."""
    rng = stream(settings.seed, "other nuclei")
    extent = np.array(settings.extent_um) + 2 * MARGIN_UM
    n = int(extent.prod() / 30)
    xy = rng.uniform(0, 1, (n, 2)) * extent - MARGIN_UM
    crowd = sample(smooth_field(rng, settings.extent_um, 18.0, LAYOUT_UM), xy, LAYOUT_UM)
    is_lymphocyte = rng.random(n) < np.clip(settings.lymphocytes * (0.35 + 0.5 * crowd), 0, 0.95)
    in_stroma = _inside(layout.region, STROMA, xy, 2.5)
    in_tumour = (layout.region.max() > 0) & _inside(layout.region, TUMOUR, xy, 2.0)
    density = np.where(in_stroma, np.where(is_lymphocyte, 0.8, 0.16), 0.0)
    density = np.where(in_tumour & is_lymphocyte, 0.012, density)
    # Thinning: candidates are kept with the local density as probability.
    taken = rng.random(n) < density
    xy, is_lymphocyte = xy[taken], is_lymphocyte[taken]
    flow = _flow(layout)(xy) + rng.normal(0, 0.25, len(xy))
    size = np.where(is_lymphocyte, rng.uniform(5.5, 7.5, len(xy)), rng.uniform(6.0, 8.5, len(xy)))
    aspect = np.where(is_lymphocyte, rng.uniform(1.0, 1.25, len(xy)), rng.uniform(2.2, 5.0, len(xy)))
    kept = keep_apart(xy, flow, aspect, size, 1.0)
    nuclei = [
        wobbly_ellipse(rng, xy[i], 0.62 * size[i] ** 2, aspect[i], flow[i], 0.05 if is_lymphocyte[i] else 0.1)
        for i in kept
    ]
    low, high = settings.haematoxylin_od
    od = np.where(is_lymphocyte[kept], rng.uniform(1.4, 2.6, len(kept)), rng.uniform(0.9, 2.2, len(kept)))
    return OtherNuclei(
        nuclei, ["lymphocyte" if is_lymphocyte[i] else "stroma" for i in kept], od * (low + high) / 2
    )


def _flow(layout: Layout) -> Flow:
    """Return a function from points (N, 2; µm) to the direction of the stromal bands there, radians."""
    # The bands run perpendicular to the gradient of their depth.
    slopes = np.gradient(cv2.GaussianBlur(depth_in(layout.region, STROMA), (0, 0), 8))
    slope_y, slope_x = (np.asarray(slope, np.float32) for slope in slopes)

    def along(xy: Ring) -> NDArray[np.float64]:
        across = sample(slope_x, xy, LAYOUT_UM), sample(slope_y, xy, LAYOUT_UM)
        return np.asarray(np.arctan2(across[0], -across[1]), np.float64)

    return along


def paint_ground(canvas: Canvas, layout: Layout) -> None:
    """Paint the pale background of unstained tissue: smooth in tumour cells, porous in stroma, none on glass."""
    settings = canvas.settings
    tumour, stroma, lumen = (
        blurred(canvas, to_canvas(canvas, layout.region == code), 0.4) for code in (TUMOUR, STROMA, LUMEN)
    )
    grain, drift = texture(canvas, "ground grain", 0.3), texture(canvas, "ground drift", 3.0)
    # Loose stroma is a web with empty meshes; its strands lie where a random field is near zero.
    web = np.exp(-((texture(canvas, "web", 0.9) / 0.45) ** 2)) + 0.7 * np.exp(
        -((texture(canvas, "mesh", 2.2) / 0.3) ** 2)
    )
    dense = np.clip(0.6 + 0.5 * texture(canvas, "stroma drift", 9.0), 0.1, 1.4)
    ground = tumour * (1 + 0.2 * drift) + stroma * (0.35 * dense + 0.9 * web * dense) + 0.08 * lumen
    ground *= settings.background_od * np.maximum(1 + 0.45 * grain, 0) * (1 - _clefts(canvas, layout))
    if settings.palette == "H&E":
        canvas.eosin[:] += 5 * ground
    canvas.haematoxylin[:] += 0.7 * ground
    canvas.grey[:] += 0.3 * ground
    _paint_collagen(canvas, layout, stroma)


def _clefts(canvas: Canvas, layout: Layout) -> NDArray[np.float32]:
    """Return retraction clefts, 0..1: slits along parts of the nests' borders where tissue shrank off the stroma."""
    settings = canvas.settings
    depth = depth_in(layout.region, STROMA)
    gate = smooth_field(stream(settings.seed, "clefts"), settings.extent_um, 8.0, LAYOUT_UM)
    open_um = np.clip(1.6 * (gate - 0.3), 0, 3.0)
    return blurred(canvas, to_canvas(canvas, (depth > 0) & (depth < open_um)), 0.3)


def _paint_collagen(canvas: Canvas, layout: Layout, stroma: NDArray[np.float32]) -> None:
    """Paint thin, wavy collagen fibrils along the stroma, some darker than the background, some refracting light."""
    settings = canvas.settings
    rng = stream(settings.seed, "collagen")
    extent = np.array(settings.extent_um) + 2 * MARGIN_UM
    n = int(settings.collagen * extent.prod() / 60)
    starts = rng.uniform(0, 1, (n, 2)) * extent - MARGIN_UM
    starts = starts[_inside(layout.region, STROMA, starts, 1.0)]
    layers = [np.zeros_like(canvas.dab) for _ in range(2)]
    steps = 24
    paths = np.empty((len(starts), steps, 2))
    paths[:, 0] = starts
    bend = rng.normal(0, 0.12, len(starts))
    along = _flow(layout)
    for k in range(1, steps):
        # An autoregressive bend makes waves; independent angles would make a jagged line.
        bend = 0.8 * bend + rng.normal(0, 0.1, len(starts))
        angle = along(paths[:, k - 1]) + bend
        paths[:, k] = paths[:, k - 1] + 1.5 * np.stack([np.cos(angle), np.sin(angle)], 1)
    for path in paths:
        end = int(rng.integers(8, steps))
        layer = layers[0 if rng.random() < 0.6 else 1]
        stroke(canvas, layer, path[:end], rng.uniform(0.02, 0.06), rng.uniform(0.3, 0.9), closed=False)
    dark, bright = (blurred(canvas, layer, 0.2) for layer in layers)
    canvas.haematoxylin[:] += 0.6 * stroma * dark
    canvas.grey[:] += stroma * (0.5 * dark - 0.45 * bright)
    if settings.palette == "H&E":
        canvas.eosin[:] += 4 * stroma * dark


def paint_others(canvas: Canvas, others: OtherNuclei) -> None:
    """Paint the nuclei of other cells; more lymphocytes than stromal nuclei are dense, fragments always."""
    for kind in ("lymphocyte", "stroma", *sorted(set(others.kinds) - {"lymphocyte", "stroma"})):
        dense = {"lymphocyte": 0.6, "necrosis": 1.0}.get(kind, 0.4)
        these = [i for i, name in enumerate(others.kinds) if name == kind]
        paint_nuclei(canvas, [others.nuclei[i] for i in these], others.od[these], kind, dense)


def paint_red_cells_and_dirt(canvas: Canvas, layout: Layout) -> None:
    """Paint clusters of refractile red cells in the stroma and a few blurred specks of dirt anywhere."""
    settings = canvas.settings
    rng = stream(settings.seed, "red cells")
    extent = np.array(settings.extent_um) + 2 * MARGIN_UM
    nests = rng.uniform(0, 1, (int(settings.red_cells * extent.prod() / 2500), 2)) * extent - MARGIN_UM
    depth = depth_in(layout.region, STROMA)
    nests = nests[sample(depth, nests, LAYOUT_UM) >= 3]
    body, edge, halo = (np.zeros_like(canvas.dab) for _ in range(3))
    for nest in nests:
        middles = nest + rng.normal(0, 6.0, (int(rng.integers(1, 10)), 2))
        for middle in middles[sample(depth, middles, LAYOUT_UM) > 0]:
            ring = wobbly_ellipse(
                rng, middle, rng.uniform(14, 30), rng.uniform(1, 2.2), rng.uniform(0, np.pi), 0.18
            )
            fill(canvas, halo, middle + 1.22 * (ring - middle), 0.06)
            fill(canvas, halo, ring, 0.0)
            fill(canvas, body, ring, rng.uniform(0.02, 0.2))
            # A red cell refracts light: one flank appears dark, the other bright.
            first, length = int(rng.integers(0, len(ring))), int(rng.integers(len(ring) // 4, len(ring)))
            flank = np.roll(ring, -first, 0)[:length]
            stroke(canvas, edge, flank, rng.uniform(0.2, 0.6), rng.uniform(0.4, 1.0), closed=False)
    canvas.grey[:] += blurred(canvas, body + edge, 0.22) - blurred(canvas, halo, 0.3)
    # Haemoglobin keeps a trace of yellow, part of which unmixes as DAB: detectors must tolerate it.
    canvas.dab[:] += 0.12 * blurred(canvas, body + edge, 0.22)
    specks = np.zeros_like(canvas.dab)
    for _ in range(int(rng.poisson(settings.out_of_focus * extent.prod() / 9000))):
        fill(canvas, specks, wobble(rng, rng.uniform(0, 1, 2) * extent - MARGIN_UM, rng.uniform(1, 4)), 0.12)
    canvas.grey[:] += blurred(canvas, specks, 1.4)


def to_canvas(canvas: Canvas, values: NDArray[np.bool_] | NDArray[np.float32]) -> NDArray[np.float32]:
    """Resample a layout mask or raster onto the canvas grid, float32 (H, W)."""
    # Pixel centres of the canvas in layout indices; both grids start at their own margin.
    height, width = canvas.dab.shape
    scale = canvas.grid_um / LAYOUT_UM
    start = (MARGIN_UM - PAD_UM) / LAYOUT_UM + scale / 2 - 0.5
    warp = np.array([[scale, 0, start], [0, scale, start]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(values.astype(np.float32), warp, (width, height), flags=flags), np.float32
    )
