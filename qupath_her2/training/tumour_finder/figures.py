"""Fit of tumour probabilities to labels, before and after, with intervals from resamples of whole cases."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.scoring.agreement.kappa import BootstrapSettings, Estimate
from qupath_her2.scoring.agreement.resampling import case_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["METRICS", "Judged", "compare"]

#: Area under the ROC curve; mean log loss; share of cells on their side of the finder's cut-off. Both kinds of cells
#: weigh the same in the last two: people correct what is wrong, and their labels are no sample of the tissue.
METRICS = ("auc", "log_loss", "right")
_DRAWS = 400
#: Probabilities nearer to 0 and 1 count as these.
_LEAST = 1e-4


@dataclass(frozen=True, slots=True)
class Judged:
    """Figures of the same cells before and after.

    Attributes
    ----------
    cells, tumour_cells, cases
        Numbers.
    before, after, difference
        {metric of `METRICS`: figure}; the difference is after minus before.
    """

    cells: int
    tumour_cells: int
    cases: int
    before: dict[str, Estimate]
    after: dict[str, Estimate]
    difference: dict[str, Estimate]

    @property
    def json(self) -> dict[str, Any]:
        """Rounded, for a file."""
        rounded: dict[str, Any] = _rounded(asdict(self))
        return rounded

    @property
    def words(self) -> str:
        """The figures in words."""
        auc, loss, right = (
            (self.before[name].value, self.after[name].value, self.difference[name]) for name in METRICS
        )
        return (
            f"AUC {auc[0]:.3f} before, {auc[1]:.3f} after ({auc[2].value:+.3f}, 95 % {auc[2].low:+.3f} to "
            f"{auc[2].high:+.3f}); log loss {loss[0]:.3f}, {loss[1]:.3f} ({loss[2].value:+.3f}, {loss[2].low:+.3f} to "
            f"{loss[2].high:+.3f}); right {100 * right[0]:.0f}, {100 * right[1]:.0f} %"
        )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def compare(
    label: NDArray[np.bool_],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    cases: Sequence[str],
    cut_off: float,
) -> Judged:
    """Compare two finders on the same cells.

    Parameters
    ----------
    label
        bool (N), tumour cells; some are, some are not.
    before, after
        float32 (N), probabilities of tumour by each finder.
    cases
        Case of each cell.
    cut_off
        Probability from which a cell is proposed.

    Returns
    -------
    Judged
        Intervals are of resamples in which both kinds of cells occur.
    """
    weights = case_weights(cases, BootstrapSettings(draws=_DRAWS))
    one, two = (_figures(label, p, weights, cut_off) for p in (before, after))
    return Judged(
        len(label),
        int(label.sum()),
        len(set(cases)),
        before={name: _value(one[name]) for name in METRICS},
        after={name: _value(two[name]) for name in METRICS},
        difference={name: _value(two[name] - one[name]) for name in METRICS},
    )


def _figures(
    label: NDArray[np.bool_], probability: NDArray[np.float32], weights: NDArray[np.float64], cut_off: float
) -> dict[str, NDArray[np.float64]]:
    """Return each figure of the sample and of its resamples, float64 (1 + draws), NaN where a kind is missing."""
    p = np.clip(probability.astype(np.float64), _LEAST, 1 - _LEAST)
    loss = -np.log(np.where(label, p, 1 - p))
    right = ((probability >= cut_off) == label).astype(np.float64)
    sums = [np.maximum(weights[:, kind].sum(1), 1e-12) for kind in (label, ~label)]
    has_both = (weights[:, label].any(1)) & (weights[:, ~label].any(1))

    def balanced(values: NDArray[np.float64]) -> NDArray[np.float64]:
        means = [
            weights[:, kind] @ values[kind] / total for kind, total in zip((label, ~label), sums, strict=True)
        ]
        return np.where(has_both, np.mean(means, 0), np.nan)

    auc = np.where(has_both, _weighted_auc(label, probability, weights), np.nan)
    return {"auc": auc, "log_loss": balanced(loss), "right": balanced(right)}


def _weighted_auc(
    label: NDArray[np.bool_], probability: NDArray[np.float32], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the area under the ROC curve for each row of weights: libraries take one row a call, and are slow."""
    values, place = np.unique(probability, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(values)))
    tumour, other = (np.add.reduceat((weights * kind)[:, order], starts, axis=1) for kind in (label, ~label))
    # Mann-Whitney: pairs in order, and half of those that are equal.
    below = np.cumsum(other, 1) - other / 2
    pairs = np.maximum(tumour.sum(1) * other.sum(1), 1e-12)
    return np.asarray((tumour * below).sum(1) / pairs, np.float64)


def _value(resampled: NDArray[np.float64]) -> Estimate:
    low, high = np.nanquantile(resampled[1:], [0.025, 0.975])
    return Estimate(float(resampled[0]), float(low), float(high))
