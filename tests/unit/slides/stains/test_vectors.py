from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.estimate import estimate_background, estimate_stains
from qupath_her2.slides.stains.qupath_stains import parse_qupath_stains
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors, optical_density, unmix

QUPATH_TEXT = (
    '{"Name" : "H-DAB default", "Stain 1" : "Hematoxylin", "Values 1" : "0.65111 0.70119 0.29049", '
    '"Stain 2" : "DAB", "Values 2" : "0.26917 0.56824 0.77759", "Background" : " 250 251 252"}'
)


def mix(amounts: np.ndarray, stains: StainVectors = QUPATH_H_DAB) -> np.ndarray:
    """Optical density of (N, 3) stain amounts by Beer-Lambert."""
    return (amounts @ stains.matrix()).astype(np.float32)


def angle_deg(a, b) -> float:
    return float(np.degrees(np.arccos(np.clip(np.dot(a, b), -1, 1))))


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
    assert found.source.startswith("pooled estimate")
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


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("as_text", [False, True])
def test_qupath_stains_are_read_from_text_and_mapping_in_either_order(swap, as_text):
    fields = json.loads(QUPATH_TEXT)
    if swap:
        for key in ("Stain", "Values"):
            fields[f"{key} 1"], fields[f"{key} 2"] = fields[f"{key} 2"], fields[f"{key} 1"]
    stains = parse_qupath_stains(json.dumps(fields) if as_text else fields)
    np.testing.assert_allclose(stains.hematoxylin, QUPATH_H_DAB.hematoxylin, atol=1e-5)
    np.testing.assert_allclose(stains.dab, QUPATH_H_DAB.dab, atol=1e-5)
    assert stains.background_rgb == (250, 251, 252)
    assert stains.source == "QuPath"


def test_qupath_third_stain_replaces_the_residual():
    fields = json.loads(QUPATH_TEXT) | {"Stain 3": "Red", "Values 3": [0.2, 0.9, 0.3]}
    third = np.array([0.2, 0.9, 0.3]) / np.linalg.norm([0.2, 0.9, 0.3])
    np.testing.assert_allclose(parse_qupath_stains(fields).matrix()[2], third)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Stain 2": "Eosin"}, "Brightfield"),
        ({"Values 1": "0.6 x 0.2"}, "three numbers"),
        ({"Values 1": "0.6 0.2"}, "three numbers"),
        ({"Values 1": "0 0 0"}, "no direction"),
        ({"Values 1": "nan 1 1"}, "no direction"),
        ({"Values 2": "0.65111 0.70119 0.29049"}, "parallel and cannot be unmixed"),
        ({"Background": "0 0 0"}, "background"),
        ({"Stain 2": "Hematoxylin"}, "same name"),
    ],
)
def test_bad_stains_say_what_is_wrong(change, message):
    with pytest.raises(SettingsError, match=message):
        parse_qupath_stains(json.loads(QUPATH_TEXT) | change)


@given(
    st.text(max_size=40)
    | st.dictionaries(st.sampled_from(list(json.loads(QUPATH_TEXT))), st.text(max_size=9))
)
@settings(max_examples=60)
def test_junk_stains_only_raise_settings_errors(junk):
    with pytest.raises(SettingsError):
        parse_qupath_stains(junk)
