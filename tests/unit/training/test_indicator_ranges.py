"""Fitting and evaluating ranges on labelled slides, without pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.errors import PatchError, ScoringError
from qupath_her2.patches.datasets.sources import SourceImage
from qupath_her2.records import CaseInfo
from qupath_her2.scoring.indicators.applicability import MeasuredOn
from qupath_her2.scoring.indicators.ranges import decide
from qupath_her2.scoring.indicators.slide import SlideIndicators
from qupath_her2.scoring.rules import SCORES
from qupath_her2.training.indicator_ranges import (
    LabelledSlide,
    check_labels,
    evaluate_slides,
    fit_slides,
)

WHERE = MeasuredOn("aperio SS1", "HER2", 0.5, "regions", "ab")
#: Intensity 0.35 of 2+ and 3+ alike: only the ratios separate them.
CENTRES = {"0": (0.0, 0.01, 0.0), "1+": (0.2, 0.2, 0.05), "2+": (0.35, 0.4, 0.2), "3+": (0.35, 0.8, 0.6)}


def slides(n_cases: int = 5, seed: int = 0, **where: object) -> list[LabelledSlide]:
    """Return two slides of each case of each score."""
    rng = np.random.default_rng(seed)
    made = []
    for label, centre in CENTRES.items():
        for case in range(n_cases):
            for number in range(2):
                values = np.clip(np.array(centre) + rng.uniform(-0.02, 0.02, 3), 0, 1).tolist()
                measured = SlideIndicators(*values, n_patches=9, n_cells=500)
                name = f"{label} {case} {number}"
                made.append(
                    LabelledSlide(
                        name, f"{label} {case}", label, measured, replace(WHERE, **where), f"sha {name}"
                    )
                )
    return made


def test_all_three_indicators_tell_what_intensity_alone_does_not() -> None:
    fit, figures = fit_slides(slides(), "ours")
    # 2+ and 3+ have the same intensity: alone, it gets about half of these ten cases wrong. With the ratios only those
    # are wrong whose intensity lies in the other score's range alone, where it outranks them.
    assert 10 <= figures.by_intensity.accuracy.k < figures.by_all.accuracy.k
    assert figures.by_all.accuracy.k >= 18
    by_hand = sum(answer.by_all == answer.label for answer in figures.answers)
    assert (fit.ranges.name, fit.ranges.n_cases, fit.ranges.right) == ("ours", 20, by_hand)
    made = fit.ranges.fitted_on
    assert made is not None
    assert (made.scanners, made.area, made.pixel_size_um) == (("aperio SS1",), "regions", (0.5, 0.5))
    assert len(made.images) == 40


def test_a_table_is_evaluated_on_others_and_refuses_another_scanner() -> None:
    fit, _ = fit_slides(slides(), "ours")
    others = slides(seed=1)
    right = sum(decide(one.measured.values(), fit.ranges).score == one.label for one in others)
    assert right >= 36
    figures = evaluate_slides(others, fit.ranges, min_cells=100)
    assert (figures.by_all.accuracy.k, figures.by_all.accuracy.n) == (right, 40)
    foreign = slides(seed=1, scanner="hamamatsu C13220")
    figures = evaluate_slides(foreign, fit.ranges, min_cells=100)
    assert (figures.by_all.not_assessable.k, figures.by_all.accuracy.n) == (40, 0)
    assert figures.by_intensity.not_assessable.k == 40
    accepted = evaluate_slides(foreign, fit.ranges, min_cells=100, accept=True)
    assert accepted.by_all.accuracy.k == right


def test_few_cells_are_not_assessable_for_both() -> None:
    fit, _ = fit_slides(slides(), "ours")
    few = [replace(one, measured=replace(one.measured, n_cells=10)) for one in slides(seed=1)[:2]]
    figures = evaluate_slides([*few, *slides(seed=1)[2:]], fit.ranges, min_cells=100)
    assert figures.by_all.not_assessable.k == figures.by_intensity.not_assessable.k == 2


def test_slides_with_a_problem_are_left_out_of_the_fit_and_count_as_unassessed() -> None:
    broken = LabelledSlide("x", "X", "3+", problem="out of focus")
    fit, _ = fit_slides([*slides(), broken], "ours")
    assert fit.ranges.n_cases == 20
    figures = evaluate_slides([*slides(seed=1), broken], fit.ranges, min_cells=100)
    assert figures.by_all.not_assessable.k == 1


def test_mixed_areas_and_no_slides_are_refused() -> None:
    mixed = [*slides(), *slides(area="all tissue")]
    with pytest.raises(ScoringError, match=r"different areas \(40 in all tissue, 40 in regions\)"):
        fit_slides(mixed, "ours")
    with pytest.raises(ScoringError, match=r"No slide has a label and indicators \(x: out of focus\)"):
        fit_slides([LabelledSlide("x", "X", "3+", problem="out of focus")], "ours")


def image(label: str | None, **other: object) -> SourceImage:
    return SourceImage("id", "a.png", path=None, label=label, **other)  # type: ignore[arg-type]


def test_labels_are_checked_before_anything_is_measured() -> None:
    check_labels([image(score) for score in SCORES], needs_every_score=True)
    check_labels([image("2+"), image(None)], needs_every_score=False)
    # 2+ with an ISH result is 2+, and a control's label does not count.
    check_labels([image(s) for s in ("0", "1+", "2+ ISH-", "3+")], needs_every_score=True)
    with pytest.raises(ScoringError, match="No image is labelled 3\\+"):
        check_labels(
            [*(image(s) for s in SCORES[:3]), image("3+", problem="it is a control", case=CaseInfo())],
            needs_every_score=True,
        )
    with pytest.raises(ScoringError, match="No image is labelled 0, 1"):
        check_labels([image(None)], needs_every_score=False)
    with pytest.raises(PatchError, match="'strong'"):
        check_labels([image("strong")], needs_every_score=False)
