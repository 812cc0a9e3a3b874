"""The tumour finder goes on from what it knows with cells that people labelled, and is kept only if it is better.

Only the second pass gets new trees: it sees the cell, its neighbours, and what the first pass makes of them. What the
new finder is worth is judged on three kinds of cells that it has not learned from: each reviewed case by trees that
were fitted to the others, cases that nobody reviewed, and drawn tissue. A finder that does not help on the first, or
harms the others by more than the settings allow, is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np

from qupath_her2.cells.nuclei.trees import Trees, predict
from qupath_her2.cells.tumour.finder import SECOND_NAMES, second_rows_of, share, tumour_probability
from qupath_her2.errors import TrainingError
from qupath_her2.setting_ranges import Range, Seed, check_settings
from qupath_her2.training.tumour_finder.boosting import BoostingSettings, boosted_on
from qupath_her2.training.tumour_finder.figures import METRICS, Judged, compare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.training.tumour_finder.tissue import Tissue

__all__ = ["KnownCells", "RetrainSettings", "Retrained", "fitted", "known_cells", "retrain"]


@dataclass(frozen=True, slots=True)
class RetrainSettings:
    """Limits of a training that goes on.

    Attributes
    ----------
    min_cells, min_cases
        Fewest labelled cells of each kind, tumour and other, and fewest cases with labels: each case is judged by trees
        that were fitted to the others.
    folds
        Parts of the cross-validation; each case is one where there are fewer.
    most_cells
        Most labelled cells of an image and kind that are learned from: a large region must not drown single marks.
    replay
        Weight of drawn tissue, against that of all labelled cells.
    fields, judged_fields
        Number of drawn fields that are replayed, and of others by which forgetting is judged.
    max_auc_loss, max_loss_rise
        How much the AUC on drawn tissue may fall, and the log loss rise.
    boosting
        Size and strength of the trees that are added.
    seed
        Of the order of cases and the choice of cells.
    """

    min_cells: Annotated[int, Range(1, 100_000)] = 20
    min_cases: Annotated[int, Range(2, 1000)] = 3
    folds: Annotated[int, Range(2, 100)] = 10
    most_cells: Annotated[int, Range(1, 1_000_000)] = 300
    replay: Annotated[float, Range(0, 1000)] = 3.0
    fields: Annotated[int, Range(1, 10_000)] = 72
    judged_fields: Annotated[int, Range(1, 10_000)] = 16
    max_auc_loss: Annotated[float, Range(0, 1)] = 0.01
    max_loss_rise: Annotated[float, Range(0, 10)] = 0.03
    boosting: BoostingSettings = field(default_factory=BoostingSettings)
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True, eq=False)
class KnownCells:
    """N labelled cells of a case.

    Attributes
    ----------
    case
        Case id, or the number of a drawn field.
    rows
        float32 (N, C), columns of the second pass, with the first pass of the finder that is gone on from.
    log_odds
        float32 (N), of that finder.
    before
        float32 (N), probabilities by the finder that would be replaced.
    label
        bool (N), tumour cells.
    learns
        bool (N), cells that are learned from; all are judged.
    """

    case: str
    rows: NDArray[np.float32]
    log_odds: NDArray[np.float32]
    before: NDArray[np.float32]
    label: NDArray[np.bool_]
    learns: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, slots=True, eq=False)
class Retrained:
    """A finder that is better, with the figures that show it.

    Attributes
    ----------
    trees
        Of both passes.
    reviewed, replayed
        Figures of reviewed cases, each held out in turn, and of drawn tissue.
    unseen
        Figures of cases that nobody reviewed; None where none has labels of both kinds.
    """

    trees: Mapping[str, Trees]
    reviewed: Judged
    replayed: Judged
    unseen: Judged | None


def known_cells(
    tissue: Tissue,
    case: str,
    label: NDArray[np.int8],
    base: Mapping[str, Trees],
    current: Mapping[str, Trees],
    learns: NDArray[np.bool_] | None = None,
) -> KnownCells:
    """Return the labelled cells of a tissue as the finder sees them among all cells.

    Parameters
    ----------
    tissue
        All cells.
    case
        Their case.
    label
        int8 (N), 1 tumour, 0 not, -1 unknown.
    base, current
        Trees that are gone on from, and those that would be replaced.
    learns
        bool (N), cells to learn from; None for all.

    Returns
    -------
    KnownCells
        Of the cells whose label is known.
    """
    known = label >= 0
    centre_um = tissue.centre_xy * tissue.um_px
    if not known.any():
        none = np.zeros(0, np.float32)
        return KnownCells(case, np.zeros((0, len(SECOND_NAMES)), np.float32), none, none, none > 0, none > 0)
    rows = second_rows_of(tissue.features, centre_um, base)[known]
    log_odds = predict(base["second"], rows)
    before = (
        share(log_odds) if current is base else tumour_probability(tissue.features, centre_um, current)[known]
    )
    chosen = np.ones(int(known.sum()), bool) if learns is None else learns[known]
    return KnownCells(case, rows, log_odds, before, label[known] == 1, chosen)


def retrain(
    cells: Sequence[KnownCells],
    replayed: Sequence[KnownCells],
    judged: Sequence[KnownCells],
    unseen: Sequence[KnownCells],
    base: Mapping[str, Trees],
    *,
    cut_off: float,
    settings: RetrainSettings | None = None,
    listen: Callable[[str], None] | None = None,
) -> Retrained:
    """Go on with the trees of the second pass, and judge the result.

    Parameters
    ----------
    cells
        Labelled cells of reviewed cases.
    replayed, judged
        Drawn tissue to replay, and other drawn tissue to judge forgetting by.
    unseen
        Labelled cells of cases that nobody reviewed; may be empty.
    base
        Trees that are gone on from.
    cut_off
        Probability from which a cell is proposed.
    settings
        Limits.
    listen
        Called with a sentence before each part.

    Returns
    -------
    Retrained
        Fitted to all reviewed cases.

    Raises
    ------
    TrainingError
        There are too few labels, or the new finder is no better, or forgets; the message has the figures.
    """
    s = settings or RetrainSettings()
    check_labels(cells, s)
    tell = listen or (lambda _: None)
    folds = _folds([one.case for one in cells], s)
    after = [np.zeros(0, np.float32)] * len(cells)
    for number, fold in enumerate(np.unique(folds), 1):
        tell(f"part {number} of {len(np.unique(folds))}: its cases are judged by trees fitted to the others")
        trees = fitted([one for one, f in zip(cells, folds, strict=True) if f != fold], replayed, base, s)
        for i in np.flatnonzero(folds == fold).tolist():
            after[i] = share(predict(trees, cells[i].rows))
    reviewed = _judged(cells, after, cut_off)
    _check_better(reviewed)
    tell("all reviewed cases: the finder that will be used")
    trees = fitted(cells, replayed, base, s)
    drawn = _judged(judged, [share(predict(trees, one.rows)) for one in judged], cut_off)
    _check_kept(drawn, s)
    others = [one for one in unseen if len(one)]
    both = {kind for one in others for kind in np.unique(one.label).tolist()}
    new = None
    if len(both) == 2:
        new = _judged(others, [share(predict(trees, one.rows)) for one in others], cut_off)
        _check_unseen(new)
    return Retrained({**base, "second": trees}, reviewed, drawn, new)


def check_labels(cells: Sequence[KnownCells], s: RetrainSettings) -> None:
    """Raise TrainingError where the labels do not suffice."""
    counts = Counter(bool(kind) for one in cells for kind in one.label[one.learns].tolist())
    n_cases = len({one.case for one in cells if len(one)})
    if n_cases < s.min_cases or min(counts[True], counts[False]) < s.min_cells:
        raise TrainingError(
            f"{counts[True]} tumour cells and {counts[False]} others of {n_cases} reviewed case{'s' * (n_cases != 1)} "
            f"are too few: at least {s.min_cells} of each kind and {s.min_cases} cases are needed, since each case is "
            "judged by a finder that it took no part in. Accept, edit or delete proposals of more cases, or mark cells "
            "that are no tumour cells."
        )


def _folds(cases: Sequence[str], s: RetrainSettings) -> NDArray[np.intp]:
    """Return the part of each image; all images of a case are in one."""
    names, which = np.unique(np.asarray(cases, str), return_inverse=True)
    order = np.random.default_rng(s.seed).permutation(len(names))
    return np.asarray((order % min(s.folds, len(names)))[which], np.intp)


def fitted(
    cells: Sequence[KnownCells], replayed: Sequence[KnownCells], base: Mapping[str, Trees], s: RetrainSettings
) -> Trees:
    """Go on with the trees of the second pass, without judging the result.

    Parameters
    ----------
    cells, replayed
        Labelled cells, and drawn tissue that holds what is known.
    base
        Trees that are gone on from.
    s
        Limits.

    Returns
    -------
    Trees
        Of the second pass.
    """
    rng = np.random.default_rng(s.seed)
    rows, log_odds, target, weight = [], [], [], []
    for one, chosen in zip(cells, _chosen(cells, s.most_cells, rng), strict=True):
        rows.append(one.rows[chosen])
        log_odds.append(one.log_odds[chosen])
        target.append(one.label[chosen].astype(np.float64))
    known = np.concatenate(target)
    # Both kinds alike: people correct what is wrong, and that is no sample of the tissue.
    n = np.bincount(known.astype(int), minlength=2)
    weight.append(len(known) / 2 / np.maximum(n, 1)[known.astype(int)])
    n_replayed = sum(map(len, replayed))
    for one in replayed:
        rows.append(one.rows)
        log_odds.append(one.log_odds)
        # What it said before, not the drawn truth: drawings must hold what is known of tissue, not replace it.
        target.append(share(one.log_odds).astype(np.float64))
        weight.append(np.full(len(one), s.replay * len(known) / n_replayed))
    weights = np.concatenate(weight)
    return boosted_on(
        base["second"],
        np.concatenate(log_odds),
        np.concatenate(rows),
        np.concatenate(target),
        weights / weights.mean(),
        s.boosting,
    )


def _chosen(cells: Sequence[KnownCells], most: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return the cells of each image that are learned from, at most so many of a kind."""
    return [
        np.sort(
            np.concatenate(
                [
                    rng.permutation(np.flatnonzero(one.learns & (one.label == kind)))[:most]
                    for kind in (True, False)
                ]
            )
        )
        for one in cells
    ]


