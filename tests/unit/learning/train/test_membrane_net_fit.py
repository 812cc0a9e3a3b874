from __future__ import annotations

import sys

import numpy as np
import pytest

from qupath_her2.cells.membrane.membrane_net import MembraneNet, predict_membranes
from qupath_her2.errors import SettingsError
from qupath_her2.learning.train.membrane_net_fit import (
    MembraneCuts,
    MembraneFitSettings,
    MembraneTruth,
    fit_membrane_net,
)

CUTS = MembraneCuts((0.2, 0.45), 0.7)


def truth_of(n: int) -> MembraneTruth:
    return MembraneTruth(
        np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros(n, np.uint8), np.zeros(n, np.bool_)
    )


def test_without_torch_the_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SettingsError, match=r"pip install 'qupath-her2\[learn\]'"):
        fit_membrane_net(np.zeros((600, 36, 3), np.float16), truth_of(600), CUTS)


def test_fewer_cells_than_a_batch_are_refused() -> None:
    pytest.importorskip("torch", reason="NOT TESTED: fitting needs torch (extra learn)")
    with pytest.raises(SettingsError, match="7 cells are fewer than one batch of 512"):
        fit_membrane_net(np.zeros((7, 36, 3), np.float16), truth_of(7), CUTS)


@pytest.mark.parametrize(("cut_weight", "side"), [(0.0, "above"), (2.0, "below")])
def test_an_uncertain_estimate_falls_on_the_likelier_side_of_a_cut(cut_weight: float, side: str) -> None:
    """Three of five cells lie a little below the cut, two farther above; their inputs are the same.

    The mean of their roots, which squared errors seek, is above: it would call most of them wrongly.
    """
    pytest.importorskip("torch", reason="NOT TESTED: fitting needs torch (extra learn)")
    n = 1000
    strong = np.arange(n) % 5 < 2
    od = np.where(strong, 0.4, 0.15).astype(np.float32)
    truth = MembraneTruth(
        np.sqrt(od), np.full(n, 0.3, np.float32), 1 + strong.astype(np.uint8), np.zeros(n, bool)
    )
    one = np.random.default_rng(0).normal(size=(1, 36, 2)).astype(np.float16)
    rings = np.repeat(one, n, axis=0)
    settings = MembraneFitSettings(width=4, hidden=4, epochs=60, batch_size=250, cut_weight=cut_weight)
    stored = fit_membrane_net(rings, truth, CUTS, settings)
    layers = range(5)
    net = MembraneNet(
        stored["scale"],
        tuple(stored[f"weight/{k}"] for k in layers),
        tuple(stored[f"bias/{k}"] for k in layers),
    )
    root = predict_membranes(net, one)[0, 0]
    assert (root > np.sqrt(0.2)) == (side == "above")
    assert np.sqrt(0.1) < root < np.sqrt(0.45)
