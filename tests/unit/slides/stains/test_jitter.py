"""HED jitter: what it does to amounts of stain, and to white."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import hed_from_rgb

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.density_map import apply_density_map
from qupath_her2.slides.stains.jitter import (
    HED_STAINS,
    HED_WHITE,
    JitterSettings,
    draw_hed_jitter,
    hed_jitter,
)


def test_hed_vectors_equal_scikit_image():
    np.testing.assert_allclose(np.linalg.inv(HED_STAINS), hed_from_rgb, atol=1e-9)


def test_every_stain_becomes_alpha_s_plus_beta():
    rng = np.random.default_rng(4)
    stains = rng.uniform(0.05, 0.5, (500, 3))
    alpha, beta = np.array([0.8, 1.1, 1.3]), np.array([0.02, -0.03, 0.01])
    jitter = hed_jitter(alpha, beta)
    density = stains @ HED_STAINS @ jitter.matrix.T + jitter.offset
    np.testing.assert_allclose(density @ hed_from_rgb, alpha * stains + beta, atol=1e-9)


def test_without_a_shift_nothing_changes_and_white_stays_white():
    pixels = np.random.default_rng(1).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    assert np.array_equal(apply_density_map(pixels, hed_jitter(np.ones(3), np.zeros(3))), pixels)
    white = np.full((2, 2, 3), 255, np.uint8)
    assert np.array_equal(apply_density_map(white, hed_jitter(np.array([0.8, 1.2, 0.9]), np.zeros(3))), white)
    assert HED_WHITE == 256


def test_draws_stay_in_range_fill_it_and_repeat():
    alpha, beta = draw_hed_jitter(np.random.default_rng(7), 4000, JitterSettings(0.2, 0.05))
    again, _ = draw_hed_jitter(np.random.default_rng(7), 4000, JitterSettings(0.2, 0.05))
    assert np.array_equal(alpha, again)
    assert alpha.shape == beta.shape == (4000, 3)
    for values, middle, reach in ((alpha, 1.0, 0.2), (beta, 0.0, 0.05)):
        assert np.abs(values - middle).max() <= reach
        assert np.abs(values - middle).max() > 0.99 * reach
        assert values.mean() == pytest.approx(middle, abs=0.05 * reach)


@pytest.mark.parametrize("ranges", [(-0.1, 0), (1.0, 0), (0.1, -0.01), (float("nan"), 0)])
def test_impossible_ranges_are_refused(ranges):
    with pytest.raises(SettingsError, match="it must be at least 0, below 1"):
        JitterSettings(*ranges)
