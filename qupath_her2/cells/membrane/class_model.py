"""A small ordinal model of a cell's class: proportional odds with weights that are never negative.

``P(class >= k) = 1 / (1 + exp(level_k - weights . x))`` for k = 1, 2, 3 (McCullagh 1980, doi
10.1111/j.2517-6161.1980.tb01109.x), with rising levels, where x are the root of the density of the own membrane, the
completeness, the roots of two densities as measured, and the product of the first two: a membrane must be both dense
and complete to be 3+. More staining can only raise the class, which holds between
the labelled cells too. It is used where labels suffice to show that it is better than cut-points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.records import NOT_MEASURED, CellTable

__all__ = ["MODEL_MEASUREMENTS", "N_FEATURES", "ClassModel", "model_features"]

#: Measurements of the model; of densities the root is taken, as the membrane network does.
MODEL_MEASUREMENTS: tuple[str, ...] = (
    "HER2: Membrane own DAB OD",
    "HER2: Membrane completeness",
    "HER2: Membrane DAB OD mean",
    "HER2: Membrane DAB OD p20",
)
N_FEATURES = len(MODEL_MEASUREMENTS) + 1


@dataclass(frozen=True, slots=True)
class ClassModel:
    """Fitted model.

    Attributes
    ----------
    weights
        One for each of `MODEL_MEASUREMENTS`, then that of the product; none negative.
    levels
        Three rising numbers, at which 1+, 2+ and 3+ begin.
    """

    weights: tuple[float, ...]
    levels: tuple[float, float, float]

    def __post_init__(self) -> None:
        values = (*self.weights, *self.levels)
        is_rising = self.levels[0] <= self.levels[1] <= self.levels[2]
        if len(self.weights) != N_FEATURES or len(self.levels) != 3 or not np.isfinite(values).all():
            raise ValueError(f"classifier needs {N_FEATURES} weights and 3 levels, all of them numbers")
        if min(self.weights) < 0 or not is_rising:
            raise ValueError("weights of the classifier must not be negative, and its levels must rise")

    @classmethod
    def from_json(cls, content: Any) -> ClassModel:
        """Return the model in a profile; ValueError, TypeError or KeyError where it is none."""
        one, two, three = map(float, content["levels"])
        return cls(tuple(map(float, content["weights"])), (one, two, three))

    def classes(self, features: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return the class of N cells, uint8 (N), 255 where a feature is NaN.

        Parameters
        ----------
        features
            float64 (N, 5), from `model_features`.
        """
        with np.errstate(invalid="ignore"):
            value = features @ np.array(self.weights)
        # The class from which on the odds are even or better.
        classes: NDArray[np.uint8] = np.searchsorted(np.array(self.levels), value, side="right").astype(
            np.uint8
        )
        classes[~np.isfinite(value)] = NOT_MEASURED
        return classes


def model_features(table: CellTable) -> NDArray[np.float64]:
    """Return the model's features of N cells, float64 (N, 5); NaN where not measured.

    Raises
    ------
    KeyError
        The table lacks a measurement.
    """
    columns = [table.column(name).astype(np.float64) for name in MODEL_MEASUREMENTS]
    roots = [
        column if "completeness" in name else np.sqrt(np.maximum(column, 0))
        for name, column in zip(MODEL_MEASUREMENTS, columns, strict=True)
    ]
    # `maximum` keeps NaN.
    features: NDArray[np.float64] = np.column_stack([*roots, roots[0] * roots[1]])
    return features
