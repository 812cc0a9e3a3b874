from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.nuclei.trees import load_trees
from qupath_her2.cells.tumour.finder import (
    FIRST_NAMES,
    SECOND_NAMES,
    TREES_FILE,
    first_rows,
    neighbours_of,
    tumour_probability,
)
from qupath_her2.cells.tumour.surroundings import FEATURE_NAMES
from qupath_her2.errors import ExchangeError
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.training.tumour_finder.replay import drawn_labels
from tests.quality.tumour_cells import FoundCells, found_cells
from tests.quality.tumour_outlines import LEFT_OUT

N_FEATURES = len(FEATURE_NAMES)


def drawn(seed: int, **changes: object) -> tuple[Field, FoundCells]:
    settings = FieldSettings(seed=seed, width_px=640, height_px=640, stroma=0.5, lymphocytes=0.6, **changes)  # type: ignore[arg-type]
    field = draw_field(settings)
    return field, found_cells(field.rgb, 0.5)


def random_cells(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, N_FEATURES)).astype(np.float32), rng.uniform(0, 10 * n**0.5, (n, 2))


def test_the_order_of_cells_does_not_matter() -> None:
    features, xy = random_cells(400)
    order = np.random.default_rng(1).permutation(400)
    found = tumour_probability(features, xy)
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_allclose(tumour_probability(features[order], xy[order]), found[order], atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 24, 25])
def test_few_cells(n: int) -> None:
    found = tumour_probability(*random_cells(n))
    assert found.shape == (n,)
    assert np.isfinite(found).all()


def test_cells_at_one_place_and_far_apart_are_judged() -> None:
    features, _ = random_cells(40)
    assert np.isfinite(tumour_probability(features, np.zeros((40, 2)))).all()
    assert np.isfinite(tumour_probability(features, np.arange(80.0).reshape(40, 2) * 1e4)).all()


def test_neighbours_are_the_nearest_within_reach() -> None:
    xy = np.array([[0, 0], [3, 4], [0, 50], [0, 1000]], np.float64)
    around = neighbours_of(xy)
    assert around.index.shape == (4, 24)
    assert around.index[0, :3].tolist() == [1, 2, 0]
    np.testing.assert_allclose(around.distance_um[0, :3], [5, 50, 60])
    # A cell alone is its own neighbour.
    assert set(around.index[3]) == {3}


def test_cells_far_away_change_nothing() -> None:
    features, xy = random_cells(300)
    near = first_rows(features, neighbours_of(xy))
    other, far = random_cells(50, seed=2)
    # The strength of the image's nuclei counts for all: kept as it is.
    other[:] = features[:50]
    features[50:] = np.tile(features[:50], (5, 1))
    near = first_rows(features, neighbours_of(xy))
    joined = first_rows(np.concatenate([features, other]), neighbours_of(np.concatenate([xy, far + 1e5])))
    np.testing.assert_allclose(joined[:300], near, rtol=1e-3, atol=1e-3)


def test_columns_are_those_the_trees_were_trained_on() -> None:
    features, xy = random_cells(30)
    assert first_rows(features, neighbours_of(xy)).shape == (30, len(FIRST_NAMES))
    trees = load_trees(TREES_FILE, ("first", "second"), SECOND_NAMES)
    assert trees["first"].feature.max() < len(FIRST_NAMES)
    assert trees["second"].feature.max() < len(SECOND_NAMES)
    with pytest.raises(ExchangeError, match=r"python -m tests\.quality\.tumour_trees"):
        load_trees(TREES_FILE, ("first",), SECOND_NAMES[1:], "tests.quality.tumour_trees")


@pytest.mark.parametrize("shares", [(1.0, 0.0, 0.0, 0.0), (0.1, 0.1, 0.2, 0.6)], ids=["0", "3+"])
def test_tumour_is_found_whatever_its_stain(shares: tuple[float, ...]) -> None:
    field, cells = drawn(530_001, shares=shares)
    label, _ = drawn_labels(field, cells.centre_px)
    found = tumour_probability(cells.features, cells.centre_px * 0.5)
    tumour, other = found[label == 1], found[label == 0]
    assert min(len(tumour), len(other)) > 100
    # Area under the ROC curve, as the share of pairs in the right order.
    right = (tumour[:, None] > other[None]).mean() + 0.5 * (tumour[:, None] == other[None]).mean()
    assert right > 0.97
    assert (label != LEFT_OUT).mean() > 0.8
