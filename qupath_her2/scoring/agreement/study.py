"""Agreement study: every figure for one set of pairs, and mean and SD over the folds of a cross-validation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.agreement.confusion_matrix import (
    ClassFigures,
    CutFigures,
    Share,
    class_figures,
    confusion_matrix,
    cut_figures,
    off_by_two,
)
from qupath_her2.scoring.agreement.kappa import (
    BootstrapSettings,
    Estimate,
    Weights,
    draw_matrices,
    estimate_kappa,
)
from qupath_her2.scoring.agreement.probabilities import Calibration, calibration, class_areas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qupath_her2.scoring.agreement.pairs import Level, Pairs

__all__ = ["Agreement", "FoldFigure", "LEAKAGE_WARNING", "agreement", "agreement_over_folds", "figures_of"]

#: Opens the warning of figures that may be too optimistic.
LEAKAGE_WARNING = "patch-level, leakage possible"
#: Names of the equivocal class.
_EQUIVOCAL = ("2+", "equivocal")


@dataclass(frozen=True, slots=True)
class Agreement:
    """All figures of one agreement study. Figures without a value are NaN.

    Attributes
    ----------
    class_names, level
        As in `Pairs`.
    truth_by
        Source of the truth, in words.
    n, n_cases
        Numbers of pairs with a known truth and of their cases.
    not_assessable
        Proportion of these pairs without an answer. All figures but AUC and calibration leave them out.
    without_truth
        Number of further pairs, left out because their truth is unknown.
    matrix
        int64 (C, C), truth in rows, answers in columns.
    accuracy
        Proportion of pairs whose answer is the truth.
    classes
        Figures of each class against the rest.
    macro_f1
        Unweighted mean of the classes' F1; NaN if one is undefined.
    kappa
        {"none" | "linear" | "quadratic": estimate}; only "none" for nominal classes.
    cuts, off_by_two
        See `confusion_matrix`; empty and None for nominal classes.
    equivocal_truth, equivocal_answer
        Proportion of 2+ in the truth and in the answers; None if no class is equivocal.
    areas, macro_auc
        Area under the ROC curve, {class: 0..1}, and the unweighted mean.
    calibration
        Calibration of the most probable class.
    bootstrap
        Settings of the intervals of kappa.
    warnings
        Sentences to show with the figures.
    """

    class_names: tuple[str, ...]
    level: Level
    truth_by: str
    n: int
    n_cases: int
    not_assessable: Share
    without_truth: int
    matrix: NDArray[np.int64]
    accuracy: Share
    classes: tuple[ClassFigures, ...]
    macro_f1: float
    kappa: dict[Weights, Estimate]
    cuts: tuple[CutFigures, ...]
    off_by_two: Share | None
    equivocal_truth: Share | None
    equivocal_answer: Share | None
    areas: dict[str, float]
    macro_auc: float
    calibration: Calibration
    bootstrap: BootstrapSettings
    warnings: tuple[str, ...]


def agreement(
    pairs: Pairs,
    *,
    truth_by: str = "not stated",
    is_split_by_case: bool | None = None,
    settings: BootstrapSettings | None = None,
) -> Agreement:
    """Compute all agreement figures.

    Parameters
    ----------
    pairs
        From `make_pairs`.
    truth_by
        Source of the truth, e.g. ``two pathologists in consensus, ISH for 2+``; reviewers ask for it.
    is_split_by_case
        Whether no case of these pairs was used for training; None if unknown, which counts as no for patches.
    settings
        Bootstrap settings.

    Returns
    -------
    Agreement
        Every figure, with its warnings.

    Raises
    ------
    ScoringError
        No pair has a known truth.
    """
    if len(pairs) == 0:
        raise ScoringError(
            f"Nothing to compare: {pairs.without_truth} pairs, none with a true class. Provide the truth of some "
            "images as annotations, as metadata, or in cases.csv."
        )
    s = settings or BootstrapSettings()
    matrix = confusion_matrix(pairs)
    draws = draw_matrices(pairs, s)
    # One set of resamples serves all three kappas, so that their intervals are comparable.
    kinds: tuple[Weights, ...] = ("none", "linear", "quadratic") if pairs.is_ordered else ("none",)
    classes = class_figures(matrix, pairs.class_names)
    areas, macro_auc = class_areas(pairs)
    total = int(matrix.sum())
    # A reader or model that calls everything 2+ agrees well within one class: its share of 2+ gives it away.
    equivocal = next((n for n, name in enumerate(pairs.class_names) if name in _EQUIVOCAL), None)
    return Agreement(
        class_names=pairs.class_names,
        level=pairs.level,
        truth_by=truth_by,
        n=len(pairs),
        n_cases=len(np.unique(pairs.case)),
        not_assessable=Share(len(pairs) - total, len(pairs)),
        without_truth=pairs.without_truth,
        matrix=matrix,
        accuracy=Share(int(np.trace(matrix)), total),
        classes=classes,
        # np.mean and not nanmean: a macro mean over fewer classes would be another figure under the same name.
        macro_f1=float(np.mean([figures.f1 for figures in classes])),
        kappa={kind: estimate_kappa(matrix, draws, kind) for kind in kinds},
        cuts=cut_figures(matrix, pairs.class_names) if pairs.is_ordered else (),
        off_by_two=off_by_two(matrix) if pairs.is_ordered else None,
        equivocal_truth=None if equivocal is None else Share(int(matrix[equivocal].sum()), total),
        equivocal_answer=None if equivocal is None else Share(int(matrix[:, equivocal].sum()), total),
        areas=areas,
        macro_auc=macro_auc,
        calibration=calibration(pairs),
        bootstrap=s,
        warnings=_warnings(pairs, matrix, is_split_by_case),
    )


def _warnings(pairs: Pairs, matrix: NDArray[np.int64], is_split_by_case: bool | None) -> tuple[str, ...]:
    warnings = []
    unknown = pairs.unknown_cases if pairs.level != "case" else 0
    if unknown:
        warnings.append(
            f"{LEAKAGE_WARNING}: the case of {unknown} of {len(pairs)} pairs is unknown, so images of one patient may "
            "be on both sides of the split, and intervals are too narrow"
        )
    # Without a statement, patches are assumed to be split at random, a common mistake in published work.
    elif is_split_by_case is False or (is_split_by_case is None and pairs.level == "patch"):
        warnings.append(f"{LEAKAGE_WARNING}: images of one case may be on both sides of the split")
    elif pairs.level == "patch":
        warnings.append(
            "patch-level, split by case: a patch is not a patient, and patches of one case are similar"
        )
    if pairs.level == "patch":
        warnings.append(
            "Wilson intervals treat patches as independent and are too narrow; kappa intervals resample cases"
        )
    if absent := [name for name, row in zip(pairs.class_names, matrix, strict=True) if row.sum() == 0]:
        warnings.append(f"no assessed pair is truly {', '.join(absent)}: sensitivity is undefined")
    # The bootstrap resamples cases, so their number decides and not that of the pairs.
    n_cases = len(np.unique(pairs.case[pairs.answer >= 0]))
    if n_cases < 20:
        warnings.append(f"only {n_cases} assessed cases: bootstrap intervals are unreliable below about 20")
    return tuple(warnings)


@dataclass(frozen=True, slots=True)
class FoldFigure:
    """One figure over the folds of a cross-validation.

    Attributes
    ----------
    name
        Name of the figure.
    values
        Value in each fold; NaN where undefined.
    mean, sd
        Over the folds with a value; the SD is the sample SD (N - 1), NaN for a single fold. Folds share training
        cases, so it is not a standard error of the mean.
    """

    name: str
    values: tuple[float, ...]
    mean: float
    sd: float


def figures_of(one: Agreement) -> dict[str, float]:
    """Return the figures listed in the cross-validation table, by name."""
    return {
        "accuracy": one.accuracy.value,
        "macro F1": one.macro_f1,
        "macro AUC": one.macro_auc,
        **{f"kappa ({kind})": estimate.value for kind, estimate in one.kappa.items()},
        "calibration error": one.calibration.error,
        **{f"F1 {figures.name}": figures.f1 for figures in one.classes},
        **{f"AUC {name}": area for name, area in one.areas.items()},
    }


def agreement_over_folds(folds: Sequence[Agreement]) -> tuple[FoldFigure, ...]:
    """Return mean and SD of every figure over the test sets of a k-fold cross-validation.

    Raises
    ------
    ScoringError
        There are no folds, or their classes differ.
    """
    if not folds or any(fold.class_names != folds[0].class_names for fold in folds):
        raise ScoringError(
            f"Folds must have the same classes; got {[list(fold.class_names) for fold in folds] or 'no folds'}."
        )
    tables = [figures_of(fold) for fold in folds]
    return tuple(_fold_figure(name, tuple(table[name] for table in tables)) for name in tables[0])


def _fold_figure(name: str, values: tuple[float, ...]) -> FoldFigure:
    # Folds that lack a class have no value for it; a mean over the others is reported, with the fold values beside it.
    known = [value for value in values if math.isfinite(value)]
    return FoldFigure(
        name,
        values,
        float(np.mean(known)) if known else math.nan,
        float(np.std(known, ddof=1)) if len(known) > 1 else math.nan,
    )
