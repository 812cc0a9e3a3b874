"""An image has scores and predictions side by side: neither replaces the other."""

from __future__ import annotations

from typing import Any

import pytest

from qupath_her2.records import Prediction
from tests.groovy.studies import Study
from tests.groovy.test_writeback_patches import drawn_patches, ids, tiles_in
from tests.groovy.test_writeback_round import our_steps, ours_in, people

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def said(share: float) -> Prediction:
    return Prediction("net", "her2-4", "3+", {"0": 1 - share, "3+": share}, 10, "mean of patch probabilities")


def cells_in(dump: dict[str, Any]) -> set[str]:
    return {found["id"] for found in ours_in(dump) if found["kind"] == "PathCellObject"}


def test_scores_and_predictions_side_by_side(study: Study) -> None:
    table = {key: drawn_patches(key, shift_px=6 * (key - 7)) for key in (7, 8)}
    scores = [study.write_run(key) for key in (1, 2)]
    nets = [study.write_run(key, patches=table[key], prediction=said(key / 10)) for key in (7, 8)]
    seen = study.replay(
        "dump=nothing",
        f"current={scores[0]}", "push", "dump=one",
        "folder=her2/predictions", f"current={nets[0]}", "push", "dump=both",
        f"current={nets[1]}", "push", "dump=other_net",
        "folder=her2", f"current={scores[1]}", "push", "dump=other_score",
        "remove", "dump=only_net",
        "folder=her2/predictions", "remove", "dump=gone",
    )  # fmt: skip
    nothing, one, both, other_net, other_score, only_net, gone = (
        seen.dump(name) for name in ("nothing", "one", "both", "other_net", "other_score", "only_net", "gone")
    )

    assert both["metadata"]["HER2 score"] == "2+"
    assert both["metadata"]["HER2 predicted class"] == "3+"
    assert cells_in(one) == cells_in(both) == cells_in(other_net)
    assert set(tiles_in(both)) == set(ids(table[7]))
    # The second prediction replaces the first; the second score leaves the prediction's tiles in place.
    assert set(tiles_in(other_net)) == set(tiles_in(other_score)) == set(ids(table[8]))
    assert cells_in(other_score)
    assert not cells_in(other_score) & cells_in(one)
    assert not cells_in(only_net)
    assert "HER2 score" not in only_net["metadata"]
    assert only_net["metadata"]["HER2 predicted class"] == "3+"
    assert set(tiles_in(only_net)) == set(ids(table[8]))
    assert gone["objects"] == nothing["objects"]
    assert gone["metadata"] == nothing["metadata"]
    assert people(gone) == people(nothing) == people(other_score)
    assert not our_steps(gone)


def test_regions_have_measurements_of_both_kinds(study: Study) -> None:
    score, net = study.write_run(1), study.write_run(7, patches=drawn_patches(7), prediction=said(0.75))
    seen = study.replay(
        f"current={score}", "push", "folder=her2/predictions", f"current={net}", "push", "dump=both",
        "folder=her2", "remove", "dump=net",
    )  # fmt: skip
    shown = [
        found["geojson"]
        for found in seen.dump("both")["objects"]
        if "HER2: Num tumour cells" in found["geojson"]
    ]
    assert len(shown) == 2
    assert all("HER2: probability 3+" in text and "0.75" in text for text in shown)
    left = [
        found["geojson"] for found in seen.dump("net")["objects"] if "HER2: Num patches" in found["geojson"]
    ]
    assert len(left) == 2
    assert not any("HER2: Num tumour cells" in text for text in left)
