"""Bootstrap over cases as weights: every statistic is computed once for the sample and all its resamples.

Percentile bootstrap (Efron & Tibshirani 1993, chapter 13). Whole cases are drawn, because slides of one case tend to
be read alike. A statistic takes the weights of all resamples at once, so that thousands of them are a few products of
matrices; libraries, which take one sample a call, would need minutes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.scoring.agreement.kappa import BootstrapSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["case_weights"]


def case_weights(cases: Sequence[str], settings: BootstrapSettings | None = None) -> NDArray[np.float64]:
    """Return how often each slide occurs in the sample and in each resample of its cases.

    Parameters
    ----------
    cases
        Case of each of N slides.
    settings
        Bootstrap settings.

    Returns
    -------
    NDArray[np.float64]
        float64 (1 + draws, N), whole numbers; the first row is the sample itself, all ones.
    """
    s = settings or BootstrapSettings()
    names, case = np.unique(np.asarray(cases, dtype=str), return_inverse=True)
    if len(names) == 0:
        return np.ones((1 + s.draws, 0))
    rng = np.random.default_rng(s.seed)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), s.draws)
    return np.vstack([np.ones(len(case)), times[:, case].astype(np.float64)])
