from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.synthetic.breast import TRAPS, breast_tissue, trap_tissue
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import PLAIN_SHARES, preset
from qupath_her2.synthetic.tissue import ARCHITECTURES

SEEDS = range(200)


def test_same_seed_same_tissue_and_many_seeds_cover_every_growth_pattern() -> None:
    assert breast_tissue(4, 0.5) == breast_tissue(4, 0.5)
    drawn = [breast_tissue(seed, 0.5) for seed in SEEDS]
    assert {name for one in drawn for name in one["tissue"].architectures} == set(ARCHITECTURES)
    for name in ("in_situ", "benign", "fat", "debris", "aggregates"):
        amounts = np.array([getattr(one["tissue"], name) for one in drawn])
        assert 0.2 < (amounts > 0).mean() < 0.8, name


def test_colours_stay_in_the_ranges_of_real_slides() -> None:
    for seed in SEEDS:
        drawn = breast_tissue(seed, 0.5)
        assert 170 < min(drawn["white"]) <= max(drawn["white"]) <= 255
        for name, low, high in (
            ("haematoxylin_vector", (0.58, 0.54, 0.34), (0.74, 0.68, 0.53)),
            ("dab_vector", (0.31, 0.50, 0.62), (0.48, 0.64, 0.81)),
        ):
            unit = np.array(drawn[name]) / np.linalg.norm(drawn[name])
            assert (unit >= low).all(), (name, unit)
            assert (unit <= high).all(), (name, unit)


def test_soft_pictures_were_taken_coarser_and_never_finer() -> None:
    taken = [breast_tissue(seed, 0.5)["captured_um_px"] for seed in SEEDS]
    soft = [one for one in taken if one is not None]
    assert 0.15 < len(soft) / len(taken) < 0.55
    assert 0.5 < min(soft) <= max(soft) <= 0.95
    assert breast_tissue(0, 1.0)["captured_um_px"] is None


@pytest.mark.parametrize("score", list(PLAIN_SHARES))
def test_breast_fields_have_the_shares_of_their_score(score: str) -> None:
    settings = preset("breast", 5, score=score)
    assert settings.shares == PLAIN_SHARES[score]
    assert settings.tissue is not None
    assert preset("breast", 5, score=score, white=(200, 200, 200)).white == (200, 200, 200)


@pytest.mark.parametrize("name", TRAPS)
def test_traps_show_what_they_are_named_for(name: str) -> None:
    settings = preset(name, 6, width_px=480, height_px=480)
    assert settings.tissue == trap_tissue(name, 6, 0.5)["tissue"]
    truth = draw_field(settings).truth
    kinds = set(truth.cell_kinds)
    if name in ("lymphocyte rings", "fat and stroma", "benign ducts"):
        assert len(truth) == 0
        assert truth.tumour_region.is_empty
    elif name == "in situ":
        assert kinds == {"in situ"}
    else:
        assert not truth.membrane_od.any()
        assert "invasive" in kinds
    needed = {"lymphocyte rings": "lymphocyte", "immune granules": "lymphocyte", "benign ducts": "duct"}
    assert needed.get(name, "stroma") in truth.other_kinds


def test_stain_of_a_trap_is_brown_without_a_tumour() -> None:
    size = {"width_px": 320, "height_px": 320}
    stained = preset("lymphocyte rings", 6, **size)
    assert stained.tissue is not None
    bare = replace(stained, tissue=replace(stained.tissue, immune_stain="none"))
    blue = [draw_field(one).rgb[..., 2].astype(float).mean() for one in (stained, bare)]
    assert blue[0] < blue[1] - 2
