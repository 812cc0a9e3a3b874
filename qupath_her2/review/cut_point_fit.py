"""Cut-points fitted to labelled cells: an ordinal model with the guideline's table, held near the built-in values.

A label is a class, the table of a guideline gives each pair of intensity and pattern a class, and each cut-point is
taken as a threshold with logistic noise, as in ordinal regression (McCullagh 1980, doi
10.1111/j.2517-6161.1980.tb01109.x). The likelihood of a label is the sum over the pairs that have its class. Since a
table never falls with more staining and the cut-points keep their order, class rises with staining whatever is fitted.

Few labels must not move cut-points far: the logarithms of the three densities share one shift, which a darker or paler
stain explains, and each may leave it by less. Both have normal priors around the built-in cut-points, and so have the
cut-points of completeness; what the labels do not tell stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.class_model import ClassModel
from qupath_her2.cells.membrane.grading import Estimates, GradingSettings, grade
from qupath_her2.records import INTENSITIES, PATTERNS
from qupath_her2.scoring.guidelines import GUIDELINES
from qupath_her2.scoring.rules import cell_classes
from qupath_her2.setting_ranges import Range, check_settings

__all__ = [
    "FitSettings",
    "LabelledCells",
    "class_probabilities",
    "classes_of",
    "fit_class_model",
    "fit_cut_points",
    "plausible_cut_points",
]

#: Intensities and patterns of a guideline's table.
_N = len(INTENSITIES)
#: Cut-points that are fitted: densities, and shares of the outline.
_DENSITIES = ("faint_od", "moderate_od", "intense_od")
_SHARES = ("min_completeness", "complete_from")
#: The common shift, one for each density, one for each share.
_N_VALUES = 1 + len(_DENSITIES) + len(_SHARES)


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Priors of the fit.

    Attributes
    ----------
    shift_sd, own_sd
        Standard deviation of the common shift of the three densities, and of each beside it, natural logarithm: stains
        of laboratories differ by a factor of up to two, the distances between intensities by less.
    completeness_sd
        Of the cut-points of completeness, share of the outline.
    root_od_noise, completeness_noise
        Scale of the logistic noise of a cell: root of OD, and share of the outline. Chosen with `lapse` on drawn cases
        of half to double density (`tests.quality.calibration`): smaller noise let a few cells near a cut-point move
        all of them.
    lapse
        Share of labels that are slips, spread over all classes, so that one slip moves nothing far.
    """

    shift_sd: Annotated[float, Range(0.01, 10)] = 0.5
    own_sd: Annotated[float, Range(0.01, 10)] = 0.2
    completeness_sd: Annotated[float, Range(0.001, 1)] = 0.1
    root_od_noise: Annotated[float, Range(0.001, 1)] = 0.06
    completeness_noise: Annotated[float, Range(0.001, 1)] = 0.08
    lapse: Annotated[float, Range(0, 0.5)] = 0.1

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class LabelledCells:
    """N measured cells with the class that a person gave them.

    Attributes
    ----------
    estimates
        Membrane estimates, none NaN.
    features
        float64 (N, 5), see `class_model.model_features`; NaN where not measured.
    label
        uint8 (N), 0..3 as in `records.CELL_CLASSES`.
    case
        Case of each cell.
    guideline
        Key of the guideline whose table gives its class.
    """

    estimates: Estimates
    features: NDArray[np.float64]
    label: NDArray[np.uint8]
    case: NDArray[np.str_]
    guideline: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.label)

    def where(self, mask: NDArray[np.bool_]) -> LabelledCells:
        """Return the cells selected by a bool (N,) mask."""
        own = self.estimates
        return LabelledCells(
            Estimates(own.own_od[mask], own.completeness[mask], own.lateral[mask]),
            self.features[mask],
            self.label[mask],
            self.case[mask],
            self.guideline[mask],
        )


def classes_of(
    cells: LabelledCells, cut_points: GradingSettings, model: ClassModel | None = None
) -> NDArray[np.uint8]:
    """Return the class that the program gives labelled cells.

    Parameters
    ----------
    cells
        N cells.
    cut_points
        Used where there is no model, and for cells that it cannot judge.
    model
        A fitted class model, or None.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (N), 0..3.
    """
    intensity, pattern = grade(cells.estimates, cut_points)
    classes = np.zeros(len(cells), np.uint8)
    for key in np.unique(cells.guideline):
        rows = cells.guideline == key
        classes[rows] = cell_classes(intensity[rows], pattern[rows], GUIDELINES[str(key)])
    if model is None:
        return classes
    found = model.classes(cells.features)
    return np.where(found < len(PATTERNS), found, classes).astype(np.uint8)


