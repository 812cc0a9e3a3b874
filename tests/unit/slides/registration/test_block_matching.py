"""Block matching: a known affine transform comes back from matches, false matches or not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from qupath_her2.slides.registration.block_matching import (
    Matches,
    fit_affine,
    held_out_residuals_um,
    match_blocks,
)
from qupath_her2.slides.registration.structure import Structure

TRUTH = np.array([[1.02, -0.05, 300.0], [0.04, 0.97, -120.0]])


def matches(n: int = 80, false: int = 0, noise_um: float = 0.0, matrix: np.ndarray = TRUTH) -> Matches:
    rng = np.random.default_rng(3)
    fixed = rng.uniform(0, 5000, (n, 2))
    moving = fixed @ matrix[:, :2].T + matrix[:, 2] + rng.normal(0, noise_um, (n, 2))
    moving[:false] += rng.uniform(800, 1500, (false, 2)) * rng.choice([-1, 1], (false, 2))
    return Matches(fixed, moving, n)


def test_ransac_finds_the_transform_among_false_matches():
    fit = fit_affine(matches(80, false=25), 10.0)
    assert fit is not None
    np.testing.assert_allclose(fit.matrix, TRUTH, rtol=1e-6, atol=1e-6)
    assert np.flatnonzero(~fit.is_inlier).tolist() == list(range(25))


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_rigid_fit_finds_rotation_scale_and_side(is_mirrored):
    cos, sin = 1.1 * np.cos(0.5), 1.1 * np.sin(0.5)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if is_mirrored else 1.0, 1.0])
    truth = np.column_stack([linear, [40.0, -70.0]])
    fit = fit_affine(matches(30, matrix=truth), 5.0, rigid=True)
    assert fit is not None
    np.testing.assert_allclose(fit.matrix, truth, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("n", "rigid"), [(0, False), (2, False), (0, True), (1, True)])
def test_too_few_matches_give_no_fit(n, rigid):
    assert fit_affine(matches(n), 10.0, rigid=rigid) is None


def test_held_out_residuals_measure_the_noise_and_leave_false_matches_out():
    residuals = held_out_residuals_um(matches(400, false=60, noise_um=6.0), 30.0)
    # Distance in two dimensions with 6 µm of noise on each axis: Rayleigh, median 6 * sqrt(2 ln 2).
    assert np.median(residuals) == pytest.approx(6 * np.sqrt(2 * np.log(2)), rel=0.15)
    assert 330 <= len(residuals) <= 342
    assert len(held_out_residuals_um(matches(2), 30.0)) == 0


def test_blocks_are_found_to_a_fraction_of_a_pixel():
    rng = np.random.default_rng(4)
    density = cv2.GaussianBlur(rng.random((300, 320)).astype(np.float32), (0, 0), 2)
    density = (density - density.mean()) / density.std() * 0.2 + 0.6
    tissue = np.ones(density.shape, bool)
    tissue[:, 200:] = False
    shift_px = np.array([3.4, -2.7])
    moving = cv2.warpAffine(density, np.column_stack([np.eye(2), shift_px]), density.shape[::-1])
    found = match_blocks(
        Structure(density, tissue, 2.0),
        Structure(moving, np.ones(density.shape, bool), 2.0),
        np.eye(2, 3),
        block_px=32,
        reach_px=12,
        spacing_px=32,
        min_score=0.5,
    )
    assert 0 < len(found) <= found.looked_for
    moved_px = (found.moving_um - found.fixed_um) / 2.0
    assert np.abs(moved_px - shift_px).max() < 0.3
    # Blocks need 40 % of tissue: none starts where less than that of it lies on tissue.
    assert (found.fixed_um[:, 0] / 2.0 - 16 + 0.4 * 32).max() <= 200
