"""Intraclass correlation of readers: ICC(2,1) and ICC(3,1), for a sample and all its resamples at once.

Shrout PE, Fleiss JL. Intraclass correlations: uses in assessing rater reliability. Psychol Bull 1979;86:420-428, doi
10.1037/0033-2909.86.2.420. The library `pingouin`, which takes one sample a call, checks this function in the tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Intraclass", "intraclass_correlation"]


class Intraclass(NamedTuple):
    """Intraclass correlations of single readings, each float64 (B,), at most 1; NaN where undefined.

    Attributes
    ----------
    icc_2_1
        Absolute agreement: readers are a sample of all readers, and a reader who is always higher lowers it.
    icc_3_1
        Consistency: only these readers matter, and constant differences between them do not.
    slides
        Number of slides used, those that all readers read.
    """

    icc_2_1: NDArray[np.float64]
    icc_3_1: NDArray[np.float64]
    slides: int


def intraclass_correlation(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Intraclass:
    """Return both correlations from the mean squares of slides, readers and residuals.

    Parameters
    ----------
    values
        float64 (N, R), readings of N slides by R readers; NaN where there is none.
    weights
        float64 (B, N), from `resampling.case_weights`.

    Returns
    -------
    Intraclass
        Both correlations and the number of slides.
    """
    complete = np.isfinite(values).all(axis=1)
    w = weights[:, complete]
    # Sums of squares do not depend on the origin; near it they lose no digits.
    x = values[complete] - (values[complete].mean() if complete.any() else 0)
    k = values.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        n = w.sum(axis=1)
        reader_means = (w @ x) / n[:, None]
        grand = reader_means.mean(axis=1)
        slide_means = x.mean(axis=1)
        between_slides = k * (w @ slide_means**2 - n * grand**2)
        between_readers = n * ((reader_means - grand[:, None]) ** 2).sum(axis=1)
        residual = w @ (x**2).sum(axis=1) - k * n * grand**2 - between_slides - between_readers
        slides = between_slides / (n - 1)
        readers = between_readers / (k - 1)
        # Readers who differ by a constant have no residual but rounding.
        error = np.maximum(residual, 0) / ((n - 1) * (k - 1))
        agreement = (slides - error) / (slides + (k - 1) * error + k * (readers - error) / n)
        consistency = (slides - error) / (slides + (k - 1) * error)
    return Intraclass(agreement, consistency, int(complete.sum()))
