"""Calibration: cut-points fitted to labelled cells, tried on cases that the fit has not seen, kept if they are better.

Accuracy is the share of labelled cells whose class is that of the label, with a 95 % interval from resamples of whole
cases; before and after are of the same cells. "Before" is the profile that would be replaced, else the built-in
cut-points. An older profile may have been fitted to some of these cells, which favours it; never the new one. Cells
chosen by the queue lie near cut-points, so that these accuracies are lower than those of a whole slide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.cells.profiles import Profile
from qupath_her2.errors import ReviewError
from qupath_her2.records import CELL_CLASSES
from qupath_her2.review.cut_point_fit import LabelledCells, classes_of, fit_class_model, fit_cut_points
from qupath_her2.scoring.agreement.resampling import case_weights
from qupath_her2.setting_ranges import Range, Seed, check_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.review.label_groups import LabelGroup

__all__ = ["CalibrationSettings", "Share", "calibrate", "check_labels", "figures_words"]


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """Limits of a calibration.

    Attributes
    ----------
    min_cells, min_cases
        Fewest labelled cells and cases: one case always stays out of the fit, and two must be left.
    folds
        Parts of the cross-validation; each case is one where there are fewer.
    model_min_cells, model_min_cases, model_min_class
        Fewest cells, cases, and cells of each class from which a class model is tried.
    seed
        Of the order of cases.
    """

    min_cells: Annotated[int, Range(1, 100_000)] = 30
    min_cases: Annotated[int, Range(2, 1000)] = 3
    folds: Annotated[int, Range(2, 100)] = 10
    model_min_cells: Annotated[int, Range(1, 1_000_000)] = 300
    model_min_cases: Annotated[int, Range(2, 1000)] = 5
    model_min_class: Annotated[int, Range(1, 100_000)] = 20
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class Share:
    """A share, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """In per cent."""
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"

    @property
    def json(self) -> dict[str, float]:
        """Rounded, for a profile."""
        return {name: round(getattr(self, name), 4) for name in ("value", "low", "high")}


def check_labels(group: LabelGroup, settings: CalibrationSettings | None = None) -> str:
    """Return why a group's labels do not suffice for a calibration, as a sentence; "" where they do."""
    s, n = settings or CalibrationSettings(), len(group.cells)
    n_cases = len(np.unique(group.cells.case))
    if n < s.min_cells or n_cases < s.min_cases:
        return (
            f"{n} labelled cells of {n_cases} case{'s' * (n_cases != 1)} are too few: at least {s.min_cells} of "
            f"{s.min_cases} cases are needed, since a case is judged by cut-points that it took no part in"
        )
    if group.n_corrected == n:
        return (
            f"all {n} labelled cells are corrections, and nothing says which cells were right as they were. Pass "
            "--queue-reviewed if all cells of the queue were looked at, or label a blind list"
        )
    return ""


def calibrate(
    group: LabelGroup,
    name: str,
    current: Profile | None,
    *,
    version: str,
    settings: CalibrationSettings | None = None,
    now: datetime | None = None,
) -> Profile:
    """Fit cut-points to the labelled cells of a scanner, stain and laboratory, if they are better on unseen cases.

    Parameters
    ----------
    group
        The labelled cells.
    name
        Name of the profile.
    current
        The profile that would be replaced; None for the built-in cut-points.
    version
        Of the program, for the origin.
    settings
        Limits.
    now
        Time of the profile; None takes the clock.

    Returns
    -------
    Profile
        Fitted to all cells; its figures are of cross-validation by case.

    Raises
    ------
    ReviewError
        There are too few labels, or the fit is no better on cases that it has not seen; the message has the figures.
    """
    s = settings or CalibrationSettings()
    problem = check_labels(group, s)
    if problem:
        raise ReviewError(f"No profile for {group.place.words}: {problem}.")
    cells = group.cells
    before = _classes_before(cells, current)
    folds = _folds(cells.case, s)
    after = _cross_validated(cells, folds, _by_cut_points)
    figures = _figures(cells, before, after, folds)
    model = None
    if _can_try_model(cells, s):
        modelled = _cross_validated(cells, folds, _by_model)
        gain = _difference(cells, modelled, after)
        figures["class_model_gain"] = gain.json
        if gain.low > 0:
            model = fit_class_model(cells)
            figures = {**_figures(cells, before, modelled, folds), "class_model_gain": gain.json}
    difference = figures["difference"]
    if difference["value"] <= 0 or difference["low"] < 0:
        against = "the built-in cut-points" if current is None else f"profile {current.name}"
        raise ReviewError(
            f"No profile for {group.place.words}: fitted cut-points are not better than {against} on cases that they "
            f"have not seen: {figures_words(figures)}. Nothing was replaced; more labels of more cases may change that."
        )
    time = (now or datetime.now(timezone.utc)).astimezone(timezone.utc)
    origin = {
        "labelled_by": dict(group.labelled_by),
        "cells": len(cells),
        "cases": len(np.unique(cells.case)),
        "images": list(group.images),
        "version": version,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "inputs": group.digest,
    }
    return Profile(name, group.place, fit_cut_points(cells), origin, figures, model)


