"""Grading by a profile's class model: where it gives a cell another class than the cut-points, the model decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.cells.membrane.class_model import ClassModel, model_features
from qupath_her2.cells.reviewer_classes import CLASS_FACTS, with_reviewer_classes
from qupath_her2.records import NOT_MEASURED
from qupath_her2.runs.types import ChosenProfile
from qupath_her2.scoring.rules import cell_classes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from qupath_her2.cells.measure import MeasuredCells
    from qupath_her2.scoring.rules import Guideline
    from qupath_her2.scoring.score_cells import Regrade

__all__ = ["class_model_regrade", "stored_profile"]


def class_model_regrade(cells: MeasuredCells, model: ClassModel, guideline: Guideline) -> Regrade:
    """Return the regrading of cells by a class model.

    Parameters
    ----------
    cells
        N measured cells.
    model
        Gives each cell its class.
    guideline
        Its table gives the class of the cut-points' intensity and pattern.

    Returns
    -------
    Regrade
        A cell whose class is the same keeps its intensity and pattern, others take those that stand for the class;
        classes that a person gave stand above both.
    """
    features = model_features(cells.table)

    def regrade(shift: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        intensity, pattern = (one.copy() for one in cells.regrade(shift))
        # Cut-points 10 % higher are densities 10 % lower; all features but completeness are roots of densities.
        scale = np.full(features.shape[1], 1 / np.sqrt(1 + shift))
        scale[1] = 1
        found = model.classes(features * scale)
        own = cell_classes(intensity, pattern, guideline)
        rows = np.flatnonzero((found != own) & (found != NOT_MEASURED) & (own != NOT_MEASURED))
        facts = np.array(CLASS_FACTS, np.uint8)[found[rows]]
        intensity[rows], pattern[rows] = facts[:, 0], facts[:, 1]
        return with_reviewer_classes(cells.table, intensity, pattern)

    return regrade


def stored_profile(stored: Mapping[str, Any] | None) -> ChosenProfile | None:
    """Return the choice that ``run.json`` keeps; None where no profile was asked for.

    Raises
    ------
    KeyError, TypeError, ValueError
        The entry is damaged.
    """
    if stored is None:
        return None
    model = stored["classifier"]
    return ChosenProfile(
        str(stored["name"]),
        str(stored["sentence"]),
        str(stored["digest"]),
        None if model is None else ClassModel.from_json(model),
    )
