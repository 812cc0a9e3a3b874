"""A finder goes on with corrections, and is refused where it does not help or where it forgets."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.nuclei.trees import predict
from qupath_her2.cells.tumour.finder import SECOND_NAMES, share, shipped_finder, tumour_probability
from qupath_her2.cells.tumour.surroundings import FEATURE_NAMES
from qupath_her2.errors import SettingsError, TrainingError
from qupath_her2.training.tumour_finder.boosting import BoostingSettings
from qupath_her2.training.tumour_finder.retrain import KnownCells, RetrainSettings, known_cells, retrain
from qupath_her2.training.tumour_finder.tissue import Tissue
from tests.helpers.small_finder import small_finder

pytest.importorskip("sklearn")

#: Enough for what one column tells.
FEW = BoostingSettings(trees=20, learning_rate=0.3)


def cells(case, n=120, *, seed=0, odd=0.5, odd_is_tumour=False, learns=True):
    """Cells of which a share is of a kind (column 5 above 1) that the finder takes for tumour."""
    rng = np.random.default_rng([seed, *case.encode()])
    rows = rng.normal(size=(n, len(SECOND_NAMES))).astype(np.float32)
    rows[:, 5] = np.clip(rows[:, 5], -1, 0.9)
    is_odd = rng.random(n) < odd
    rows[is_odd, 5] = 2
    rows[is_odd, 0] = 1
    log_odds = predict(small_finder()["second"], rows)
    label = np.where(is_odd, odd_is_tumour, rows[:, 0] > 0)
    return KnownCells(case, rows, log_odds, share(log_odds), label, np.full(n, learns))


def plain(n, first=0):
    return [cells(f"field {i}", 60, odd=0.05) for i in range(first, first + n)]


def train(reviewed, judged=None, unseen=(), **settings):
    return retrain(
        reviewed, plain(6), judged or plain(4, 100), unseen, small_finder(), cut_off=0.4,
        settings=RetrainSettings(boosting=FEW, **settings),
    )  # fmt: skip


def test_corrections_of_three_cases_help_on_others():
    reviewed = [cells(f"K-{i}") for i in range(3)]
    unseen = [cells("K-8"), cells("K-9")]
    found = train(reviewed, unseen=unseen)
    assert found.reviewed.difference["auc"].low > 0.1
    assert found.reviewed.cases == 3
    assert found.unseen is not None
    assert found.unseen.difference["auc"].value > 0.1
    assert found.unseen.difference["log_loss"].high < 0
    assert abs(found.replayed.difference["auc"].value) < 0.05
    assert found.trees["first"] is not found.trees["second"]
    np.testing.assert_array_equal(found.trees["first"].value, small_finder()["first"].value)


def test_images_of_a_case_are_held_out_together():
    told = []
    reviewed = [cells(case, seed=seed) for case in ("K-1", "K-2", "K-3") for seed in (1, 2)]
    retrain(
        reviewed, plain(6), plain(4, 100), (), small_finder(), cut_off=0.4, settings=RetrainSettings(boosting=FEW),
        listen=told.append,
    )  # fmt: skip
    assert [text.split(":")[0] for text in told] == [
        "part 1 of 3", "part 2 of 3", "part 3 of 3", "all reviewed cases",
    ]  # fmt: skip


def test_labels_at_random_are_refused():
    reviewed = [cells(f"K-{i}", odd=0) for i in range(4)]
    rng = np.random.default_rng(0)
    for one in reviewed:
        one.label[:] = rng.random(len(one)) < 0.5
    with pytest.raises(TrainingError, match="Nothing was replaced"):
        train(reviewed)


def test_what_is_right_already_is_not_replaced():
    with pytest.raises(
        TrainingError, match=r"not better on reviewed cases that it has not seen: AUC 1\.000 before"
    ):
        train([cells(f"K-{i}", odd=0) for i in range(3)])


def test_a_finder_that_forgets_is_refused():
    # Of the drawn tissue, the kind that was rejected in these cases is tumour: rejecting it costs what was known.
    judged = [cells(f"field {i}", 60, odd=0.4, odd_is_tumour=True) for i in range(100, 106)]
    with pytest.raises(
        TrainingError, match=r"forgets: on drawn tissue .* fall by 0.01 and the log loss rise by 0.03"
    ):
        train([cells(f"K-{i}") for i in range(3)], judged)


def test_replay_holds_what_is_known():
    """Tissue of the rejected kind among the replayed fields keeps its probability the more, the more it weighs."""
    reviewed = [cells(f"K-{i}") for i in range(3)]
    held = [cells(f"field {i}", 60, odd=0.5, odd_is_tumour=True) for i in range(6)]
    odd = cells("new", 400, odd=1.0).rows
    risen = []
    for weight in (0.1, 30.0):
        found = retrain(
            reviewed, held, plain(4, 100), (), small_finder(), cut_off=0.4,
            settings=RetrainSettings(boosting=FEW, replay=weight, max_loss_rise=10, max_auc_loss=1),
        )  # fmt: skip
        risen.append(predict(found.trees["second"], odd).mean())
    assert risen[0] < 0 < risen[1] <= 2


def test_a_finder_that_is_worse_on_unreviewed_cases_is_refused():
    unseen = [cells(f"K-{i}", odd=0.5, odd_is_tumour=True) for i in (7, 8, 9)]
    with pytest.raises(TrainingError, match="worse on cases that nobody reviewed"):
        train([cells(f"K-{i}") for i in range(3)], unseen=unseen)


@pytest.mark.parametrize(
    "reviewed",
    [
        [cells("K-1"), cells("K-2")],
        [cells(f"K-{i}", 10) for i in range(3)],
        [cells(f"K-{i}", learns=False) for i in range(3)],
        [],
    ],
)
def test_too_few_labels_are_refused(reviewed):
    with pytest.raises(
        TrainingError, match=r"too few: at least 20 of each kind and 3 cases .*Accept, edit or delete"
    ):
        train(reviewed)


def test_known_cells_are_judged_among_all_cells():
    rng = np.random.default_rng(0)
    tissue = Tissue(
        rng.uniform(0, 400, (200, 2)), 0.5, rng.normal(size=(200, len(FEATURE_NAMES))).astype(np.float32)
    )
    label = rng.integers(-1, 2, 200).astype(np.int8)
    base = shipped_finder()
    found = known_cells(tissue, "K-1", label, base, base)
    known = label >= 0
    expected = tumour_probability(tissue.features, tissue.centre_xy * 0.5)
    np.testing.assert_allclose(found.before, expected[known], atol=1e-6)
    np.testing.assert_array_equal(found.label, label[known] == 1)
    assert found.learns.all()
    none = known_cells(tissue, "K-1", np.full(200, -1, np.int8), base, base)
    assert len(none) == 0


def test_the_finder_to_be_replaced_is_judged_by_its_own_trees():
    rng = np.random.default_rng(0)
    tissue = Tissue(
        rng.uniform(0, 400, (50, 2)), 0.5, rng.normal(size=(50, len(FEATURE_NAMES))).astype(np.float32)
    )
    found = known_cells(tissue, "K-1", np.ones(50, np.int8), shipped_finder(), small_finder())
    expected = tumour_probability(tissue.features, tissue.centre_xy * 0.5, small_finder())
    np.testing.assert_array_equal(found.before, expected)
    assert not np.allclose(found.before, share(found.log_odds))


def test_settings_out_of_range_are_refused():
    with pytest.raises(SettingsError, match="max_auc_loss"):
        RetrainSettings(max_auc_loss=2)
