from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.synthetic.optics import expose, jpeg, stain_vectors
from qupath_her2.synthetic.painting import canvas_for
from qupath_her2.synthetic.settings import FieldSettings

PLAIN = FieldSettings(
    width_px=64,
    height_px=48,
    noise=0,
    jpeg_quality=None,
    out_of_focus=0,
    sharpening=0,
    stain_jitter=0,
    glare=0,
)


def test_beer_lambert_on_flat_stain() -> None:
    canvas = canvas_for(PLAIN)
    canvas.haematoxylin[:] = 0.2
    canvas.dab[:] = 0.5
    od = 0.2 * np.array(PLAIN.haematoxylin_vector) / np.linalg.norm(PLAIN.haematoxylin_vector)
    od += 0.5 * np.array(PLAIN.dab_vector) / np.linalg.norm(PLAIN.dab_vector)
    picture = expose(canvas)
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture - np.array(PLAIN.white) * 10**-od).max() <= 0.51


def test_empty_canvas_is_white_glass() -> None:
    assert np.array_equal(np.unique(expose(canvas_for(PLAIN)).reshape(-1, 3), axis=0), [[235, 234, 242]])


def test_blur_spreads_light_and_keeps_it() -> None:
    canvas = canvas_for(PLAIN)
    height, width = canvas.dab.shape
    canvas.dab[height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2] = 1.0
    missing = 235.0 - expose(canvas)[..., 0].astype(float)
    area_px = (4 / canvas.oversampling) ** 2
    vector = np.array(PLAIN.dab_vector) / np.linalg.norm(PLAIN.dab_vector)
    assert missing.sum() == pytest.approx(area_px * 235 * (1 - 10 ** -vector[0]), rel=0.08)
    assert (missing > 0.5).sum() > area_px


def test_stain_vectors_are_unit_and_jittered_by_the_seed() -> None:
    still = stain_vectors(PLAIN)
    assert np.allclose(np.linalg.norm(still, axis=1), 1)
    assert np.allclose(still[1] / still[1, 0], np.array(PLAIN.dab_vector) / PLAIN.dab_vector[0])
    moved = [stain_vectors(FieldSettings(seed=seed, stain_jitter=0.1)) for seed in (1, 1, 2)]
    assert np.array_equal(moved[0], moved[1])
    assert not np.allclose(moved[0], moved[2])
    assert np.allclose(np.linalg.norm(moved[0], axis=1), 1)


def test_noise_on_white_has_the_requested_level() -> None:
    noisy = FieldSettings(width_px=200, height_px=200, noise=2.0, jpeg_quality=None, out_of_focus=0)
    assert expose(canvas_for(noisy)).astype(float).std(axis=(0, 1)) == pytest.approx(
        np.full(3, 2.0), rel=0.12
    )


def test_glare_lifts_black_to_its_share_of_white() -> None:
    canvas = canvas_for(replace(PLAIN, glare=0.05))
    canvas.dab[:] = 9.0
    assert expose(canvas)[20, 20, 2] == pytest.approx(242 * 0.05 / 1.05, abs=0.6)


def test_sharpening_overshoots_beside_an_edge() -> None:
    canvas = canvas_for(FieldSettings(width_px=64, height_px=48, noise=0, jpeg_quality=None, out_of_focus=0))
    canvas.dab[:, canvas.dab.shape[1] // 2 :] = 0.5
    assert expose(canvas)[24, :, 0].max() > 237


def test_jpeg_keeps_shape_and_channel_order() -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    assert np.abs(jpeg(red, 95).astype(int) - red).max() < 6


def test_a_picture_taken_coarser_keeps_its_size_and_loses_detail() -> None:
    sharp = replace(PLAIN, psf_um=0.0)
    pictures = []
    for settings in (sharp, replace(sharp, captured_um_px=1.0), replace(sharp, captured_um_px=0.5)):
        canvas = canvas_for(settings)
        canvas.dab[:, ::8] = 1.0
        pictures.append(expose(canvas).astype(float))
    assert pictures[0].shape == pictures[1].shape
    assert pictures[1].std() < 0.8 * pictures[0].std()
    assert pictures[1].mean() == pytest.approx(pictures[0].mean(), rel=0.01)
    # Taken at its own pixel size it is the same picture.
    assert np.array_equal(pictures[0], pictures[2])


def test_defocus_has_its_width() -> None:
    soft = [
        replace(PLAIN, out_of_focus=1.0, defocus_um=sigma, width_px=160, height_px=160)
        for sigma in (0.4, 3.0)
    ]
    contrast = []
    for settings in soft:
        canvas = canvas_for(settings)
        canvas.dab[:, ::8] = 1.0
        contrast.append(expose(canvas).astype(float).std())
    assert contrast[1] < contrast[0]
