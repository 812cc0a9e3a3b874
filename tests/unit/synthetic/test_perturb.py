from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.perturb import perturb
from qupath_her2.synthetic.settings import FieldSettings

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return draw_field(FieldSettings(width_px=128, height_px=128, seed=1, jpeg_quality=None)).rgb


def test_jpeg_loses_more_at_lower_quality(rgb: np.ndarray) -> None:
    lost = [np.abs(perturb(rgb, "jpeg", q, 0.5, RNG(0)).astype(int) - rgb).mean() for q in (95, 70, 30)]
    assert 0 < lost[0] < lost[1] < lost[2]


def test_gamma_is_a_power_of_the_relative_level(rgb: np.ndarray) -> None:
    assert np.array_equal(perturb(rgb, "gamma", 1.0, 0.5, RNG(0)), rgb)
    flat = np.full((4, 4, 3), 128, np.uint8)
    assert perturb(flat, "gamma", 2.0, 0.5, RNG(0))[0, 0, 0] == round(255 * (128 / 255) ** 2)


def test_tint_scales_each_channel_within_the_amount() -> None:
    flat = np.full((4, 4, 3), 200, np.uint8)
    tinted = perturb(flat, "tint", 0.1, 0.5, RNG(0))
    assert np.ptp(tinted.reshape(-1, 3), axis=0).max() == 0
    assert len(set(tinted[0, 0].tolist())) > 1
    assert 180 <= tinted.min() <= tinted.max() <= 220


@pytest.mark.parametrize("pixel_size_um", [0.25, 0.5])
def test_blur_spreads_a_point_by_its_sigma_in_um(pixel_size_um: float) -> None:
    line = np.zeros((64, 64, 3), np.uint8)
    line[:, 32] = 255
    row = perturb(line, "blur", 1.0, pixel_size_um, RNG(0))[32, :, 0].astype(float)
    x = np.arange(64) * pixel_size_um
    mean = (row * x).sum() / row.sum()
    assert np.sqrt((row * (x - mean) ** 2).sum() / row.sum()) == pytest.approx(1.0, abs=0.1)
    assert np.array_equal(perturb(line, "blur", 0, 0.5, RNG(0)), line)


def test_noise_has_the_requested_sd() -> None:
    flat = np.full((100, 100, 3), 128, np.uint8)
    assert perturb(flat, "noise", 4.0, 0.5, RNG(0)).std() == pytest.approx(4.0, rel=0.05)


def test_the_input_image_is_not_changed(rgb: np.ndarray) -> None:
    before = rgb.copy()
    for kind, amount in (("jpeg", 50), ("tint", 0.2), ("gamma", 1.2), ("blur", 1.0), ("noise", 3.0)):
        assert not np.array_equal(perturb(rgb, kind, amount, 0.5, RNG(0)), rgb)
    assert np.array_equal(rgb, before)


def test_nonsense_is_refused(rgb: np.ndarray) -> None:
    with pytest.raises(SettingsError, match="jpeg, tint, gamma, blur, noise"):
        perturb(rgb, "rotate", 1, 0.5, RNG(0))
    with pytest.raises(SettingsError, match="amount -1"):
        perturb(rgb, "blur", -1, 0.5, RNG(0))
    with pytest.raises(SettingsError, match="gamma"):
        perturb(rgb, "gamma", 0, 0.5, RNG(0))