def figures_words(figures: dict[str, Any]) -> str:
    """Return the figures of a calibration in words."""
    before, after, difference = (Share(**figures[key]) for key in ("before", "after", "difference"))
    return (
        f"{after.words} of {figures['cells']} cells of {figures['cases']} cases right, before {before.words}; "
        f"difference {100 * difference.value:+.1f} points ({100 * difference.low:+.1f} to "
        f"{100 * difference.high:+.1f})"
    )


def _classes_before(cells: LabelledCells, current: Profile | None) -> NDArray[np.uint8]:
    if current is None:
        return classes_of(cells, GradingSettings())
    return classes_of(cells, current.cut_points, current.classifier)


def _by_cut_points(train: LabelledCells) -> Callable[[LabelledCells], NDArray[np.uint8]]:
    fitted = fit_cut_points(train)
    return lambda test: classes_of(test, fitted)


def _by_model(train: LabelledCells) -> Callable[[LabelledCells], NDArray[np.uint8]]:
    fitted, model = fit_cut_points(train), fit_class_model(train)
    return lambda test: classes_of(test, fitted, model)


def _can_try_model(cells: LabelledCells, s: CalibrationSettings) -> bool:
    per_class = np.bincount(cells.label, minlength=len(CELL_CLASSES))
    enough = len(cells) >= s.model_min_cells and len(np.unique(cells.case)) >= s.model_min_cases
    return enough and bool(per_class.min() >= s.model_min_class)


def _folds(case: NDArray[np.str_], s: CalibrationSettings) -> NDArray[np.intp]:
    """Return the part of each cell, int (N); all cells of a case are in one."""
    names, which = np.unique(case, return_inverse=True)
    order = np.random.default_rng(s.seed).permutation(len(names))
    return np.asarray((order % min(s.folds, len(names)))[which], np.intp)


def _cross_validated(
    cells: LabelledCells,
    folds: NDArray[np.intp],
    fit: Callable[[LabelledCells], Callable[[LabelledCells], NDArray[np.uint8]]],
) -> NDArray[np.uint8]:
    """Return the class of each cell by what was fitted to the cases of the other folds."""
    classes = np.zeros(len(cells), np.uint8)
    for fold in np.unique(folds):
        held_out = folds == fold
        classes[held_out] = fit(cells.where(~held_out))(cells.where(held_out))
    return classes


def _figures(
    cells: LabelledCells, before: NDArray[np.uint8], after: NDArray[np.uint8], folds: NDArray[np.intp]
) -> dict[str, Any]:
    confusion = np.zeros((len(CELL_CLASSES), len(CELL_CLASSES)), int)
    np.add.at(confusion, (cells.label, after), 1)
    zero = np.zeros(len(cells))
    return {
        "cells": len(cells),
        "cases": len(np.unique(cells.case)),
        "folds": len(np.unique(folds)),
        "before": _share(cells, (before == cells.label) - zero).json,
        "after": _share(cells, (after == cells.label) - zero).json,
        "difference": _difference(cells, after, before).json,
        "confusion_after": confusion.tolist(),
    }


def _difference(cells: LabelledCells, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Share:
    """Return how much more often one classification is right, with its interval."""
    return _share(cells, (one == cells.label).astype(float) - (other == cells.label))


def _share(cells: LabelledCells, values: NDArray[np.float64]) -> Share:
    """Return the mean of a value of each cell, with the interval from resamples of whole cases."""
    weights = case_weights(cells.case.tolist())
    means = weights @ values / np.maximum(weights.sum(1), 1)
    low, high = np.quantile(means[1:], [0.025, 0.975])
    return Share(float(means[0]), float(low), float(high))
