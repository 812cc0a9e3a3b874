"""All figures of agreement of one set of pairs, and their spread over the folds of a cross-validation."""

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

#: What a figure is called that may flatter itself.
LEAKAGE_WARNING = "patch-level, leakage possible"
#: Class names that mean equivocal.
_EQUIVOCAL = ("2+", "equivocal")


@dataclass(frozen=True, slots=True)
class Agreement:
    """Everything that is said about truth and answers. Figures without a value are NaN.

    Attributes
    ----------
    class_names, level
        As in `Pairs`.
    truth_by
        Who set the truth, in words.
    n, n_cases
        Pairs with a truth, and their cases.
    not_assessable
        Of these pairs, those without an answer. All figures but AUC and calibration are over the others.
    without_truth
        Further pairs that were left out.
    matrix
        int64 (C, C), rows the truth, columns the answer.
    accuracy
        Pairs whose answer is the truth.
    classes
        Figures of each class against the rest.
    macro_f1
        Plain mean of the classes' F1; NaN where one has none.
    kappa
        {"none" | "linear" | "quadratic": estimate}; only "none" where classes are not ordered.
    cuts, off_by_two
        See `matrix`; empty and None where classes are not ordered.
    equivocal_truth, equivocal_answer
        Share of 2+ on both sides; None where no class means it.
    areas, macro_auc
        Area under the ROC curve, {class: 0..1} and their mean.
    calibration
        Of the most probable class.
    bootstrap
        How the intervals of kappa were drawn.
    warnings
        Sentences that belong beside the figures.
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
    """Compute all figures of agreement.

    Parameters
    ----------
    pairs
        From `make_pairs`.
    truth_by
        Who set the truth, e.g. ``two pathologists in consensus, ISH for 2+``; a reviewer asks for it.
    is_split_by_case
        Whether training saw no case of these pairs; None where nobody said, which patch-level figures
        take for no.
    settings
        Of the bootstrap.

    Raises
    ------
    ScoringError
        There is no pair with a truth.
    """
    if len(pairs) == 0:
        raise ScoringError(
            f"There is nothing to compare: {pairs.without_truth} pairs, none with a true class. Give the truth of "
            "some images, as annotations, as metadata, or in cases.csv."
        )
    s = settings or BootstrapSettings()
    matrix = confusion_matrix(pairs)
    draws = draw_matrices(pairs, s)
    kinds: tuple[Weights, ...] = ("none", "linear", "quadratic") if pairs.is_ordered else ("none",)
    classes = class_figures(matrix, pairs.class_names)
    areas, macro_auc = class_areas(pairs)
    total = int(matrix.sum())
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
    said = []
    unknown = pairs.unknown_cases if pairs.level != "case" else 0
    if unknown:
        said.append(
            f"{LEAKAGE_WARNING}: the case of {unknown} of {len(pairs)} is not known, so pictures of one patient may "
            "stand on both sides of the split, and intervals are too narrow"
        )
    elif is_split_by_case is False or (is_split_by_case is None and pairs.level == "patch"):
        said.append(f"{LEAKAGE_WARNING}: pictures of one case may stand on both sides of the split")
    elif pairs.level == "patch":
        said.append("patch-level, split by case: a patch is not a patient, and patches of one case are alike")
    if pairs.level == "patch":
        said.append(
            "Wilson intervals take patches as independent and are too narrow; those of kappa draw cases"
        )
    if absent := [name for name, row in zip(pairs.class_names, matrix, strict=True) if row.sum() == 0]:
        said.append(f"no assessed pair is truly {', '.join(absent)}: its sensitivity has no value")
    n_cases = len(np.unique(pairs.case[pairs.answer >= 0]))
    if n_cases < 20:
        said.append(f"only {n_cases} assessed cases: intervals by bootstrap are rough under about 20")
    return tuple(said)


@dataclass(frozen=True, slots=True)
class FoldFigure:
    """One figure over the folds of a cross-validation.

    Attributes
    ----------
    name
        Of the figure.
    values
        Of each fold; NaN where it has none.
    mean, sd
        Over the folds that have one; the SD divides by one less than their number and is NaN for one alone.
        Folds share training cases, so it is no standard error of the mean.
    """

    name: str
    values: tuple[float, ...]
    mean: float
    sd: float


def figures_of(one: Agreement) -> dict[str, float]:
    """Return the figures that a table of folds holds, by name."""
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
    """Return mean and SD of every figure over the test parts of a k-fold cross-validation.

    Raises
    ------
    ScoringError
        There are no folds, or their classes differ.
    """
    if not folds or any(fold.class_names != folds[0].class_names for fold in folds):
        raise ScoringError(
            f"Folds need the same classes; got {[list(fold.class_names) for fold in folds] or 'no folds'}."
        )
    tables = [figures_of(fold) for fold in folds]
    return tuple(_fold_figure(name, tuple(table[name] for table in tables)) for name in tables[0])


def _fold_figure(name: str, values: tuple[float, ...]) -> FoldFigure:
    known = [value for value in values if math.isfinite(value)]
    return FoldFigure(
        name,
        values,
        float(np.mean(known)) if known else math.nan,
        float(np.std(known, ddof=1)) if len(known) > 1 else math.nan,
    )
