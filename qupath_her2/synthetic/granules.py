"""Coarse grains of DAB beside membranes, and the stain of immune cells: rings and granules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qupath_her2.synthetic.cells import CellPlan, Membrane
from qupath_her2.synthetic.noise import stream
from qupath_her2.synthetic.outline import inset, resampled
from qupath_her2.synthetic.painting import Canvas, blurred, fill, paint_membranes, wobble
from qupath_her2.synthetic.surroundings import OtherNuclei
from qupath_her2.synthetic.tissue import TissueSettings

__all__ = ["immune_membranes", "paint_grains", "paint_immune_stain"]

Ring = NDArray[np.float64]


def paint_grains(canvas: Canvas, plan: CellPlan) -> None:
    """Sprinkle coarse grains along stained membranes, as many as `FieldSettings.granules` says."""
    amount = canvas.settings.granules
    if amount <= 0:
        return
    rng = stream(canvas.settings.seed, "granules")
    layer = np.zeros_like(canvas.dab)
    for membrane in plan.membranes:
        if membrane is None:
            continue
        # The path has a vertex every 0.4 µm: at an amount of 1 there is a grain every 1.2 µm of stained membrane.
        at = np.flatnonzero((membrane.od > 0.03) & (rng.random(len(membrane.od)) < 0.33 * amount))
        spots = membrane.path_um[at] + rng.normal(0, 0.4, (len(at), 2))
        # Log-normal: few grains are much darker than the membrane, most are not.
        ods = membrane.od[at] * rng.lognormal(0.1, 0.55, len(at))
        for spot, od in zip(spots, np.minimum(ods, 1.2), strict=True):
            fill(canvas, layer, wobble(rng, spot, rng.uniform(0.2, 0.55)), od)
    canvas.dab[:] += blurred(canvas, layer, 0.15)


def immune_membranes(rng: np.random.Generator, rings: list[Ring], ods: NDArray[np.float64]) -> list[Membrane]:
    """Return a membrane 0.6 to 1 µm outside of each nucleus, uneven along its length.

    Parameters
    ----------
    rng
        Random stream.
    rings
        N nuclei, float64 (K, 2), µm.
    ods
        float64 (N,), peak OD of each membrane.

    Returns
    -------
    list[Membrane]
        N membranes.
    """
    membranes = []
    for ring, od in zip(rings, ods, strict=True):
        path = resampled(inset(ring, -rng.uniform(0.6, 1.0)), 0.4)
        uneven = np.clip(
            1 + 0.3 * np.sin(np.arange(len(path)) * 2 * np.pi / len(path) + rng.uniform(0, 6.3)), 0, 2
        )
        membranes.append(Membrane(path, od * uneven, np.full(len(path), rng.uniform(0.8, 1.4))))
    return membranes


def paint_immune_stain(canvas: Canvas, tissue: TissueSettings, others: OtherNuclei) -> None:
    """Stain a share of the lymphocytes with rings or with coarse granules at one side of the nucleus.

    Parameters
    ----------
    canvas
        Changed in place.
    tissue
        Kind, share and OD of the stain.
    others
        Nuclei; only lymphocytes are stained.
    """
    if tissue.immune_stain == "none":
        return
    rng = stream(canvas.settings.seed, "immune stain")
    cells = [ring for ring, kind in zip(others.nuclei, others.kinds, strict=True) if kind == "lymphocyte"]
    cells = [ring for ring in cells if rng.random() < tissue.immune_share]
    ods = rng.uniform(*tissue.immune_od, len(cells))
    layer = np.zeros_like(canvas.dab)
    if tissue.immune_stain == "rings":
        for ring, od in zip(cells, ods, strict=True):
            # Stain of the membrane above and below the section's plane veils the whole small cell.
            fill(canvas, layer, inset(ring, -0.7), od * rng.uniform(0.1, 0.6))
        paint_membranes(canvas, list(immune_membranes(rng, cells, ods)))
    else:
        for ring, od in zip(cells, ods, strict=True):
            side = rng.uniform(0, 2 * np.pi)
            for _ in range(int(rng.integers(3, 14))):
                angle, away = side + rng.normal(0, 0.8), rng.uniform(2.0, 4.8)
                spot = ring.mean(0) + away * np.array([np.cos(angle), np.sin(angle)])
                fill(canvas, layer, wobble(rng, spot, rng.uniform(0.3, 0.9)), od * rng.uniform(0.5, 1.2))
    canvas.dab[:] += blurred(canvas, layer, 0.25)
