from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.synthetic.cells import Membrane
from qupath_her2.synthetic.painting import PAD_UM, canvas_for, fill, paint_membranes, texture
from qupath_her2.synthetic.settings import FieldSettings

PLAIN = FieldSettings(width_px=128, height_px=128, pixel_size_um=0.25, granularity=0)


def ring(radius: float, od: float, width: float) -> Membrane:
    angle = np.arange(200) * 2 * np.pi / 200
    path = np.stack([16 + radius * np.cos(angle), 16 + radius * np.sin(angle)], 1)
    return Membrane(path, np.full(200, od), np.full(200, width))


def across(width: float) -> np.ndarray:
    canvas = canvas_for(PLAIN)
    paint_membranes(canvas, [ring(10, 0.4, width), None])
    row = round((16 + PAD_UM) / canvas.grid_um)
    return canvas.dab[row, round((16 + PAD_UM) / canvas.grid_um) :]


@pytest.mark.parametrize("width", [0.64, 1.0, 2.14])
def test_a_ridge_has_its_peak_width_and_place(width: float) -> None:
    profile = across(width)
    assert profile.max() == pytest.approx(0.4, rel=0.04)
    above = np.flatnonzero(profile > 0.2) * 0.125
    assert len(above) * 0.125 == pytest.approx(width, abs=0.13)
    assert above.mean() == pytest.approx(10, abs=0.13)


def test_thick_ridges_have_a_plateau() -> None:
    thin, thick = across(0.64), across(2.14)
    assert (thick > 0.36).sum() / (thick > 0.2).sum() > (thin > 0.36).sum() / (thin > 0.2).sum()


@pytest.mark.parametrize(("contact", "gain"), [("quadrature", np.sqrt(2)), ("sum", 2)])
def test_deposits_of_touching_cells_add_as_configured(contact: str, gain: float) -> None:
    canvas = canvas_for(
        FieldSettings(width_px=128, height_px=128, pixel_size_um=0.25, granularity=0, contact=contact)
    )
    paint_membranes(canvas, [ring(10, 0.4, 1.0), ring(10, 0.4, 1.0)])
    assert canvas.dab.max() == pytest.approx(0.4 * gain, rel=0.02)


def test_fill_covers_the_area_of_the_ring() -> None:
    canvas = canvas_for(PLAIN)
    fill(canvas, canvas.dab, ring(10, 1, 1).path_um, 0.5)
    assert canvas.dab.sum() * canvas.grid_um**2 == pytest.approx(0.5 * np.pi * 100, rel=0.03)


def test_canvas_is_finer_than_the_picture_and_textures_fit() -> None:
    for pixel_size_um in (0.25, 0.34, 0.5, 1.0):
        canvas = canvas_for(FieldSettings(width_px=64, height_px=80, pixel_size_um=pixel_size_um))
        assert canvas.grid_um <= min(0.25, pixel_size_um / 2) + 1e-9
        assert texture(canvas, "x", 0.5).shape == canvas.dab.shape
