from __future__ import annotations

import sys

import numpy as np
import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.learning import RingTruth, fit_rings


def truth_of(n: int) -> RingTruth:
    return RingTruth(
        np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros(n, np.uint8), np.zeros(n, np.bool_)
    )


def test_without_torch_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SettingsError, match=r"pip install 'qupath-her2\[learn\]'"):
        fit_rings(np.zeros((600, 36, 3), np.float16), truth_of(600))


def test_fewer_cells_than_a_batch_are_refused() -> None:
    pytest.importorskip("torch", reason="NOT TESTED: fitting needs torch (extra learn)")
    with pytest.raises(SettingsError, match="7 cells are fewer than one batch of 512"):
        fit_rings(np.zeros((7, 36, 3), np.float16), truth_of(7))
