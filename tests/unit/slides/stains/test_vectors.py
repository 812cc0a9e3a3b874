"""Optical density and unmixing against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, optical_density, unmix


def test_vectors_have_length_one_and_are_qupaths():
    np.testing.assert_allclose(QUPATH_H_DAB.hematoxylin, (0.65111, 0.70119, 0.29049), atol=5e-6)
    np.testing.assert_allclose(QUPATH_H_DAB.dab, (0.26917, 0.56824, 0.77759), atol=5e-6)
    assert np.linalg.norm(QUPATH_H_DAB.matrix(), axis=1) == pytest.approx([1, 1, 1])


@given(st.integers(0, 255), st.floats(150, 255))
def test_optical_density_is_log10_and_keeps_negatives(value, white):
    rgb = np.full((1, 1, 3), value, np.uint8)
    expected = -np.log10(max(value, 1) / white)
    assert optical_density(rgb, (white, white, white))[0, 0] == pytest.approx([expected] * 3, abs=1e-5)


def test_optical_density_uses_each_channels_background():
    od = optical_density(np.array([[[100, 150, 200]]], np.uint8), (200, 150, 100))
    assert od.shape == (1, 1, 3)
    assert od.dtype == np.float32
    np.testing.assert_allclose(od[0, 0], [np.log10(2), 0, -np.log10(2)], atol=1e-6)


def test_unmix_solves_the_linear_system_of_every_pixel():
    rgb = np.random.default_rng(1).integers(1, 256, (20, 30, 3), dtype=np.uint8)
    stains = StainVectors((0.6, 0.7, 0.35), (0.3, 0.55, 0.75), (240, 238, 244))
    od = -np.log10(rgb / np.array(stains.background_rgb))
    truth = np.linalg.solve(stains.matrix().T, od.reshape(-1, 3).T).T.reshape(rgb.shape)
    np.testing.assert_allclose(unmix(rgb, stains), truth, atol=2e-5)


def test_unmix_takes_strided_input():
    rgb = np.random.default_rng(1).integers(1, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_allclose(unmix(rgb[::2, ::3]), unmix(rgb)[::2, ::3], atol=1e-6)
