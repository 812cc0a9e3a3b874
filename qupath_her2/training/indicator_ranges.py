"""Ranges of the IHC indicators: fitted to labelled slides and evaluated on others, both split by case.

Che et al. 2023 (doi 10.3390/diagnostics13020263), Table 4 and Figure 9: a slide's score by staining intensity alone and
by all three indicators. Nothing here reads pixels: slides were measured by the method ``indicators``, and each run
keeps what it measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ScoringError
from qupath_her2.patches.tasks import TASKS, class_index, class_indices
from qupath_her2.project.exchange.runs import read_record
from qupath_her2.scoring.agreement.pairs import make_pairs
from qupath_her2.scoring.agreement.study import Agreement, agreement
from qupath_her2.scoring.indicators.applicability import MeasuredOn, objections
from qupath_her2.scoring.indicators.fit_ranges import RangeFit, fit_ranges
from qupath_her2.scoring.indicators.measured import MEASURED, read_measured
from qupath_her2.scoring.indicators.ranges import INDICATORS, FittedOn, IndicatorRanges, decide
from qupath_her2.scoring.indicators.slide import SlideIndicators, score_indicators
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from qupath_her2.patches.datasets.sources import SourceImage
    from qupath_her2.records import ImageResult

__all__ = [
    "Answer",
    "LabelledSlide",
    "RangeFigures",
    "check_labels",
    "evaluate_slides",
    "fit_slides",
    "labelled_slides",
]

#: The task whose labels are HER2 scores.
_TASK = TASKS["her2-4"]
#: Where the truth comes from, in words.
_TRUTH_BY = "labels of the images"


@dataclass(frozen=True, slots=True)
class LabelledSlide:
    """A measured slide with the score that people gave it.

    Attributes
    ----------
    name
        File name of the image.
    case
        Case id; None where none is given.
    label
        Score by people; None where there is none.
    measured, measured_on
        The indicators, and what the slide was like; None where it could not be measured.
    fingerprint
        Of the image file.
    problem
        Why the slide cannot be used; "" where it can.
    """

    name: str
    case: str | None
    label: str | None
    measured: SlideIndicators | None = None
    measured_on: MeasuredOn | None = None
    fingerprint: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A labelled slide or case, and its score by each method; None where it is not assessable."""

    name: str
    label: str
    by_all: str | None
    by_intensity: str | None


@dataclass(frozen=True, slots=True)
class RangeFigures:
    """Agreement with the labels by all three indicators and by staining intensity alone, with the answers."""

    by_all: Agreement
    by_intensity: Agreement
    answers: tuple[Answer, ...]


def check_labels(images: Sequence[SourceImage], *, needs_every_score: bool) -> None:
    """Raise where the labels cannot serve, before anything is measured.

    Parameters
    ----------
    images
        The images with label and case.
    needs_every_score
        Ranges are to be fitted, which needs a labelled image of each score.

    Raises
    ------
    PatchError
        A label is no HER2 score; the message lists all such.
    ScoringError
        Some score has no labelled image, or no image has a label.
    """
    known = [image for image in images if image.problem is None]
    found = class_indices(_TASK, [image.label for image in known], [image.case for image in known])
    missing = [score for code, score in enumerate(SCORES) if code not in found]
    if missing and (needs_every_score or len(missing) == len(SCORES)):
        raise ScoringError(
            f"No image is labelled {', '.join(missing)}. Write the HER2 score that people gave each image into a "
            "column 'label' of cases.csv, with at least two cases of each score."
        )


def labelled_slides(
    results: Sequence[ImageResult], images: Sequence[SourceImage]
) -> tuple[LabelledSlide, ...]:
    """Pair measured images with their labels.

    Parameters
    ----------
    results
        Results of the method ``indicators``, one per image.
    images
        The same images with label and case, by id.

    Returns
    -------
    tuple[LabelledSlide, ...]
        One per result; controls and images that could not be measured say why.

    Raises
    ------
    PatchError
        The label of an image is no HER2 score.
    """
    by_id = {image.id: image for image in images}
    return tuple(_labelled(result, by_id[result.image]) for result in results)


def _labelled(result: ImageResult, image: SourceImage) -> LabelledSlide:
    label = None
    if image.label is not None:
        index = class_index(_TASK, image.label, image.case)
        label = None if index is None else _TASK.class_names[index]
    slide = LabelledSlide(image.name, image.case.case, label, problem=image.problem or "")
    if slide.problem:
        return slide
    if label is None:
        return _with_problem(slide, "it has no label: add a column 'label' to cases.csv")
    if result.state == "failed" or result.score is None or result.run_dir is None:
        return _with_problem(slide, result.error or "it was not measured")
    # That no table applies yet is no fault of the slide.
    if result.score.refusal_code not in (None, "ranges_not_fitted"):
        return _with_problem(slide, result.score.reason)
    measured, where = read_measured((result.run_dir / MEASURED).read_bytes())
    fingerprint = read_record(result.run_dir).inputs["image"]
    return LabelledSlide(slide.name, slide.case, label, measured, where, fingerprint)


