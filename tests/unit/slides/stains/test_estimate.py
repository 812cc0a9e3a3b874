"""Stain estimation from pixels mixed with known vectors, and the cases in which QuPath's defaults stand."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.slides.stains.estimate import estimate_background, estimate_stains
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors


def mix(amounts: np.ndarray, stains: StainVectors = QUPATH_H_DAB) -> np.ndarray:
    """Optical density of (N, 3) stain amounts by Beer-Lambert."""
    return (amounts @ stains.matrix()).astype(np.float32)


def angle_deg(a, b) -> float:
    return float(np.degrees(np.arccos(np.clip(np.dot(a, b), -1, 1))))


def test_background_is_the_glass_colour_not_pen_nor_tissue():
    rgb = np.full((60, 60, 3), (231, 230, 237), np.uint8)
    rgb[10:30, 10:30] = (150, 120, 100)
    rgb[40:50] = (20, 20, 160)
    mask = np.zeros((60, 60), bool)
    mask[10:30, 10:30] = True
    assert estimate_background(rgb, mask) == (231, 230, 237)


def test_background_without_glass_is_qupaths_default():
    assert estimate_background(np.full((30, 30, 3), 200, np.uint8), np.ones((30, 30), bool)) == (
        255,
        255,
        255,
    )


def stained_pixels(rng, n, dab_share, stains):
    amounts = np.zeros((n, 3))
    amounts[:, 0] = rng.uniform(0.1, 0.5, n)
    brown = rng.random(n) < dab_share
    amounts[brown, 1] = rng.uniform(0.2, 0.9, brown.sum())
    amounts[brown, 0] *= rng.uniform(0, 0.5, brown.sum())
    pure = rng.random(n) < 0.1
    amounts[brown & pure, 0] = 0
    return mix(amounts, stains) + rng.normal(0, 0.004, (n, 3)).astype(np.float32)


@pytest.mark.parametrize("dab_share", [0.12, 0.4, 0.7])
@pytest.mark.parametrize(
    "truth",
    [
        StainVectors((0.60, 0.72, 0.34), (0.33, 0.57, 0.75)),
        # As far from QuPath's as stains of other makes lie: 16° and 14°.
        StainVectors((0.53, 0.65, 0.54), (0.27, 0.42, 0.87)),
        StainVectors((0.76, 0.64, 0.05), (0.47, 0.49, 0.73)),
    ],
)
def test_estimate_recovers_the_directions_the_pixels_were_mixed_from(dab_share, truth):
    od = stained_pixels(np.random.default_rng(7), 40_000, dab_share, truth)
    found = estimate_stains(od, background_rgb=(240, 241, 242))
    assert found.source.startswith("estimate over")
    assert found.background_rgb == (240, 241, 242)
    assert angle_deg(found.hematoxylin, truth.hematoxylin) < 3
    assert angle_deg(found.dab, truth.dab) < 3


def test_estimate_without_dab_keeps_qupaths_vectors_and_says_why():
    od = stained_pixels(np.random.default_rng(7), 40_000, 0.0, QUPATH_H_DAB)
    found = estimate_stains(od)
    assert found.dab == QUPATH_H_DAB.dab
    assert "DAB in" in found.source


def test_estimate_refuses_another_stain():
    eosin = StainVectors((0.65, 0.70, 0.29), (0.216, 0.801, 0.558))
    found = estimate_stains(stained_pixels(np.random.default_rng(3), 40_000, 0.6, eosin))
    assert found.dab == QUPATH_H_DAB.dab
    assert found.source.startswith("QuPath H-DAB defaults (")


def test_stains_that_cannot_be_told_apart_are_not_used():
    near = StainVectors((0.52, 0.66, 0.54), (0.41, 0.62, 0.67))
    found = estimate_stains(stained_pixels(np.random.default_rng(3), 40_000, 0.6, near))
    assert (found.hematoxylin, found.dab) == (QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab)
    assert "apart, under 15°" in found.source


def test_estimate_needs_pixels():
    found = estimate_stains(np.full((10, 3), 0.4, np.float32))
    assert found.hematoxylin == QUPATH_H_DAB.hematoxylin
    assert "fewer than" in found.source
