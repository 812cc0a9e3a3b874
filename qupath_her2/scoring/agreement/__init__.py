"""How far answers agree with the truth: the statistics a reviewer of a diagnostic study expects.

`make_pairs` checks labels once; `agreement` computes every figure; `agreement_over_folds` gives mean and SD of a
cross-validation; `agreement_tables` and `write_agreement` make them readable. What has no value is NaN, what was not
assessable is counted and never becomes a class, and figures of patches carry their warning. Research use only.
"""

from __future__ import annotations

from qupath_her2.scoring.agreement.files import (
    agreement_csv,
    agreement_dict,
    agreement_json,
    write_agreement,
)
from qupath_her2.scoring.agreement.kappa import BootstrapSettings, Estimate, weighted_kappa
from qupath_her2.scoring.agreement.matrix import (
    ClassFigures,
    CutFigures,
    Share,
    class_figures,
    confusion_matrix,
    cut_figures,
)
from qupath_her2.scoring.agreement.pairs import Pairs, make_pairs
from qupath_her2.scoring.agreement.probabilities import (
    Calibration,
    area_under_roc,
    calibration,
    class_areas,
)
from qupath_her2.scoring.agreement.study import Agreement, FoldFigure, agreement, agreement_over_folds
from qupath_her2.scoring.agreement.tables import Table, agreement_tables, fold_table, table_text

__all__ = [
    "Agreement",
    "BootstrapSettings",
    "Calibration",
    "ClassFigures",
    "CutFigures",
    "Estimate",
    "FoldFigure",
    "Pairs",
    "Share",
    "Table",
    "agreement",
    "agreement_csv",
    "agreement_dict",
    "agreement_json",
    "agreement_over_folds",
    "agreement_tables",
    "area_under_roc",
    "calibration",
    "class_areas",
    "class_figures",
    "confusion_matrix",
    "cut_figures",
    "fold_table",
    "make_pairs",
    "table_text",
    "weighted_kappa",
    "write_agreement",
]
