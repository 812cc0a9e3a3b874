from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.synthetic.noise import MARGIN_UM, sample, smooth_field, stream


def test_streams_are_repeatable_and_apart() -> None:
    assert stream(3, "a").random() == stream(3, "a").random()
    assert len({stream(s, n).random() for s in (3, 4) for n in ("a", "b")}) == 4


@pytest.mark.parametrize("scale_um", [0.3, 2.0, 20.0])
def test_field_has_mean_0_and_sd_1(scale_um: float) -> None:
    drawn = smooth_field(stream(1, "x"), (200, 150), scale_um, 0.5)
    assert drawn.shape == (396, 496)
    assert drawn.mean() == pytest.approx(0, abs=0.1)
    assert drawn.std() == pytest.approx(1, abs=0.25 if scale_um < 1 else 0.1)


def test_field_falls_off_over_its_scale() -> None:
    drawn = smooth_field(stream(2, "x"), (300, 300), 3.0, 0.5)
    # Smoothing by sigma leaves a correlation of exp(-d²/4σ²): 1/e at d = 2σ, here 12 samples.
    assert (drawn[:, 12:] * drawn[:, :-12]).mean() == pytest.approx(np.exp(-1), abs=0.1)


def test_field_is_the_same_at_every_spacing_and_margin() -> None:
    fine, coarse = (smooth_field(stream(1, "x"), (60, 40), 1.0, step) for step in (0.125, 0.5))
    assert np.allclose(fine[::4, ::4], coarse[: fine[::4].shape[0]], atol=1e-3)
    tight = smooth_field(stream(1, "x"), (60, 40), 1.0, 0.5, margin_um=6.0)
    cut = round((MARGIN_UM - 6) / 0.5)
    assert np.allclose(tight, coarse[cut:-cut, cut:-cut], atol=1e-3)


def test_sample_reads_the_requested_point() -> None:
    values = np.arange(200 * 200, dtype=np.float32).reshape(200, 200)
    at = np.array([[0.0, 0.0], [10.0, 5.0], [-999.0, -999.0]])
    start = round(MARGIN_UM / 0.5)
    assert sample(values, at, 0.5).tolist() == [
        values[start, start],
        values[start + 10, start + 20],
        values[0, 0],
    ]
