"""Statistics printed beside a score: Wilson interval, noise floor, H-score, share of complete membranes.

Wilson's formula is our own code: `scipy.stats.binomtest` agrees to 3e-16, but takes 400 times as long, would add
270 modules (0.16 s) to every scoring process, and differs in the last digit that score.json stores.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING

from scipy.special import bdtr, bdtrik

from qupath_her2.errors import ScoringError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Z_95", "complete_share", "false_call_limit", "h_score", "percent_text", "wilson_interval"]

#: Two-sided 95 % quantile of the normal distribution.
Z_95 = 1.959963984540054


def wilson_interval(k: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion.

    Wilson 1927, doi 10.1080/01621459.1927.10502953. Cells of one field are not independent, so the interval
    covers the counting error alone: neither the variation between fields nor misclassified cells.

    Parameters
    ----------
    k, n
        Number of successes and of trials.
    z
        Quantile of the normal distribution; the default gives 95 %.

    Returns
    -------
    tuple[float, float]
        Lower and upper end, 0..1.

    Raises
    ------
    ScoringError
        `n` is not positive or `k` is outside 0..n.
    """
    if n <= 0 or not 0 <= k <= n:
        raise ScoringError(f"A proportion needs 0 <= k <= n and n > 0; got k = {k}, n = {n}.")
    share = k / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    # The formula gives exactly 0 and 1 at the two ends; floating-point rounding does not.
    low = 0.0 if k == 0 else max(0.0, centre - half)
    high = 1.0 if k == n else min(1.0, centre + half)
    return low, high


def false_call_limit(n: int, floor: float) -> int:
    """Return the largest number of stained cells that classification errors alone would explain.

    If a share `floor` (0..1) of unstained cells is called stained by mistake, the number of stained cells among
    `n` is binomial; the limit is its 97.5 % quantile, the one-sided counterpart of a 95 % interval. More stained
    cells than that are real staining; fewer cannot be told from none. A floor of 0 gives 0: every stained cell
    counts.

    Raises
    ------
    ScoringError
        `n` is not positive or `floor` is outside 0 <= floor < 1.
    """
    if n <= 0 or not 0 <= floor < 1:
        raise ScoringError(f"A noise floor needs n > 0 and 0 <= floor < 1; got n = {n}, floor = {floor}.")
    if floor == 0:
        return 0
    quantile = 0.975
    # scipy.special instead of scipy.stats.binom.ppf: the same number without importing scipy.stats.
    limit: int = ceil(bdtrik(quantile, n, floor))
    # bdtrik inverts a continuous extension of the distribution and may end one cell too high.
    return limit - 1 if limit > 0 and bdtr(limit - 1, n, floor) >= quantile else limit


def h_score(class_counts: Sequence[int]) -> float:
    """Return 1 x 1+ % + 2 x 2+ % + 3 x 3+ %, 0..300, from the numbers of Negative, 1+, 2+ and 3+ cells.

    McCarty et al. 1985; QuPath computes the same number from cell classes of these names. No HER2 guideline
    decides by it.
    """
    n = sum(class_counts)
    if n <= 0:
        raise ScoringError("An H-score needs at least one measured cell.")
    return 100 * sum(weight * count for weight, count in enumerate(class_counts)) / n


def complete_share(counts: NDArray[np.int64]) -> float:
    """Return the share of cells with complete membrane staining at any intensity, 0..1.

    `counts` is int64 (4, 4), intensity by pattern. The Warwick HER2 contest broke ties by this share (Qaiser et
    al. 2018, doi 10.1111/his.13333).
    """
    n = int(counts.sum())
    if n <= 0:
        raise ScoringError("A complete share needs at least one measured cell.")
    return int(counts[1:, 3].sum()) / n


def percent_text(k: int, n: int, limit: int | None = None) -> str:
    """Format ``100 k / n`` with one decimal, or more where rounding would print exactly `limit`.

    Parameters
    ----------
    k, n
        Number of cells counted, and of all cells.
    limit
        A cut-off in %; a share just above 10 % must not be printed as 10.0 %.

    Returns
    -------
    str
        The percentage without the sign, e.g. ``10.01``.
    """
    for decimals in (1, 2, 3):
        text = f"{100 * k / n:.{decimals}f}"
        if limit is None or 100 * k == limit * n or float(text) != limit:
            return text
    return f"{100 * k / n:.6f}"