def _with_problem(slide: LabelledSlide, problem: str) -> LabelledSlide:
    return LabelledSlide(slide.name, slide.case, slide.label, problem=problem)


def fit_slides(slides: Sequence[LabelledSlide], name: str) -> tuple[RangeFit, RangeFigures]:
    """Fit ranges to labelled slides; each case is scored by a table that was fitted without it.

    Parameters
    ----------
    slides
        From `labelled_slides`; those with a problem are left out.
    name
        Name of the table, as the guideline of its scores.

    Returns
    -------
    fit
        The table, with what it was fitted to.
    figures
        Agreement of the held-out scores with the labels.

    Raises
    ------
    ScoringError
        A score has no measured case, or the slides were not measured alike.
    """
    used = _usable(slides)
    places = [slide.measured_on for slide in used if slide.measured_on is not None]
    areas = sorted({where.area for where in places})
    if len(areas) > 1:
        counts = ", ".join(f"{sum(w.area == area for w in places)} in {area}" for area in areas)
        raise ScoringError(
            f"The slides were measured in different areas ({counts}), whose ranges differ. Draw tumour regions in all "
            "of them, or choose images of one kind with --images."
        )
    sizes = [where.pixel_size_um for where in places]
    made = FittedOn(
        scanners=tuple(sorted({where.scanner for where in places})),
        stains=tuple(sorted({where.stain for where in places})),
        pixel_size_um=(min(sizes), max(sizes)),
        area=areas[0],
        settings=places[0].settings,
        images=tuple(sorted(slide.fingerprint for slide in used)),
    )
    # A slide without a case counts as its own; the prefix keeps its name apart from case ids.
    keys = [slide.case or f"image {slide.name}" for slide in used]
    named = {slide.case for slide in used if slide.case}
    values = np.array([slide.measured.values() for slide in used if slide.measured is not None])
    labels = [slide.label for slide in used if slide.label is not None]
    fit = fit_ranges(values, labels, keys, name, made)
    answers = tuple(Answer(one.case, one.label, one.by_all, one.by_intensity) for one in fit.held_out)
    return fit, _figures(answers, [one.name if one.name in named else None for one in answers])


def _usable(slides: Sequence[LabelledSlide]) -> list[LabelledSlide]:
    used = [slide for slide in slides if not slide.problem]
    if not used:
        reasons = "; ".join(f"{slide.name}: {slide.problem}" for slide in slides[:5])
        raise ScoringError(f"No slide has a label and indicators ({reasons or 'there is none'}).")
    return used


def evaluate_slides(
    slides: Sequence[LabelledSlide], ranges: IndicatorRanges, *, min_cells: int, accept: bool = False
) -> RangeFigures:
    """Score labelled slides by a decision table, and compare with their labels.

    Parameters
    ----------
    slides
        From `labelled_slides`; those without a label, and controls, are left out, and those that could not be measured
        count as not assessable.
    ranges
        The decision table.
    min_cells
        Fewest cells from which the two ratios are trusted.
    accept
        Score also slides to which the table does not apply.

    Returns
    -------
    RangeFigures
        Figures of both methods on the same slides.

    Raises
    ------
    ScoringError
        No slide has a label.
    """
    answers, cases = [], []
    for slide in slides:
        if slide.label is None:
            continue
        by_all = by_intensity = None
        if slide.measured is not None and slide.measured_on is not None:
            values = slide.measured.values()
            against = objections(values, ranges, slide.measured_on)
            score = score_indicators(
                slide.measured, ranges, min_cells=min_cells, objections=against, accept=accept
            )
            by_all = score.score
            # The same slides for both, so that the difference is that of the two ratios.
            by_intensity = None if by_all is None else decide(values, ranges, use=INDICATORS[:1]).score
        answers.append(Answer(slide.name, slide.label, by_all, by_intensity))
        cases.append(slide.case)
    return _figures(tuple(answers), cases)


def _figures(answers: tuple[Answer, ...], cases: Sequence[str | None]) -> RangeFigures:
    def compare(given: list[str | None]) -> Agreement:
        truth = [one.label for one in answers]
        pairs = make_pairs(truth, given, SCORES, cases=cases, level="slide")
        return agreement(pairs, truth_by=_TRUTH_BY, is_split_by_case=True)

    return RangeFigures(
        compare([one.by_all for one in answers]), compare([one.by_intensity for one in answers]), answers
    )
