from __future__ import annotations

import random
from typing import Any

import pytest

from qupath_her2.report import cohort_checks
from qupath_her2.report.cohort_checks import drifts, group_effects, month_of, outliers
from qupath_her2.report.cohort_table import COHORT_COLUMNS


def image(number: int, **values: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COHORT_COLUMNS)
    return row | {"image": f"s{number}", "level": "image", "status": "scored", "score": "2+", **values}


def test_months_are_those_of_dates() -> None:
    assert month_of(image(1, date="2026-11-30")) == "2026-11"
    assert month_of(image(1)) is None


def test_two_scanners_that_differ_are_told_with_their_effect() -> None:
    rows = [
        image(k, scanner="A" if k < 10 else "B", h_score=float(k), score="0" if k < 10 else "3+")
        for k in range(20)
    ]
    (effect,) = group_effects(rows)
    assert effect.by == "scanner"
    assert effect.counts == {"A": {"0": 10}, "B": {"3+": 10}}
    assert effect.medians == {"A": {"h_score": 4.5}, "B": {"h_score": 14.5}}
    # Ranks 1 to 10 against 11 to 20: H = 14.2857 by hand, epsilon squared = H / 19.
    assert effect.effects["h_score"] == pytest.approx(14.2857 / 19, abs=1e-4)
    assert effect.p_values["h_score"] < 0.001


@pytest.mark.parametrize("seed", range(5))
def test_statistics_are_those_of_scipy(seed: int) -> None:
    from scipy.stats import kruskal, spearmanr

    draw = random.Random(seed)
    # Rounded, so that many values are equal.
    groups = [[round(draw.gauss(k, 2), 0) for _ in range(8 + 3 * k)] for k in range(3)]
    p, effect = cohort_checks._kruskal(groups)
    h, expected = kruskal(*groups)
    assert (p, effect) == pytest.approx((expected, h / (sum(map(len, groups)) - 1)))
    x, y = [round(draw.random(), 1) for _ in range(40)], [draw.random() for _ in range(40)]
    assert cohort_checks._spearman(x, y) == pytest.approx(tuple(spearmanr(x, y)))


def test_equal_scanners_do_not_differ() -> None:
    draw = random.Random(1)
    rows = [image(k, scanner="AB"[k % 2], h_score=draw.gauss(100, 10)) for k in range(200)]
    (effect,) = group_effects(rows)
    assert effect.p_values["h_score"] > 0.05
    assert effect.effects["h_score"] < 0.02


def test_one_group_or_a_few_images_are_compared_with_nothing() -> None:
    assert group_effects([image(k, scanner="A", h_score=1.0) for k in range(9)]) == []
    (effect,) = group_effects([image(k, scanner="AB"[k % 2], h_score=float(k)) for k in range(6)])
    assert effect.p_values == {}
    # Without a value there is nothing to rank.
    (effect,) = group_effects([image(k, scanner="AB"[k % 2]) for k in range(20)])
    assert effect.p_values == {}


def test_staining_that_drifts_is_seen() -> None:
    rows = [
        image(
            k,
            date=f"2026-{1 + k // 10:02d}-{1 + k % 10:02d}",
            membrane_dab_od=0.3 + 0.01 * k,
            glass_grey=240.0,
        )
        for k in range(30)
    ]
    (drift,) = drifts(rows)
    assert (drift.name, drift.correlation) == ("membrane_dab_od", pytest.approx(1.0))
    assert drifts(rows[:4]) == []
    assert drifts([image(k, membrane_dab_od=float(k)) for k in range(9)]) == []


def test_a_slide_unlike_the_others_of_its_kind_is_an_outlier() -> None:
    values = [0.30, 0.31, 0.29, 0.30, 0.32, 0.28, 0.60]
    rows = [image(k, stain_kind="svs", membrane_dab_od=value) for k, value in enumerate(values)]
    (one,) = outliers(rows)
    assert (one.image, one.name, one.median) == ("s6", "membrane_dab_od", 0.30)
    # Median absolute deviation 0.01: 0.6745 * 0.3 / 0.01.
    assert one.z == pytest.approx(20.2, abs=0.1)
    # Of another kind it stands alone, and few or equal values have no outliers.
    assert outliers([*rows[:-1], image(9, stain_kind="ndpi", membrane_dab_od=0.6)]) == []
    assert outliers([image(k, stain_kind="svs", glass_grey=1.0 + (k == 8)) for k in range(9)]) == []