def _judged(cells: Sequence[KnownCells], after: Sequence[NDArray[np.float32]], cut_off: float) -> Judged:
    return compare(
        np.concatenate([one.label for one in cells]),
        np.concatenate([one.before for one in cells]),
        np.concatenate(after),
        [one.case for one in cells for _ in range(len(one))],
        cut_off,
    )


_REFUSED = "Nothing was replaced; more labels of more cases may change that."


def _check_better(judged: Judged) -> None:
    auc, loss, right = (judged.difference[name] for name in METRICS)
    # Less sure of everything alone lowers the log loss of labels that were corrected: more must be on their side, too.
    is_better = loss.value < 0 and loss.high <= 0 and auc.high >= 0 and (auc.value > 0 or right.low > 0)
    if not is_better:
        raise TrainingError(
            f"The finder is not better on reviewed cases that it has not seen: {judged.words}. {_REFUSED}"
        )


def _check_kept(judged: Judged, s: RetrainSettings) -> None:
    loss, auc = judged.difference["log_loss"], judged.difference["auc"]
    if -auc.value > s.max_auc_loss or loss.value > s.max_loss_rise:
        raise TrainingError(
            f"The finder forgets: on drawn tissue of all kinds, {judged.words}. The AUC may fall by "
            f"{s.max_auc_loss:g} and the log loss rise by {s.max_loss_rise:g}. {_REFUSED} A greater --replay holds "
            "more of what it knows."
        )


def _check_unseen(judged: Judged) -> None:
    if judged.difference["log_loss"].low > 0:
        raise TrainingError(f"The finder is worse on cases that nobody reviewed: {judged.words}. {_REFUSED}")
