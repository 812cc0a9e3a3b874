from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.cells.membrane.membrane_net import load_membrane_net, predict_membranes
from qupath_her2.cells.membrane.profile_features import FEATURE_NAMES
from qupath_her2.cells.membrane.train_membrane_net import (
    FIRST_SEED,
    LAST_SEED,
    TrainingCells,
    drawn_cells,
    field_settings,
    train_membrane_net,
)
from qupath_her2.learning.train.membrane_net_fit import MembraneFitSettings


def test_settings_are_determined_by_the_seed_and_cover_the_range() -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + 40)
    drawn = [field_settings(seed) for seed in seeds]
    assert drawn == [field_settings(seed) for seed in seeds]
    assert LAST_SEED > FIRST_SEED
    sizes = {s.pixel_size_um for s in drawn}
    assert {0.25, 0.5} < sizes
    assert all(0.2 <= size <= 0.5 for size in sizes)
    assert {s.contact for s in drawn} == {"quadrature", "sum"}
    assert len({s.shares for s in drawn}) >= 5
    assert all(s.width_px * s.pixel_size_um == pytest.approx(320, abs=0.3) for s in drawn)


def test_drawn_cells_carry_their_own_ground_truth() -> None:
    """Checked on a training seed at 0.5 µm that contains all classes."""
    seed = next(
        s for s in range(FIRST_SEED, LAST_SEED) if s % 8 == 7 and field_settings(s).pixel_size_um == 0.5
    )
    found = drawn_cells(seed)
    assert len(found.features) == len(found.own_od) == len(found.completeness) > 200
    assert np.isfinite(found.features).all()
    assert ((found.own_od > 0) == (found.completeness > 0)).all()
    # If cells and ground truth were misaligned, the readings would not correlate with it.
    read = (found.features[..., FEATURE_NAMES.index("step od")] > 0.05).mean(1)
    assert np.corrcoef(read, found.completeness)[0, 1] > 0.6


@pytest.mark.slow
def test_trained_network_can_be_loaded_and_has_learned(tmp_path: Path) -> None:
    """Features in which density and completeness can be read directly are learned from a few thousand cells."""
    pytest.importorskip("torch", reason="NOT TESTED: training the network needs torch (extra learn)")
    rng = np.random.default_rng(0)
    n, s = 4000, GradingSettings()
    level, share = rng.uniform(0, 0.8, n), rng.uniform(0, 1, n)
    rings = np.zeros((n, 36, len(FEATURE_NAMES)), np.float16)
    stained = (np.arange(36)[None] + rng.integers(0, 36, n)[:, None]) % 36 < 36 * share[:, None]
    rings[..., FEATURE_NAMES.index("step od")] = stained * level[:, None]
    rings[..., FEATURE_NAMES.index("radius um")] = rng.uniform(5, 8, (n, 36))
    part = TrainingCells(
        rings,
        level.astype(np.float32),
        share.astype(np.float32),
        np.digitize(level, [s.faint_od, s.moderate_od, s.intense_od]).astype(np.uint8),
        np.where(share > s.complete_from, 3, 1).astype(np.uint8),
    )
    # Equal weights for errors in both directions: others bias the estimates near a cut-point.
    even = MembraneFitSettings(epochs=12, batch_size=128, over_weights=(1, 1), over_complete_weight=1)
    train_membrane_net([part], tmp_path / "net.npz", even)
    # Joining the package's folder with an absolute path gives that path.
    found = predict_membranes(load_membrane_net(str(tmp_path / "net.npz"), FEATURE_NAMES), rings)
    clear = share > 0.2
    assert np.abs(found[clear, 0] ** 2 - level[clear]).mean() < 0.05
    assert np.abs(found[clear, 1] - share[clear]).mean() < 0.05