def fit_cut_points(
    cells: LabelledCells, start: GradingSettings | None = None, settings: FitSettings | None = None
) -> GradingSettings:
    """Fit cut-points to labelled cells.

    Parameters
    ----------
    cells
        At least one cell.
    start
        Centre of the priors; None takes the built-in cut-points.
    settings
        Priors.

    Returns
    -------
    GradingSettings
        In order; rounded to 4 decimals, so that the file says exactly what was used.
    """
    s, base = settings or FitSettings(), start or GradingSettings()
    return _cut_points(_fitted(_cost(cells, base, s)), base, s)


def plausible_cut_points(
    cells: LabelledCells | None,
    *,
    start: GradingSettings | None = None,
    n: int = 32,
    settings: FitSettings | None = None,
    seed: int = 0,
) -> list[GradingSettings]:
    """Return cut-points that the labels leave plausible: draws from the normal approximation around the fit.

    Parameters
    ----------
    cells
        Labelled cells; None for none, where the draws are those of the priors.
    start
        Centre of the priors where there are no labels; None takes the built-in cut-points.
    n
        Number of draws.
    settings
        Priors.
    seed
        Of the draws.

    Returns
    -------
    list[GradingSettings]
        n cut-points; the more labels, the closer they lie to each other (Laplace's approximation).
    """
    s, base = settings or FitSettings(), GradingSettings()
    draws = np.random.default_rng(seed).standard_normal((n, _N_VALUES))
    if cells is None or not len(cells):
        return [_cut_points(one, start or base, s) for one in draws]
    cost = _cost(cells, base, s)
    centre = _fitted(cost)
    values, vectors = np.linalg.eigh(_curvature(cost, centre))
    # Nothing is less certain than by the priors, whose curvature is 1 in these units.
    spread = vectors / np.sqrt(np.maximum(values, 1))
    return [_cut_points(centre + spread @ one, base, s) for one in draws]


def class_probabilities(
    cells: LabelledCells, cut_points: GradingSettings, settings: FitSettings | None = None
) -> NDArray[np.float64]:
    """Return the probability of each label by the model of the fit; `cells.label` is not used.

    Parameters
    ----------
    cells
        N cells.
    cut_points
        Cut-points.
    settings
        Noise and lapse of the model.

    Returns
    -------
    NDArray[np.float64]
        float64 (N, 4), rows add up to 1.
    """
    s = settings or FitSettings()
    values = {name: float(getattr(cut_points, name)) for name in _DENSITIES + _SHARES}
    columns = []
    for code in range(_N):
        labelled = replace(cells, label=np.full(len(cells), code, np.uint8))
        columns.append(_Likelihood(labelled, s).probability(values))
    return np.column_stack(columns)


def _cost(
    cells: LabelledCells, base: GradingSettings, s: FitSettings
) -> Callable[[NDArray[np.float64]], float]:
    """Return the negative log posterior of the values by which cut-points are moved, in units of their priors."""
    likelihood = _Likelihood(cells, s)
    return lambda values: likelihood.cost(_moved(base, values * _sd(s))) + 0.5 * float(values @ values)


def _fitted(cost: Callable[[NDArray[np.float64]], float]) -> NDArray[np.float64]:
    from scipy.optimize import minimize

    # The likelihood has flat parts far from all labels: the common shift is first sought on a grid.
    starts = np.zeros((25, _N_VALUES))
    starts[:, 0] = np.linspace(-3, 3, 25)
    first = min(starts, key=cost)
    return np.asarray(minimize(cost, first, method="L-BFGS-B", bounds=[(-4, 4)] * _N_VALUES).x)


