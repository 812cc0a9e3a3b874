from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.synthetic.fibres import fibres_round, smeared
from qupath_her2.synthetic.layout import LAYOUT_UM
from qupath_her2.synthetic.noise import MARGIN_UM
from qupath_her2.synthetic.settings import FieldSettings

SETTINGS = FieldSettings(width_px=120, height_px=160, seed=6)


@pytest.mark.parametrize("angle", [0.0, np.pi / 2])
def test_noise_is_smeared_along_the_direction_only(angle: float) -> None:
    noise = np.random.default_rng(1).standard_normal((120, 120), dtype=np.float32)
    drawn = smeared(noise, np.full(noise.shape, angle, np.float32), 6.0)
    assert drawn.mean() == pytest.approx(0, abs=1e-4)
    assert drawn.std() == pytest.approx(1, abs=1e-3)
    along, across = (
        np.corrcoef(np.roll(drawn, 3, axis)[10:-10, 10:-10].ravel(), drawn[10:-10, 10:-10].ravel())[0, 1]
        for axis in ((1, 0) if angle == 0 else (0, 1))
    )
    assert along > 0.6
    assert abs(across) < 0.15


def test_fibres_run_round_an_obstacle() -> None:
    shape = tuple(round((e + 2 * MARGIN_UM) / LAYOUT_UM) for e in SETTINGS.extent_um[::-1])
    rows, columns = np.indices(shape)
    y, x = rows - shape[0] / 2, columns - shape[1] / 2
    radius = np.hypot(x, y) * LAYOUT_UM
    fibres = fibres_round(SETTINGS, radius < 20)
    near = (radius > 24) & (radius < 36)
    # The angle between fibre and circle: 0 for a tangent, 45 degrees in the median for fibres at random.
    off = np.abs(np.cos(fibres.direction - np.arctan2(y, x)))[near]
    assert np.degrees(np.arcsin(np.median(off))) < 36
    assert np.allclose(fibres_round(SETTINGS, radius < 20).bands, fibres.bands)
