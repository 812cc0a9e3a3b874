"""Corrections of three drawn cases lift the finder on others, where it takes benign ducts for tumour."""

from __future__ import annotations

import pytest

from qupath_her2.cells.tumour.finder import shipped_finder
from qupath_her2.training.tumour_finder.retrain import RetrainSettings, retrain
from tests.quality.retrained_finder import CUT_OFF, KINDS, as_known, drawn_case, drawn_cells_of, judged

pytestmark = pytest.mark.quality


def test_three_corrected_cases_lift_the_others():
    settings, base = RetrainSettings(fields=16, judged_fields=8), shipped_finder()
    drawn = drawn_cells_of(base, settings)
    cells = [
        as_known(*drawn_case(KINDS["ducts"], seed), str(seed), base) for seed in range(1_161_000, 1_161_009)
    ]
    found = retrain(cells[:3], *drawn, (), base, cut_off=CUT_OFF, settings=settings)
    others = judged(cells[3:], found.trees["second"])
    assert others.before["auc"].value < 0.9
    assert others.difference["auc"].value > 0.01
    assert others.difference["log_loss"].value < -0.03
    assert found.replayed.difference["auc"].value > -0.01