def _curvature(cost: Callable[[NDArray[np.float64]], float], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix of second derivatives of a cost by central differences."""
    step = 0.05 * np.eye(len(at))
    found = np.empty((len(at), len(at)))
    for i, j in np.ndindex(found.shape):
        up = cost(at + step[i] + step[j]) - cost(at + step[i] - step[j])
        down = cost(at - step[i] + step[j]) - cost(at - step[i] - step[j])
        found[i, j] = (up - down) / (4 * 0.05**2)
    return (found + found.T) / 2


def _sd(s: FitSettings) -> NDArray[np.float64]:
    return np.array([s.shift_sd, *[s.own_sd] * 3, *[s.completeness_sd] * 2])


def _cut_points(values: NDArray[np.float64], base: GradingSettings, s: FitSettings) -> GradingSettings:
    moved = {name: round(float(value), 4) for name, value in _moved(base, values * _sd(s)).items()}
    return replace(base, **_in_order(moved, base))


def _moved(base: GradingSettings, by: NDArray[np.float64]) -> dict[str, float]:
    """Return the cut-points moved: densities by a common factor and one each, completeness by a share."""
    moved = {
        name: getattr(base, name) * float(np.exp(by[0] + by[1 + i])) for i, name in enumerate(_DENSITIES)
    }
    for i, name in enumerate(_SHARES):
        moved[name] = float(np.clip(getattr(base, name) + by[4 + i], 0.01, 0.99))
    return moved


def _in_order(values: dict[str, float], base: GradingSettings) -> dict[str, float]:
    """Return cut-points in the order that grading needs; the priors all but exclude another."""
    values["faint_od"] = min(max(values["faint_od"], 0.0005), 3.8)
    values["moderate_od"] = max(values["moderate_od"], values["faint_od"] + 0.0001)
    values["intense_od"] = min(max(values["intense_od"], values["moderate_od"] + 0.0001), 4.0)
    values["min_completeness"] = min(values["min_completeness"], values["complete_from"])
    values["lateral_from"] = float(
        np.clip(base.lateral_from, values["min_completeness"], values["complete_from"])
    )
    return values


class _Likelihood:
    """Negative log likelihood of the labels, whose parts that no cut-point changes are prepared once."""

    def __init__(self, cells: LabelledCells, settings: FitSettings) -> None:
        self._s = settings
        own = cells.estimates
        self._root = np.sqrt(np.maximum(own.own_od.astype(np.float64), 0))
        self._complete = own.completeness.astype(np.float64)
        keys, which = np.unique(cells.guideline, return_inverse=True)
        tables = np.array([_table(str(key)) for key in keys])
        # bool (N, 4, 4): the pairs of intensity and pattern that have the label's class.
        self._fits = tables[which] == cells.label[:, None, None]
        self._lateral = own.lateral & (self._complete >= GradingSettings().lateral_from)

    def cost(self, cut: dict[str, float]) -> float:
        return -float(np.log(self.probability(cut)).sum())

    def probability(self, cut: dict[str, float]) -> NDArray[np.float64]:
        """Return the probability of each label, float64 (N)."""
        s = self._s
        roots = np.sqrt([cut["faint_od"], cut["moderate_od"], cut["intense_od"]])
        above = _logistic((self._root[:, None] - roots) / s.root_od_noise)
        # Below the least completeness a cell is unstained whatever its density.
        stained = _logistic((self._complete - cut["min_completeness"]) / s.completeness_noise)
        above = np.minimum.accumulate(above, axis=1) * stained[:, None]
        reached = np.column_stack([np.ones(len(above)), above, np.zeros(len(above))])
        intensity = reached[:, :_N] - reached[:, 1:]
        complete = _logistic((self._complete - cut["complete_from"]) / s.completeness_noise)
        rest = 1 - complete
        pattern = np.column_stack(
            [
                np.zeros(len(rest)),
                np.where(self._lateral, 0, rest),
                np.where(self._lateral, rest, 0),
                complete,
            ]
        )
        pairs = intensity[:, :, None] * pattern[:, None, :]
        # Without staining there is no pattern.
        pairs[:, 0, :] = 0
        pairs[:, 0, 0] = intensity[:, 0]
        likely = (pairs * self._fits).sum((1, 2))
        return np.asarray((1 - s.lapse) * likely + s.lapse / _N)


def _table(key: str) -> NDArray[np.uint8]:
    """Return a guideline's class of each intensity and pattern, uint8 (4, 4)."""
    intensity, pattern = (one.ravel().astype(np.uint8) for one in np.indices((_N, len(PATTERNS))))
    return cell_classes(intensity, pattern, GUIDELINES[key]).reshape(_N, len(PATTERNS))


def _logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -40, 40))))


def fit_class_model(cells: LabelledCells) -> ClassModel:
    """Fit the ordinal model of the class to labelled cells, with a weak ridge.

    Parameters
    ----------
    cells
        Cells of all four classes; those with a missing measurement are left out.

    Returns
    -------
    ClassModel
        No weight is negative and the levels rise.
    """
    from scipy.optimize import minimize

    known = np.isfinite(cells.features).all(axis=1)
    x, label = cells.features[known], cells.label[known].astype(int)
    centre, spread = x.mean(0), np.maximum(x.std(0), 1e-3)
    z = (x - centre) / spread
    n = z.shape[1]

    def levels(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(values[n] + np.concatenate([[0], np.cumsum(values[n + 1 :])]))

    def cost(values: NDArray[np.float64]) -> float:
        above = _logistic((z @ values[:n])[:, None] - levels(values))
        reached = np.column_stack([np.ones(len(z)), above, np.zeros(len(z))])
        likely = reached[np.arange(len(z)), label] - reached[np.arange(len(z)), label + 1]
        # 0.02 = half of the share of slips, spread over four classes.
        return -float(np.log(0.98 * likely + 0.005).sum()) + 0.02 * float(values[:n] @ values[:n])

    start = np.concatenate([np.ones(n), [-2.0, 2.0, 2.0]])
    bounds = [(0, 50)] * n + [(-100, 100)] + [(0.01, 100)] * 2
    values = minimize(cost, start, method="L-BFGS-B", bounds=bounds).x
    weights = values[:n] / spread
    one, two, three = (levels(values) + float(weights @ centre)).round(6).tolist()
    return ClassModel(tuple(weights.round(6).tolist()), (one, two, three))
