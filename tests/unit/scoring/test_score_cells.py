"""Scores of regions and images: pooling, refusals, reasons, stability, clusters, and score.json."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import ExchangeError, ScoringError, SettingsError
from qupath_her2.project.exchange.score_files import read_score, score_json
from qupath_her2.records import CaseInfo, Refusal
from qupath_her2.scoring.score_cells import ScoringSettings, score_cells

BREAST, RESECTION = CaseInfo(), CaseInfo(site="gastric")
BIOPSY = CaseInfo(site="gastric", specimen="biopsy")


def score(cells, case=BREAST, how=None, regions=1, **more):
    """Score cells assigned to regions in turn."""
    intensity, pattern = cells
    region = (np.arange(len(intensity)) % max(regions, 1)).astype(np.int32)
    ids = [f"region-{number}" for number in range(regions)]
    return score_cells(intensity, pattern, region, ids, case=case, settings=how or ScoringSettings(), **more)


def test_the_reason_and_figures_of_a_slide(facts):
    classes, slide = score(facts({"moderate complete": 1935, "none": 8412 - 1935}))
    assert slide.reason == (
        "2+: 23.0 % of 8,412 tumour cells show weak to moderate complete staining "
        "(95 % CI 22.1 to 23.9; cut-off 10 %). ISH is needed. Research use only."
    )
    assert slide.status == "scored"
    assert np.bincount(classes).tolist() == [8412 - 1935, 0, 1935]
    assert slide.shares["Tumor: 2+"] == pytest.approx(1935 / 8412)
    assert slide.intervals["Tumor: 2+"] == pytest.approx((0.221, 0.239), abs=5e-4)
    assert slide.h_score == pytest.approx(200 * 1935 / 8412)
    assert slide.complete_share == pytest.approx(1935 / 8412)
    assert slide.cells_to_next_score == 842
    assert slide.guideline == "ASCO/CAP breast 2018/2023"


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"intense complete": 450, "none": 550}, "3+: 45.0 % of 1,000 tumour cells show intense complete"),
        (
            {"intense complete": 60, "moderate complete": 90, "none": 850},
            "complete staining or stronger (95 % CI",
        ),
        (
            {"intense complete": 60, "none": 940},
            "cut-off 10 %), reported as heterogeneous. ISH is needed.",
        ),
        ({"moderate lateral": 300, "none": 700}, "an uncommon pattern. ISH is needed."),
        ({"faint incomplete": 300, "none": 700}, "1+: 30.0 % of 1,000 tumour cells show faint incomplete"),
        ({"faint incomplete": 1001, "none": 8999}, "1+: 10.01 % of 10,000"),
        ({"faint incomplete": 30, "none": 970}, "0: 3.0 % of 1,000 tumour cells show any membrane staining"),
    ],
)
def test_reasons(facts, cells, words):
    reason = score(facts(cells))[1].reason
    assert words in reason
    assert reason.endswith("Research use only.")


def test_an_ish_result_replaces_the_request_for_ish(facts):
    case = CaseInfo(her2_cep17_ratio=1.1, her2_copies=2.2)
    slide = score(facts({"moderate complete": 300, "none": 700}), case)[1]
    assert "ISH group 5: negative." in slide.reason
    assert "ISH is needed" not in slide.reason
    assert "HER2-low" in slide.tags


def test_cells_pool_over_regions_and_shares_are_not_averaged():
    # 100 cells all 3+ in one region, 1,900 unstained in the other: 5 % pooled, 50 % as a mean of shares.
    intensity = np.repeat(np.array([3, 0], np.uint8), [100, 1900])
    region = np.repeat(np.array([0, 1], np.int32), [100, 1900])
    _, slide = score_cells(
        intensity, intensity, region, ["hot", "cold"], case=BREAST, settings=ScoringSettings()
    )
    assert slide.shares["Tumor: 3+"] == 0.05
    assert slide.score == "2+"
    assert (slide.regions["hot"].score, slide.regions["cold"].score) == ("3+", "0")
    assert slide.n_cells == 2000 == sum(region.n_cells for region in slide.regions.values())


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=100, max_size=200), st.integers(1, 5)
)
def test_the_image_score_does_not_depend_on_the_regions(pairs, regions):
    cells = tuple(np.array(column, np.uint8) for column in zip(*pairs, strict=True))
    whole, cut = score(cells)[1], score(cells, regions=regions)[1]
    assert replace(whole, regions={}) == replace(cut, regions={})
    assert sum(whole.shares.values()) == pytest.approx(1)


def test_twenty_cells_are_refused_and_keep_their_shares(facts):
    classes, slide = score(facts({"intense complete": 20}))
    assert (slide.status, slide.score, slide.refusal_code) == ("not assessable", None, "too_few_cells")
    assert slide.reason == (
        "Not assessable: 20 measured tumour cells are too few (at least 100 needed). Research use only."
    )
    assert slide.shares["Tumor: 3+"] == 1
    assert slide.cells_to_next_score is None
    assert slide.tags == ()
    assert set(classes.tolist()) == {3}


def test_the_smallest_number_of_cells_that_is_scored(facts):
    assert score(facts({"none": 99}))[1].score is None
    assert score(facts({"none": 100}))[1].score == "0"


def test_unmeasured_cells_are_not_counted(facts):
    intensity, pattern = facts({"intense complete": 99, "none": 50})
    intensity[-50:] = 255
    classes, slide = score((intensity, pattern))
    assert slide.refusal_code == "too_few_cells"
    assert slide.n_cells == 99
    assert "50 of 149 cells have no membrane measurement and are not counted." in slide.warnings
    assert (classes == 255).sum() == 50


@pytest.mark.parametrize(("n_told", "n_warnings"), [(0, 1), (48, 1), (49, 0), (50, 0)])
def test_unmeasured_cells_are_not_told_of_twice(facts, n_told, n_warnings):
    intensity, pattern = facts({"intense complete": 100, "none": 50})
    intensity[-50:] = 255
    slide = score((intensity, pattern), n_told=n_told)[1]
    assert len([line for line in slide.warnings if "no membrane measurement" in line]) == n_warnings


def test_a_refusal_removes_the_cell_classes(facts):
    refusal = Refusal("not_membrane", "the stain is not a membrane stain.")
    classes, slide = score(facts({"intense complete": 500}), refusal=refusal, regions=2, warnings=["first"])
    assert slide.reason == "Not assessable: the stain is not a membrane stain. Research use only."
    assert (slide.refusal_code, slide.shares, slide.h_score) == ("not_membrane", {}, None)
    assert {region.refusal_code for region in slide.regions.values()} == {"not_membrane"}
    assert set(classes.tolist()) == {255}
    assert slide.warnings == ("first",)


def test_no_region_is_refused(facts):
    slide = score(facts({}), regions=0)[1]
    assert slide.refusal_code == "no_tumour_region"
    assert slide.score is None


def test_an_empty_region_is_listed(facts):
    slide = score_cells(*facts({"none": 200}), np.zeros(200, np.int32), ["full", "empty"], case=BREAST,
                        settings=ScoringSettings())[1]  # fmt: skip
    assert slide.score == "0"
    assert slide.regions["empty"].refusal_code == "too_few_cells"
    assert slide.regions["empty"].shares == {}


def test_tma_cores_are_scored_and_their_slide_is_not(facts):
    slide = score(facts({"none": 400}), how=ScoringSettings(pool_regions=False), regions=2)[1]
    assert slide.score is None
    assert slide.refusal_code == "tma_cores"
    assert [region.score for region in slide.regions.values()] == ["0", "0"]


def test_null_states_the_noise_floor_and_ultralow_starts_above_it(facts):
    # 97.5 % quantile of Binomial(1000, 0.005) is 10.
    assert "HER2-null at a noise floor of 0.5 %" in score(facts({"faint lateral": 10, "none": 990}))[1].tags
    assert "HER2-ultralow" in score(facts({"faint lateral": 11, "none": 989}))[1].tags
    letter = ScoringSettings(noise_floor=0.0)
    assert "HER2-ultralow" in score(facts({"faint lateral": 1, "none": 999}), how=letter)[1].tags
    assert "HER2-null at a noise floor of 0 %" in score(facts({"none": 999}), how=letter)[1].tags


def test_one_misclassified_cell_is_not_a_heterogeneous_tumour(facts):
    slide = score(facts({"intense complete": 1, "none": 999}))[1]
    assert slide.score == "0"
    assert any(tag.endswith("within the noise floor)") for tag in slide.tags)
    assert (
        score(facts({"intense complete": 1, "none": 999}), how=ScoringSettings(noise_floor=0))[1].score
        == "2+"
    )


def test_stability_under_shifted_cut_points(facts):
    cells = facts({"moderate complete": 300, "none": 700})
    shifts = []

    def steady(shift):
        shifts.append(shift)
        return cells

    assert "stable at cut-points ±10 %" in score(cells, regrade=steady)[1].tags
    assert shifts == [-0.1, 0.1]
    lower = facts({"intense complete": 300, "none": 700})
    slide = score(cells, regrade=lambda shift: lower if shift < 0 else cells)[1]
    assert slide.score == "2+"
    assert slide.warnings == (
        "The score 2+ depends on the cut-points: 3+ with cut-points 10 % lower, 2+ with cut-points 10 % higher.",
    )


def line_of_cells(step_um, number=5, others=95):
    """Return a row of intense lateral cells `step_um` apart, with unstained cells far away."""
    x = np.concatenate([np.arange(number) * step_um, 1e4 + np.arange(others)])
    xy = np.column_stack([x, np.zeros(len(x))])
    codes = np.repeat(np.array([1, 0], np.uint8), [number, others])
    return (codes * 3, codes * 2), xy


@pytest.mark.parametrize(
    ("step_um", "number", "expected"), [(20.0, 5, "3+"), (20.01, 5, "0"), (20.0, 4, "0")]
)
def test_biopsy_cluster_at_its_edges(step_um, number, expected):
    cells, xy = line_of_cells(step_um, number, others=200)
    slide = score(cells, BIOPSY, centroid_xy_um=xy)[1]
    assert slide.score == expected
    assert slide.cells_to_next_score is None
    assert "cluster" in slide.reason


def test_biopsy_reports_the_cluster_and_resection_differs():
    cells, xy = line_of_cells(10.0, 6, others=994)
    slide = score(cells, BIOPSY, centroid_xy_um=xy)[1]
    assert "3+: a cluster of 6 tumour cells shows strong complete, basolateral or lateral" in slide.reason
    assert score(cells, RESECTION)[1].score == "0"


def test_biopsy_needs_centroids():
    cells, xy = line_of_cells(10.0)
    with pytest.raises(ScoringError, match="centroids in µm"):
        score(cells, BIOPSY)
    with pytest.raises(ScoringError, match="do not match 100 cells"):
        score(cells, BIOPSY, centroid_xy_um=xy[:-1])
    xy[0] = np.nan
    with pytest.raises(ScoringError, match="not finite"):
        score(cells, BIOPSY, centroid_xy_um=xy)


def test_a_guideline_for_another_organ_gives_a_warning(facts):
    slide = score(facts({"none": 200}), RESECTION, ScoringSettings(guideline="csco-2021"))[1]
    assert slide.guideline == "CSCO breast 2021"
    assert any(
        "is a breast guideline, applied to a gastric specimen as requested" in line for line in slide.warnings
    )


def test_gastric_has_no_breast_tags(facts):
    case = CaseInfo(site="gastric", her2_cep17_ratio=3.0, her2_copies=9.0)
    slide = score(facts({"moderate complete": 200, "none": 200}), case)[1]
    assert slide.tags == ()
    assert slide.reason.endswith("ISH is needed. Research use only.")
    assert any("ISH values are ignored" in line for line in slide.warnings)


def test_control_specimens_say_so(facts):
    assert "control specimen" in score(facts({"none": 200}), CaseInfo(is_control=True))[1].tags


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_cells": 0},
        {"noise_floor": 0.06},
        {"noise_floor": -1},
        {"cluster_distance_um": 0},
        {"cut_shift": 1},
    ],
)
def test_settings_out_of_range(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        ScoringSettings(**wrong)


def test_a_region_index_out_of_range_is_refused(facts):
    intensity, pattern = facts({"none": 200})
    for region in (np.full(200, 1, np.int32), np.full(200, -1, np.int32), np.zeros(5, np.int32)):
        with pytest.raises(ScoringError, match="region index"):
            score_cells(intensity, pattern, region, ["only"], case=BREAST, settings=ScoringSettings())


def test_score_json_round_trip(facts):
    cells = facts({"moderate complete": 300, "faint incomplete": 100, "none": 700})
    for slide in (score(cells, regions=3)[1], score(facts({"none": 5}))[1]):
        assert read_score(score_json(slide)) == slide


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "format 2"),
        ({"status": "fine"}, "contradict each other"),
        ({"score": None}, "contradict each other"),
        ({"score": "4+"}, "contradict each other"),
        ({"n_cells": "many"}, "wrong type"),
        ({"intervals": {"Tumor: 3+": [0.1]}}, "wrong type"),
        ({"regions": []}, "expected an object"),
        ({"regions": {"a": 3}}, "region a is int"),
        ({"regions": {"a": {}}}, "region a lacks status"),
    ],
)
def test_damaged_score_json(facts, change, words):
    data = json.loads(score_json(score(facts({"none": 200}))[1])) | change
    with pytest.raises(ExchangeError, match=words):
        read_score(json.dumps(data).encode())
