from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import PLAIN_SHARES, PRESETS, preset

SMALL = {"width_px": 160, "height_px": 160}


def optical_density(rgb: np.ndarray) -> np.ndarray:
    return -np.log10(np.maximum(rgb, 1) / np.array([235.0, 234.0, 242.0]))


def breast_score(shares: tuple[float, ...]) -> str:
    """The guideline's cumulative reading of class shares, written out once more by hand."""
    if shares[3] > 0.1:
        return "3+"
    if shares[2] + shares[3] > 0.1:
        return "2+"
    return "1+" if sum(shares[1:]) > 0.1 else "0"


@pytest.mark.parametrize("score", list(PLAIN_SHARES))
def test_plain_fields_lie_well_away_from_cuts(score: str) -> None:
    shares = preset("score", score=score).shares
    assert breast_score(shares) == score
    for k in (1, 2, 3):
        assert abs(sum(shares[k:]) - 0.1) >= 0.05


@pytest.mark.parametrize(("score", "below"), [("3+", "2+"), ("2+", "1+"), ("1+", "0")])
@pytest.mark.parametrize("offset", [0.015, 0.03])
def test_near_cut_lies_on_the_requested_side(score: str, below: str, offset: float) -> None:
    assert breast_score(preset("near cut", score=score, offset=offset).shares) == score
    assert breast_score(preset("near cut", score=score, offset=-offset).shares) == below


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_draws(name: str) -> None:
    drawn = draw_field(preset(name, 3, **SMALL))
    assert drawn.rgb.shape == (160, 160, 3)
    assert drawn.rgb.dtype == np.uint8


def test_each_refused_preset_shows_its_defect() -> None:
    assert len(draw_field(preset("few cells", 1, **SMALL)).truth) == 20
    assert preset("coarse").pixel_size_um == 1.0
    glass = draw_field(preset("glass", 1, **SMALL))
    assert len(glass.truth) == 0
    assert glass.truth.tumour_region.is_empty
    assert np.median(optical_density(glass.rgb)) < 0.01
    score = draw_field(preset("score", 1, score="0", **SMALL))
    brown = [
        optical_density(draw_field(preset(n, 1, **SMALL)).rgb)[..., 2].mean()
        for n in ("cytoplasmic", "nuclear")
    ]
    assert min(brown) > 2 * optical_density(score.rgb)[..., 2].mean()


def green_share(name: str, **more: str) -> float:
    """Median share of green in the OD of stained pixels (the H&E gate of the prototype)."""
    od = optical_density(draw_field(preset(name, 1, **SMALL, **more)).rgb)
    stained = od.sum(axis=2) > 0.15
    return float(np.median(od[stained][:, 1] / od[stained].sum(axis=1)))


def test_h_and_e_is_pink_and_her2_is_not() -> None:
    assert green_share("h&e") > 0.45
    assert all(green_share("score", score=score) < 0.40 for score in PLAIN_SHARES)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="cytoplasmic"):
        preset("cytoplasm")
    with pytest.raises(SettingsError, match=r"3\+"):
        preset("score", score="4+")
    with pytest.raises(SettingsError, match="1\\+, 2\\+ or 3\\+"):
        preset("near cut", score="0")
    with pytest.raises(SettingsError, match="offset"):
        preset("near cut", offset=0.5)
    with pytest.raises(SettingsError, match="no widht_px"):
        preset("score", widht_px=3)
