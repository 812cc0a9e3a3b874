"""Registration of two drawn stains of one tissue: known transforms are recovered, unrelated tissue is refused."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.errors import RegistrationError
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.registration.record import Registration
from qupath_her2.slides.registration.register import RegistrationSettings, register_slides
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import preset
from tests.helpers.drawn_sections import Anatomy, affine_px, laid, stained, write_png

#: µm per pixel of the drawn sections: 540 px are 5.4 mm.
SIZE_UM = 10.0


def registered(tmp_path, fixed, moving, fixed_um=SIZE_UM, moving_um=SIZE_UM, settings=None) -> Registration:
    paths = write_png(tmp_path / "he.png", fixed), write_png(tmp_path / "ihc.png", moving)
    with open_slide(paths[0]) as one, open_slide(paths[1]) as other:
        return register_slides(
            one, other, fixed_pixel_size_um=fixed_um, moving_pixel_size_um=moving_um, settings=settings
        )


def true_errors_um(found: Registration, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """How far tissue pixels land from where they were drawn, µm of the moving slide."""
    y, x = np.nonzero(mask)
    at = np.column_stack([x, y])[::97] + 0.5
    a, b, c, d, e, f = found.matrix
    there = at @ np.array([[a, b], [c, d]]).T + (e, f)
    return found.moving_pixel_size_um * np.linalg.norm(there - (at @ truth[:2, :2].T + truth[:2, 2]), axis=1)


@pytest.mark.parametrize(
    ("seed", "change"),
    [
        (1, {"angle_deg": 17.0, "shift_px": (20, -15)}),
        (2, {"angle_deg": 203.0, "shear": 0.05, "scale": 1.03}),
        (3, {"angle_deg": 88.0, "is_mirrored": True, "shear": -0.04, "scale": 0.97}),
    ],
)
def test_known_transforms_are_recovered_to_a_fraction_of_a_pixel(tmp_path, seed, change):
    anatomy = Anatomy.drawn(seed)
    shape = (580, 620)
    truth = affine_px(shape_in=anatomy.mask.shape, shape_out=shape, **change)
    ihc = laid(stained(anatomy, "IHC", seed + 100), truth, shape)
    found = registered(tmp_path, stained(anatomy, "H&E", seed), ihc)
    errors = true_errors_um(found, truth, anatomy.mask)
    assert np.median(errors) < 0.3 * SIZE_UM
    assert errors.max() < 0.7 * SIZE_UM
    # What is reported is measured at single places, so it is above the map's own error and of its order.
    assert np.median(errors) < found.error_um < SIZE_UM
    assert found.is_mirrored == change.get("is_mirrored", False)
    assert ("mirrored" in found.sentence()) == found.is_mirrored
    turn = (found.rotation_deg - change["angle_deg"] + 180) % 360 - 180
    assert abs(turn) < 3
    assert found.agreeing > 0.8 * found.looked_for


def test_a_section_without_a_corner_and_without_dab_is_found(tmp_path):
    anatomy = Anatomy.drawn(4)
    shape = (560, 600)
    truth = affine_px(-60.0, anatomy.mask.shape, shape)
    ihc = laid(stained(anatomy, "IHC", 104, dab=0.0), truth, shape)
    ihc[:230, :260] = 242
    found = registered(tmp_path, stained(anatomy, "H&E", 4), ihc)
    assert true_errors_um(found, truth, anatomy.mask).max() < SIZE_UM


def test_slides_of_different_pixel_sizes_are_found(tmp_path):
    anatomy = Anatomy.drawn(5, high=360, wide=420)
    shape = (900, 960)
    truth = affine_px(140.0, anatomy.mask.shape, shape, scale=2.0)
    ihc = laid(stained(anatomy, "IHC", 105), truth, shape)
    found = registered(tmp_path, stained(anatomy, "H&E", 5), ihc, moving_um=SIZE_UM / 2)
    assert true_errors_um(found, truth, anatomy.mask).max() < SIZE_UM
    assert found.stretch < 0.01
    with pytest.raises(RegistrationError, match=r"pixel sizes"):
        registered(tmp_path, stained(anatomy, "H&E", 5), ihc)


def test_one_drawn_field_in_two_stains_is_found_at_the_scale_of_cells(tmp_path):
    """A synthetic field that fills the image to its edges, so that no outline helps, only its interior."""
    field = draw_field(preset("score", seed=6, score="2+", width_px=520, height_px=520)).rgb
    density = -np.log10((field.astype(float) + 1) / 241)
    # Brown becomes pink: the same tissue, as an eosin stain of it would look.
    stains = np.array([[0.68, 0.65, 0.34], [0.34, 0.57, 0.74], [0.6, -0.2, -0.5]])
    amounts = density.reshape(-1, 3) @ np.linalg.inv(stains)
    pink = amounts[:, :2] @ np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    he = np.clip(240 * 10**-pink, 0, 255).astype(np.uint8).reshape(field.shape)
    truth = affine_px(0.0, field.shape, (400, 440), shift_px=(12, -7))
    found = registered(tmp_path, he, laid(field, truth, (400, 440)), 0.5, 0.5)
    inner = np.zeros(field.shape[:2], bool)
    inner[100:400, 100:400] = True
    assert true_errors_um(found, truth, inner).max() < 1.0


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_unrelated_tissue_is_refused(tmp_path, seed):
    with pytest.raises(RegistrationError, match=r"'he.png' and 'ihc.png' .*"):
        registered(
            tmp_path,
            stained(Anatomy.drawn(seed), "H&E", seed),
            stained(Anatomy.drawn(seed + 50), "IHC", seed),
        )


def test_an_error_over_the_limit_is_refused(tmp_path):
    anatomy = Anatomy.drawn(7, high=300, wide=360)
    pair = stained(anatomy, "H&E", 7), stained(anatomy, "IHC", 107)
    assert registered(tmp_path, *pair).rotation_deg == pytest.approx(0, abs=0.5)
    with pytest.raises(RegistrationError, match=r"error of \d+ µm, over 0\.5 µm"):
        registered(tmp_path, *pair, settings=RegistrationSettings(max_error_um=0.5))


def test_glass_and_missing_pixel_sizes_are_refused(tmp_path):
    tissue = stained(Anatomy.drawn(8, high=200, wide=240), "H&E", 8)
    noise = np.random.default_rng(1).normal(0, 1, (200, 240, 3))
    glass = np.clip(242 + np.rint(noise), 0, 255).astype(np.uint8)
    with pytest.raises(RegistrationError, match=r"No tissue was found in 'ihc\.png'"):
        registered(tmp_path, tissue, glass)
    with pytest.raises(RegistrationError, match=r"'he\.png' has no pixel size"):
        registered(tmp_path, tissue, tissue, fixed_um=None)
