"""Artefacts of the section: grey refractile flakes and folds, parts of which unmix as faint DAB."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qupath_her2.synthetic.architecture import TissueLayout
from qupath_her2.synthetic.layout import FAT, GLASS, LAYOUT_UM, LUMEN, NECROSIS, STROMA, VESSEL
from qupath_her2.synthetic.noise import MARGIN_UM, sample, stream
from qupath_her2.synthetic.painting import Canvas, blurred, fill, stroke
from qupath_her2.synthetic.tissue import TissueSettings

__all__ = ["paint_debris", "paint_wrinkles"]


def _paths(
    rng: np.random.Generator, starts: NDArray[np.float64], steps: int, step_um: float, bend: float
) -> NDArray[np.float64]:
    """Return smooth random walks, float64 (N, steps, 2), µm; `bend` is the SD of the change of curvature, radians."""
    n = len(starts)
    # The curvature itself wanders, which makes arcs; independent angles would make a jagged line.
    turn = np.cumsum(rng.normal(0, bend, (n, steps)), axis=1) + rng.normal(0, 3 * bend, (n, 1))
    angle = rng.uniform(0, 2 * np.pi, (n, 1)) + np.cumsum(turn, axis=1)
    moves = step_um * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.asarray(starts[:, None] + np.cumsum(moves, axis=1))


def paint_debris(canvas: Canvas, layout: TissueLayout, tissue: TissueSettings) -> None:
    """Paint curled flakes: a dark line with a bright one beside it, grey with a tinge of brown.

    Parameters
    ----------
    canvas
        Changed in place.
    layout
        Regions; flakes lie in lumens, clefts, fat, vessels and stroma, not on epithelium.
    tissue
        Amount and tinge.
    """
    if tissue.debris <= 0:
        return
    rng = stream(canvas.settings.seed, "debris")
    extent = np.array(canvas.settings.extent_um) + 2 * MARGIN_UM
    starts = rng.uniform(0, 1, (int(tissue.debris * extent.prod() / 60), 2)) * extent - MARGIN_UM
    area = sample(layout.region.astype(np.float32), starts, LAYOUT_UM).astype(int)
    chance = np.select(
        [np.isin(area, (STROMA,)), np.isin(area, (LUMEN, VESSEL, NECROSIS)), np.isin(area, (GLASS, FAT))],
        [0.5, 0.25, 0.06],
        0.0,
    )
    starts = starts[rng.random(len(starts)) < chance]
    paths = _paths(rng, starts, 16, 0.6, 0.08)
    dark, bright = np.zeros_like(canvas.dab), np.zeros_like(canvas.dab)
    for path in paths:
        flake = path[: int(rng.integers(5, 16))]
        strength, width = rng.uniform(0.05, 0.26), rng.uniform(0.3, 0.8)
        stroke(canvas, dark, flake, strength, width, closed=False)
        stroke(canvas, bright, flake + 0.7 * rng.uniform(-1, 1, 2), 0.5 * strength, width, closed=False)
    dark, bright = blurred(canvas, dark, 0.2), blurred(canvas, bright, 0.25)
    canvas.grey[:] += (1 - tissue.debris_yellow) * dark - bright
    canvas.dab[:] += tissue.debris_yellow * dark


def paint_wrinkles(canvas: Canvas, tissue: TissueSettings) -> None:
    """Fold the section along a few long lines: stain counts there twice, and both edges are dark.

    Parameters
    ----------
    canvas
        Changed in place, after all stain has been painted.
    tissue
        Amount of folds, up to 6.
    """
    n = round(6 * tissue.wrinkles)
    if n == 0:
        return
    rng = stream(canvas.settings.seed, "wrinkles")
    extent = np.array(canvas.settings.extent_um)
    steps = 60
    paths = _paths(rng, rng.uniform(0.1, 0.9, (n, 2)) * extent, steps, 1.5, 0.006)
    # A fold tapers to both ends and is uneven between them.
    taper = np.sin(np.linspace(0, np.pi, steps))
    fold, edge = np.zeros_like(canvas.dab), np.zeros_like(canvas.dab)
    for path in paths:
        path = path + ndimage.gaussian_filter1d(rng.normal(0, 2.5, (steps, 2)), 2.0, axis=0)
        uneven = np.clip(1 + ndimage.gaussian_filter1d(rng.normal(0, 1.5, steps), 3.0), 0.2, 2)
        width = rng.uniform(2.5, 7.0) * taper * uneven
        along = np.gradient(path, axis=0)
        side = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
        flanks = np.concatenate([path + width[:, None] / 2 * side, (path - width[:, None] / 2 * side)[::-1]])
        fill(canvas, fold, flanks, 1.0)
        for first in range(0, 2 * steps, 6):
            part = flanks[first : first + 7]
            stroke(canvas, edge, part, rng.uniform(0.0, 0.25), rng.uniform(0.3, 1.0), closed=False)
    twice, lines = blurred(canvas, fold, 0.6), blurred(canvas, edge, 0.3)
    for layer in (canvas.haematoxylin, canvas.dab, canvas.grey):
        layer += 0.9 * twice * np.maximum(layer, 0)
    canvas.grey[:] += (1 - tissue.debris_yellow) * lines
    canvas.dab[:] += tissue.debris_yellow * lines
