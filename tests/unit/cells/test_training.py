from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qupath_her2.cells.features import FEATURE_NAMES
from qupath_her2.cells.training import FIRST_SEED, LAST_SEED, DrawnCells, drawn_cells, field_settings, grow
from qupath_her2.cells.trees import load_trees, predict


def test_settings_follow_from_the_seed_and_use_the_whole_range() -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + 40)
    drawn = [field_settings(seed) for seed in seeds]
    assert drawn == [field_settings(seed) for seed in seeds]
    assert LAST_SEED > FIRST_SEED
    assert {s.pixel_size_um for s in drawn} == {0.25, 0.5}
    assert {s.contact for s in drawn} == {"quadrature", "sum"}
    assert len({s.shares for s in drawn}) >= 5
    assert all(s.width_px * s.pixel_size_um == pytest.approx(320) for s in drawn)


def test_drawn_cells_carry_the_truth_of_their_own_nucleus() -> None:
    """Of seeds that are for growing only, one at 0.5 µm with every class."""
    seed = next(
        s for s in range(FIRST_SEED, LAST_SEED) if s % 8 == 7 and field_settings(s).pixel_size_um == 0.5
    )
    found = drawn_cells(seed)
    assert len(found.features) == len(found.own_od) == len(found.completeness) > 200
    assert np.isfinite(found.features).all()
    assert ((found.own_od > 0) == (found.completeness > 0)).all()
    # Were cells and truth out of step, what is read would not follow what was drawn.
    read = found.features[:, FEATURE_NAMES.index("share over 0.05")]
    assert np.corrcoef(read, found.completeness)[0, 1] > 0.6


def test_what_is_grown_can_be_loaded_and_has_learnt(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, 1, (1500, len(FEATURE_NAMES))).astype(np.float32)
    own_od, completeness = (0.8 * rows[:, 0]) ** 2, rows[:, 1]
    parts = [DrawnCells(rows[k::2], own_od[k::2], completeness[k::2]) for k in (0, 1)]
    with pytest.importorskip("threadpoolctl").threadpool_limits(1):
        grow(parts, tmp_path / "trees.npz")
    # Read from its folder instead of the package's: joining with a full path gives that path.
    loaded = load_trees(str(tmp_path / "trees.npz"), ("own_od_root", "completeness"), FEATURE_NAMES)
    new = rng.uniform(0, 1, (500, len(FEATURE_NAMES))).astype(np.float32)
    assert predict(loaded["own_od_root"], new) == pytest.approx(0.8 * new[:, 0], abs=0.1)
    assert predict(loaded["completeness"], new) == pytest.approx(new[:, 1], abs=0.1)
