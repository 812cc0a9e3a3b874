"""Classes that a person gave to cells, as a column of the table of cells, which stands above what was measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qupath_her2.records import CellTable

__all__ = ["CLASS_FACTS", "REVIEWER_CLASS", "with_reviewer_classes"]

#: Column of tables with corrected cells: the class that a person gave, 0..3 as in `CELL_CLASSES`; NaN for all others.
REVIEWER_CLASS = "HER2: Reviewer class"

#: Intensity and pattern that stand for each class. A person gives a class, not the staining behind it; these pairs have
#: that class in every guideline of `scoring.guidelines`.
CLASS_FACTS = ((0, 0), (1, 1), (2, 3), (3, 3))


def with_reviewer_classes(
    table: CellTable, intensity: NDArray[np.uint8], pattern: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return intensity and pattern in which the classes that a person gave stand above those measured.

    Parameters
    ----------
    table
        N cells.
    intensity, pattern
        uint8 (N), as graded.

    Returns
    -------
    tuple[NDArray[np.uint8], NDArray[np.uint8]]
        uint8 (N) twice; the arrays themselves where nobody corrected a class.
    """
    if REVIEWER_CLASS not in table.measurement_names:
        return intensity, pattern
    given = table.column(REVIEWER_CLASS)
    rows = np.flatnonzero(np.isfinite(given))
    facts = np.array(CLASS_FACTS, np.uint8)[given[rows].astype(np.intp)]
    intensity, pattern = intensity.copy(), pattern.copy()
    intensity[rows], pattern[rows] = facts[:, 0], facts[:, 1]
    return intensity, pattern
