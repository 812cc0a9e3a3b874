"""Density maps against their formula, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.density_map import DensityMap, apply_density_map


def by_hand(pixels: np.ndarray, m: DensityMap) -> np.ndarray:
    """float (..., 3): the formula, before rounding and limits."""
    density = -np.log10((pixels.astype(float) + 1) / m.white_in)
    return m.white_out * 10 ** -(density @ m.matrix.T + m.offset) - 1


def some_map(seed: int) -> DensityMap:
    rng = np.random.default_rng(seed)
    matrix = np.eye(3) + rng.uniform(-0.3, 0.3, (3, 3))
    return DensityMap(matrix, rng.uniform(-0.1, 0.1, 3), *rng.uniform(200, 256, 2))


@given(st.integers(0, 1000), st.sampled_from([(7, 5, 3), (2, 6, 4, 3), (40_000, 3), (0, 4, 4, 3)]))
@settings(max_examples=30, deadline=None)
def test_a_density_map_equals_its_formula_rounded_and_clipped(seed, shape):
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    m = some_map(seed)
    out = apply_density_map(pixels, m)
    assert out.shape == shape
    assert out.dtype == np.uint8
    assert (np.abs(out - np.clip(by_hand(pixels, m), 0, 255)) <= 0.5 + 5e-3).all()


def test_the_identity_map_changes_nothing():
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    assert np.array_equal(apply_density_map(greys, DensityMap(np.eye(3), np.zeros(3), 240, 240)), greys)


@given(st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=40)
def test_a_chain_is_one_map(first, second):
    a, b = some_map(first), some_map(second)
    pixels = np.random.default_rng(first).integers(20, 200, (50, 3), dtype=np.uint8)
    middle = by_hand(pixels, a)
    density = -np.log10((middle + 1) / b.white_in)
    expected = b.white_out * 10 ** -(density @ b.matrix.T + b.offset) - 1
    np.testing.assert_allclose(by_hand(pixels, a.then(b)), expected, rtol=1e-9, atol=1e-9)


def test_strided_input_is_accepted_and_not_changed():
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    before = pixels.copy()
    m = some_map(3)
    assert np.array_equal(apply_density_map(pixels[::2, ::3], m), apply_density_map(pixels, m)[::2, ::3])
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8)]
)
def test_other_pixels_are_refused(pixels):
    with pytest.raises(SettingsError, match="uint8 with red, green, blue"):
        apply_density_map(pixels, some_map(1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((np.eye(2), np.zeros(3), 240, 240), "3 x 3"),
        ((np.eye(3), np.zeros(2), 240, 240), "3 x 3"),
        ((np.eye(3) * np.nan, np.zeros(3), 240, 240), "finite"),
        ((np.eye(3), np.zeros(3), 0, 240), "above 0"),
    ],
)
def test_bad_maps_are_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        DensityMap(*values)
