from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.nuclei.candidates import (
    NUCLEUS_FEATURES,
    Candidates,
    join_candidates,
    mean_edge,
    nucleus_features,
    stains_inside_and_around,
)
from tests.helpers.drawn_planes import disc, planes_of

UM_PX = 0.5
ANGLE = np.linspace(0, 2 * np.pi, 32, endpoint=False)


def candidates(radii_px: np.ndarray, edge: np.ndarray) -> Candidates:
    n = len(radii_px)
    pairs = np.tile(np.array([[0.2, 0.1]], np.float32), (n, 1))
    area = (np.pi * (radii_px**2).mean(1) / 4).astype(np.float32)
    return Candidates(
        np.zeros((n, 2)), radii_px.astype(np.float32), edge.astype(np.float32), pairs, pairs / 2, area,
        np.full((n, 4), 0.05, np.float32), np.full(n, 0.01, np.float32), np.full((n, 2), 0.02, np.float32),
    )  # fmt: skip


def column(rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, NUCLEUS_FEATURES.index(name)]


def test_shape_features_of_circles_and_ellipses() -> None:
    a, b = 10.0, 5.0
    ellipse = a * b / np.hypot(b * np.cos(ANGLE), a * np.sin(ANGLE))
    found = candidates(np.stack([np.full(32, 7.0), ellipse]), np.full((2, 32), 0.1))
    rows = nucleus_features(found, 0.1, 0.2, UM_PX)
    assert rows.shape == (2, len(NUCLEUS_FEATURES))
    assert column(rows, "round")[0] == pytest.approx(1, abs=0.01)
    assert column(rows, "round")[1] < 0.9
    assert column(rows, "elong") == pytest.approx(
        [0, np.abs((ellipse * np.exp(2j * ANGLE)).mean() / ellipse.mean())], abs=1e-5
    )
    assert column(rows, "rough")[0] == pytest.approx(0, abs=1e-6)
    assert np.exp(column(rows, "area")) == pytest.approx(found.area_um2, rel=1e-5)


def test_stain_features_are_relative_to_the_image() -> None:
    found = candidates(np.full((1, 32), 7.0), np.full((1, 32), 0.1))
    here, twice = nucleus_features(found, 0.1, 0.2, UM_PX), nucleus_features(found, 0.2, 0.4, UM_PX)
    for name in ("edge", "h", "h_step", "h_mid", "h_std", "region", "valley"):
        assert column(here, name) == pytest.approx(2 * column(twice, name))
    for name in ("dab", "dab_step", "edge_q", "area"):
        assert column(here, name) == pytest.approx(column(twice, name))


def test_open_side_shows_in_the_low_ranks_in_any_direction() -> None:
    edge = np.full((1, 32), 0.1)
    edge[0, :10] = 0.0
    rows = [
        nucleus_features(candidates(np.full((1, 32), 7.0), np.roll(edge, k, 1)), 0.1, 0.2, UM_PX)
        for k in (0, 8, 16)
    ]
    assert column(rows[0], "edge_q") == pytest.approx(0)
    assert column(rows[0], "edge_share") == pytest.approx(22 / 32)
    assert rows[1] == pytest.approx(rows[0])
    assert rows[2] == pytest.approx(rows[0])


def test_one_strong_direction_does_not_outweigh_the_rest() -> None:
    edge = np.zeros((1, 32))
    edge[0, 0] = 10.0
    assert mean_edge(candidates(np.full((1, 32), 7.0), edge))[0] < 0.01


def test_stains_of_a_vesicular_nucleus() -> None:
    """Pale inside, with chromatin at the rim."""
    shape = (80, 80)
    vesicle = 0.2 * disc(shape, 40, 40, 12, soft_px=0.5) - 0.1 * disc(shape, 40, 40, 7, soft_px=0.5)
    plane = vesicle.astype(np.float32)
    zero = np.zeros(shape, np.float32)
    planes = planes_of(0.5, hematoxylin=plane, nuclear=plane, nuclear_contrast=plane, dab=zero)
    read = stains_inside_and_around(planes, np.array([[40.0, 40.0]]), np.full((1, 32), 12, np.float32))[0]
    assert read[4] == pytest.approx(0.1, abs=0.01)
    assert 0.1 < read[0] < 0.2
    assert read[1] == pytest.approx(0, abs=0.02)
    assert read[5] > 0.02


def test_a_nucleus_stands_out_from_its_wider_surroundings_and_a_fibre_does_not() -> None:
    shape = (80, 80)
    nucleus = 0.2 * disc(shape, 40, 40, 8, soft_px=0.5)
    fibre = np.zeros(shape)
    fibre[32:49] = 0.2
    zero = np.zeros(shape, np.float32)
    read = []
    for plane in (nucleus.astype(np.float32), fibre.astype(np.float32)):
        planes = planes_of(0.5, hematoxylin=plane, nuclear=plane, nuclear_contrast=plane, dab=zero)
        circle = np.full((1, 32), 8, np.float32)
        read.append(stains_inside_and_around(planes, np.array([[40.0, 40.0]]), circle)[0])
    assert read[0][7] == pytest.approx(0, abs=0.01)
    assert read[0][8] == pytest.approx(0, abs=0.01)
    # Two of four sides lie in the fibre, so the surroundings are half as dark as the inside, and uneven.
    assert 0.04 < read[1][7] < 0.12
    assert read[1][8] > 0.05


def test_joined_candidates_keep_their_order() -> None:
    one = candidates(np.full((1, 32), 7.0), np.full((1, 32), 0.1))
    two = candidates(np.full((2, 32), 9.0), np.full((2, 32), 0.1))
    both = join_candidates([one, two])
    assert len(both) == 3
    assert (both.radii[:, 0] == [7, 9, 9]).all()
