"""Macenko's method against its published steps, and the slides it must refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.density_map import apply_density_map
from qupath_her2.slides.stains.macenko import fit_macenko, macenko_map
from qupath_her2.slides.stains.macenko_references import (
    MACENKO_REFERENCES,
)

HEMATOXYLIN = np.array([0.65, 0.70, 0.29]) / np.linalg.norm([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11]) / np.linalg.norm([0.07, 0.99, 0.11])
DAB = np.array([0.27, 0.57, 0.78]) / np.linalg.norm([0.27, 0.57, 0.78])
REFERENCE = MACENKO_REFERENCES["veta-2013"]


def stained(rng, n, *, h=(0.02, 0.6), e=(0.0, 0.0), d=(0.0, 0.0), noise=1.5, white=240.0) -> np.ndarray:
    """uint8 (n, 3) pixels of even amounts of the stains, by Beer-Lambert, with noise in grey levels."""
    amounts = (rng.uniform(*h, n), rng.uniform(*e, n), rng.uniform(*d, n))
    od = sum(
        amount[:, None] * stain for amount, stain in zip(amounts, (HEMATOXYLIN, EOSIN, DAB), strict=True)
    )
    grey = white * 10**-od - 1 + rng.normal(0, noise, od.shape)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def h_and_e(seed=1, n=60_000, **more) -> np.ndarray:
    return stained(np.random.default_rng(seed), n, h=(0.02, 0.6), e=(0.02, 0.5), **more)


def published(pixels, white=240.0, alpha=1.0, beta=0.15, to=REFERENCE):
    """The method in the steps and natural logarithms in which it was published (normalizeStaining.m, 2013)."""
    od = -np.log((pixels.reshape(-1, 3).astype(float) + 1) / white)
    kept = od[~(od < beta).any(axis=1)]
    _, eigenvectors = np.linalg.eigh(np.cov(kept.T))
    projected = kept @ eigenvectors[:, 1:3]
    phi = np.arctan2(projected[:, 1], projected[:, 0])
    low, high = np.percentile(phi, alpha), np.percentile(phi, 100 - alpha)
    first, second = (eigenvectors[:, 1:3] @ [np.cos(angle), np.sin(angle)] for angle in (low, high))
    he = np.column_stack([first, second] if first[0] > second[0] else [second, first])
    concentrations = np.linalg.lstsq(he, od.T, rcond=None)[0]
    maxima = np.percentile(concentrations, 99, axis=1)
    scaled = concentrations / (maxima / (to.maxima() * np.log(10)))[:, None]
    return he, maxima, (white * np.exp(-to.vectors() @ scaled)).T.reshape(pixels.shape)


@pytest.mark.parametrize("seed", range(4))
def test_vectors_and_maxima_equal_the_published_code(seed):
    pixels = h_and_e(seed)
    he, maxima, _ = published(pixels)
    found = fit_macenko(pixels)
    np.testing.assert_allclose(found.vectors(), he, atol=1e-10)
    np.testing.assert_allclose(found.maxima() * np.log(10), maxima, rtol=1e-10)


def test_the_single_matrix_equals_the_published_normalisation():
    """The published code forgets to take back the 1 it added; ours does, then rounds where that cuts off."""
    pixels = h_and_e(n=90_000).reshape(300, 300, 3)
    _, _, picture = published(pixels)
    ours = apply_density_map(pixels, macenko_map(fit_macenko(pixels), REFERENCE))
    assert ours.shape == pixels.shape
    assert np.abs(ours - np.clip(picture - 1, 0, 255)).max() <= 0.5 + 2e-3
    batch = np.stack([pixels[:100, :100], pixels[100:200, :100]])
    assert np.array_equal(
        apply_density_map(batch, macenko_map(fit_macenko(pixels), REFERENCE))[1], ours[100:200, :100]
    )


def test_normalised_images_equal_torchstain():
    torchstain = pytest.importorskip("torchstain")
    pixels = h_and_e(n=90_000).reshape(300, 300, 3)
    peer = torchstain.normalizers.MacenkoNormalizer("numpy")
    theirs, _, _ = peer.normalize(pixels, stains=False)
    ours = apply_density_map(pixels, macenko_map(fit_macenko(pixels), REFERENCE))
    difference = theirs.astype(int) - ours
    # It cuts off decimals and keeps the 1: between 0 and 1 level brighter, at every pixel.
    assert set(np.unique(difference)) <= {0, 1}


def test_true_vectors_are_found_within_the_bias_of_the_percentiles():
    found = fit_macenko(h_and_e(noise=0.5))
    for vector, truth in ((found.hematoxylin, HEMATOXYLIN), (found.eosin, EOSIN)):
        assert np.degrees(np.arccos(min(1.0, float(np.dot(vector, truth))))) < 11
    assert found.source.startswith("Macenko fit over")


def test_two_stainings_of_one_tissue_come_out_alike():
    rng = np.random.default_rng(3)
    amounts = rng.uniform(0.02, 0.5, (50_000, 2))
    pictures = []
    for strength, tilt in ((1.0, 0.0), (0.6, 0.06)):
        stains = np.stack([HEMATOXYLIN, EOSIN]) + np.array([[0, tilt, 0], [tilt, 0, tilt]])
        pictures.append(np.rint(240 * 10 ** -(strength * amounts @ stains) - 1).astype(np.uint8))
    before = np.abs(pictures[0].astype(float) - pictures[1]).mean()
    alike = [apply_density_map(p, macenko_map(fit_macenko(p), REFERENCE)) for p in pictures]
    after = np.abs(alike[0].astype(float) - alike[1]).mean()
    # Not nearer: the paler picture's eosin falls under the published cut-off for transparent pixels first.
    assert after < 0.25 * before


def test_eigenvector_signs_do_not_matter(monkeypatch):
    pixels = h_and_e()
    plain = fit_macenko(pixels)
    eigh = np.linalg.eigh

    def flipped(matrix):
        values, vectors = eigh(matrix)
        return values, vectors * [1, -1, -1]

    monkeypatch.setattr(np.linalg, "eigh", flipped)
    np.testing.assert_allclose(fit_macenko(pixels).vectors(), plain.vectors(), atol=1e-9)


@pytest.mark.parametrize(
    ("image_type", "pixels"), [("Brightfield (H-DAB)", h_and_e()), ("BRIGHTFIELD_H_DAB", h_and_e())]
)
def test_ihc_by_qupaths_type_is_refused_unless_forced(image_type, pixels):
    with pytest.raises(SettingsError, match=r"'case07' is IHC: QuPath's image type .* force it"):
        fit_macenko(pixels, name="'case07'", image_type=image_type)
    assert fit_macenko(pixels, image_type=image_type, force=True) == fit_macenko(pixels)


def test_brown_is_refused_whatever_the_type_says_unless_forced():
    brown = stained(np.random.default_rng(5), 50_000, h=(0.05, 0.6), d=(0.0, 0.6))
    with pytest.raises(SettingsError, match="brown, not eosin"):
        fit_macenko(brown, image_type="Brightfield (H&E)")
    assert fit_macenko(brown, force=True).max_eosin > 0


@pytest.mark.parametrize("noise", [0.0, 2.0, 5.0])
@pytest.mark.parametrize("stain", [{"h": (0.1, 0.6)}, {"h": (0.0, 0.0), "e": (0.7, 1.5)}])
def test_one_stain_is_refused_at_any_noise(stain, noise):
    pixels = stained(np.random.default_rng(2), 50_000, noise=noise, **stain)
    with pytest.raises(SettingsError, match=r"does not show haematoxylin and eosin|are stained, fewer than"):
        fit_macenko(pixels)


@pytest.mark.parametrize(
    "pixels",
    [
        np.empty((0, 3), np.uint8),
        np.full((64, 64, 3), 255, np.uint8),
        np.zeros((30, 30, 3), np.uint8),
        np.full((40, 40, 3), (180, 60, 150), np.uint8),
        h_and_e(n=600),
    ],
    ids=["nothing", "glass", "black", "one colour", "a speck"],
)
def test_pixels_that_cannot_be_fitted_are_refused_with_a_reason(pixels):
    with pytest.raises(SettingsError, match=r"are stained, fewer than|does not show"):
        fit_macenko(pixels)


@given(st.integers(0, 10_000), st.integers(0, 3_000))
@settings(max_examples=60, deadline=None)
def test_random_pixels_are_fitted_or_refused_but_never_crash(seed, n):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, rng.integers(1, 257), (n, 3), dtype=np.uint8)
    try:
        found = fit_macenko(pixels)
    except SettingsError:
        return
    assert np.isfinite(found.vectors()).all()
    assert found.maxima().min() > 0


def test_a_slide_on_its_own_profile_keeps_its_colours():
    pixels = h_and_e(noise=0.0)
    own = fit_macenko(pixels)
    assert np.abs(apply_density_map(pixels, macenko_map(own, own)).astype(int) - pixels).max() <= 1
