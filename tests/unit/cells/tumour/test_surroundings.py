from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.grid import GridSettings
from qupath_her2.cells.nuclei.detection import ClassicalDetector, Nuclei, Tile
from qupath_her2.cells.stain_planes import make_planes
from qupath_her2.cells.tumour.surroundings import AXIS_NAMES, FEATURE_NAMES, REACH_UM, tissue_features
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.settings import FieldSettings

SIDE, HALO = 512, 128
N_AXIS = len(AXIS_NAMES)


@pytest.fixture(scope="module")
def tile() -> Tile:
    rgb = draw_field(FieldSettings(seed=510_000, width_px=SIDE, height_px=SIDE, stroma=0.5)).rgb
    return Tile(rgb, make_planes(rgb, QUPATH_H_DAB, 0.5))


@pytest.fixture(scope="module")
def nuclei(tile: Tile) -> Nuclei:
    return ClassicalDetector().prepared([tile]).detect(tile)


def column(features: np.ndarray, name: str) -> np.ndarray:
    return features[:, FEATURE_NAMES.index(name)]


def test_the_halo_of_a_tile_covers_the_reach() -> None:
    # 15 µm for nuclei that a neighbouring tile's own halo would cut.
    assert GridSettings().halo_px * GridSettings().working_um_px >= REACH_UM + 15


def test_features_do_not_depend_on_the_tile(tile: Tile, nuclei: Nuclei) -> None:
    low, high = 64, SIDE - 64
    rgb = np.ascontiguousarray(tile.rgb[low:high, low:high])
    seen = ((nuclei.centre > low) & (nuclei.centre < high)).all(1)
    core = ((nuclei.centre > low + HALO) & (nuclei.centre < high - HALO)).all(1)
    assert core.sum() > 15
    whole = tissue_features(tile.planes, nuclei.centre, nuclei.radii)
    part = tissue_features(make_planes(rgb, QUPATH_H_DAB, 0.5), nuclei.centre[seen] - low, nuclei.radii[seen])
    np.testing.assert_allclose(part[core[seen]], whole[core], atol=2e-4)


def test_a_turned_picture_has_the_same_features_and_turned_axes(tile: Tile, nuclei: Nuclei) -> None:
    whole = tissue_features(tile.planes, nuclei.centre, nuclei.radii)
    turned = np.ascontiguousarray(np.rot90(tile.rgb, -1))
    centre = np.stack([SIDE - 1 - nuclei.centre[:, 1], nuclei.centre[:, 0]], 1)
    # A turn by 90 degrees is eight of the 32 directions.
    radii = np.roll(nuclei.radii, 8, axis=1)
    found = tissue_features(make_planes(turned, QUPATH_H_DAB, 0.5), centre, radii)
    np.testing.assert_allclose(found[:, :-N_AXIS], whole[:, :-N_AXIS], atol=0.02)
    np.testing.assert_allclose(found[:, -N_AXIS:], -whole[:, -N_AXIS:], atol=1e-4)


def test_size_and_shape_of_ellipses() -> None:
    planes = make_planes(np.full((128, 128, 3), 250, np.uint8), QUPATH_H_DAB, 0.5)
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    long, short = 10.0, 5.0
    ellipse = long * short / np.hypot(short * np.cos(angle), long * np.sin(angle))
    radii = np.stack([np.full(32, 8.0), ellipse, np.zeros(32)]).astype(np.float32)
    found = tissue_features(planes, np.full((3, 2), 64.0), radii)
    area = np.exp(column(found, "log_area"))
    assert area[0] == pytest.approx(np.pi * 16, rel=0.02)
    assert area[1] == pytest.approx(np.pi * 5 * 2.5, rel=0.03)
    assert column(found, "roundness")[0] > 0.98 > 0.9 > column(found, "roundness")[1]
    assert column(found, "axis_cosine")[1] > 0.15 > 0.01 > abs(column(found, "axis_cosine")[0])
    # A cell without nucleus is measured as a disc of 1 µm.
    assert area[2] == pytest.approx(np.pi, rel=0.02)
    assert np.isfinite(found).all()


def test_glass_tissue_and_crowding_are_told_apart(tile: Tile, nuclei: Nuclei) -> None:
    rgb = tile.rgb.copy()
    rgb[:, 256:] = 250
    left = nuclei.centre[:, 0] < 150
    place = np.concatenate([nuclei.centre[left], [[420.0, 256.0]]])
    radii = np.concatenate([nuclei.radii[left], np.full((1, 32), 6, np.float32)])
    found = tissue_features(make_planes(rgb, QUPATH_H_DAB, 0.5), place, radii)
    assert column(found, "glass_14")[-1] > 0.9 > 0.4 > column(found, "glass_14")[:-1].mean()
    assert column(found, "nuclear_share_14")[-1] < 0.05 < column(found, "nuclear_share_14")[:-1].mean()


def test_no_nuclei_give_no_rows(tile: Tile) -> None:
    found = tissue_features(tile.planes, np.zeros((0, 2)), np.zeros((0, 32), np.float32))
    assert found.shape == (0, len(FEATURE_NAMES))
    assert found.dtype == np.float32
