from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.nuclei.candidates import NUCLEUS_FEATURES
from qupath_her2.cells.nuclei.detection import TREES_FILE
from qupath_her2.cells.nuclei.trees import Trees, load_trees, predict
from qupath_her2.errors import ExchangeError
from tests.quality.nucleus_trees import mean_of, tree_arrays

TARGETS = ("quality",)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_predictions_equal_those_of_scikit_learn(loss: str) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(800, 6)).astype(np.float32)
    target = np.sin(rows[:, 0] * 2) + rows[:, 1] * rows[:, 2] + rng.normal(0, 0.1, 800)
    model = ensemble.HistGradientBoostingRegressor(
        loss=loss, max_iter=20, max_leaf_nodes=32, min_samples_leaf=10, random_state=0
    )
    # On a busy machine its threads would spend nearly all time waiting for each other.
    with pytest.importorskip("threadpoolctl").threadpool_limits(1):
        model.fit(rows, target)
    trees = Trees(**{**tree_arrays(model), "baseline": float(tree_arrays(model)["baseline"])})
    new = rng.normal(size=(3000, 6)).astype(np.float32)
    expected = model.predict(new)
    found = predict(trees, new)
    assert found.dtype == np.float32
    assert np.ptp(expected) > 1
    # Thresholds are stored in single precision, so a value may fall on the other side of one.
    assert np.mean(np.abs(found - expected) < 1e-5) > 0.999


def test_two_small_trees_by_hand() -> None:
    # x <= 1 ? 10 : (y <= 0 ? 20 : 30), and a tree that is one leaf of 0.5.
    trees = Trees(
        root=np.array([0, 5], np.int32),
        feature=np.array([0, -1, 1, -1, -1, -1], np.int16),
        threshold=np.array([1, 0, 0, 0, 0, 0], np.float32),
        left=np.array([1, 0, 3, 0, 0, 0], np.int32),
        right=np.array([2, 0, 4, 0, 0, 0], np.int32),
        value=np.array([0, 10, 0, 20, 30, 0.5], np.float32),
        baseline=100.0,
    )
    # More rows than pass a tree side by side.
    many = np.tile(np.array([[1, 5], [1.5, 0], [1.5, 0.1]], np.float32), (200, 1))
    assert predict(trees, many).tolist() == 200 * [110.5, 120.5, 130.5]
    rows = np.array([[1, 5], [1.5, 0], [1.5, 0.1]], np.float32)
    assert predict(trees, rows).tolist() == [110.5, 120.5, 130.5]
    assert predict(trees, rows[:0]).shape == (0,)


def test_a_tree_of_too_many_leaves_is_refused() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rows = np.arange(2000, dtype=np.float32)[:, None]
    with pytest.importorskip("threadpoolctl").threadpool_limits(1):
        model = ensemble.HistGradientBoostingRegressor(
            max_iter=1, max_leaf_nodes=33, min_samples_leaf=1, early_stopping=False
        ).fit(rows, rows[:, 0] ** 2)
    arrays = tree_arrays(model)
    with pytest.raises(ValueError, match="65 nodes has more than 32 leaves"):
        Trees(**{**arrays, "baseline": float(arrays["baseline"])})


def test_joined_trees_predict_the_mean() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(400, 4)).astype(np.float32)
    with pytest.importorskip("threadpoolctl").threadpool_limits(1):
        models = [
            ensemble.HistGradientBoostingRegressor(
                max_iter=number, random_state=number, max_features=0.5
            ).fit(rows, np.sin(rows[:, 0]) + number * rows[:, 1])
            for number in (4, 7, 9)
        ]
    arrays = mean_of([tree_arrays(model) for model in models])
    found = predict(Trees(**{**arrays, "baseline": float(arrays["baseline"])}), rows)
    expected = np.mean([model.predict(rows) for model in models], 0)
    assert np.mean(np.abs(found - expected) < 1e-5) > 0.99


def test_shipped_trees_are_well_formed() -> None:
    loaded = load_trees(TREES_FILE, TARGETS, NUCLEUS_FEATURES)
    assert tuple(loaded) == TARGETS
    for trees in loaded.values():
        inner = trees.feature >= 0
        assert trees.feature.max() < len(NUCLEUS_FEATURES)
        # Children come after their parent, so every walk ends.
        place = np.arange(len(trees.feature))
        assert (trees.left[inner] > place[inner]).all()
        assert (trees.right[inner] > place[inner]).all()
        assert max(trees.left.max(), trees.right.max()) < len(place)
        assert np.isfinite(trees.value).all()


@pytest.mark.parametrize(
    ("offered", "odd"),
    [
        (NUCLEUS_FEATURES[:-1], NUCLEUS_FEATURES[-1]),
        ((*NUCLEUS_FEATURES, "mood"), "mood"),
        ((*NUCLEUS_FEATURES[1:], NUCLEUS_FEATURES[0]), "their order"),
    ],
)
def test_trees_trained_on_other_features_are_refused(offered: tuple[str, ...], odd: str) -> None:
    with pytest.raises(ExchangeError, match=odd) as caught:
        load_trees(TREES_FILE, TARGETS, offered)
    assert TREES_FILE in str(caught.value)
    assert "tests.quality.nucleus_trees" in str(caught.value)
