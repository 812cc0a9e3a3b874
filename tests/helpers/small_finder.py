"""A tumour finder of two small trees, whose judgement is plain to see: tests of what follows need no trained ones."""

from __future__ import annotations

import numpy as np

from qupath_her2.cells.nuclei.trees import Trees

__all__ = ["small_finder", "stump"]


def stump(column: int, threshold: float = 0.0, step: float = 2.0) -> Trees:
    """Log-odds of +step where a column is above the threshold, else -step."""
    return Trees(
        root=np.array([0], np.int32),
        feature=np.array([column, -1, -1], np.int16),
        threshold=np.array([threshold, 0, 0], np.float32),
        left=np.array([1, 1, 2], np.int32),
        right=np.array([2, 1, 2], np.int32),
        value=np.array([0, -step, step], np.float32),
        baseline=0.0,
    )


def small_finder() -> dict[str, Trees]:
    """Both passes take a cell for tumour where its first column is above 0."""
    return {"first": stump(0), "second": stump(0)}
