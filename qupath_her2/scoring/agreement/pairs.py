"""Pairs of true class and answer, validated once: the input of every agreement figure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from qupath_her2.errors import ScoringError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Level", "Pairs", "make_pairs"]

Level: TypeAlias = Literal["case", "slide", "patch"]

#: Labels that mean no answer, like None.
_NO_ANSWER = frozenset({"not assessable", ""})


@dataclass(frozen=True, slots=True)
class Pairs:
    """N pairs of a true class and an answer, made by `make_pairs`.

    Attributes
    ----------
    truth, answer
        int64 (N,), index into `class_names`; -1 in `answer` = not assessable.
    class_names
        The C classes, in rising order if `is_ordered`.
    case
        int64 (N,), case number; each pair without a known case has a number of its own.
    probabilities
        float64 (N, C), 0..1, or None; a row of NaN where a pair has none.
    level
        Unit of a pair: case, slide or patch.
    is_ordered
        Whether the classes form an ordinal scale.
    unknown_cases
        Number of pairs without a known case.
    without_truth
        Number of pairs left out because their true class is unknown.
    """

    truth: NDArray[np.int64]
    answer: NDArray[np.int64]
    class_names: tuple[str, ...]
    case: NDArray[np.int64]
    probabilities: NDArray[np.float64] | None
    level: Level
    is_ordered: bool
    unknown_cases: int
    without_truth: int

    def __len__(self) -> int:
        return len(self.truth)


def make_pairs(
    truth: Sequence[str | None],
    answer: Sequence[str | None],
    class_names: Sequence[str],
    *,
    cases: Sequence[str | None] | None = None,
    probabilities: NDArray[np.floating] | None = None,
    level: Level = "case",
    is_ordered: bool = True,
) -> Pairs:
    """Pair true classes with answers.

    Parameters
    ----------
    truth
        N class names; None if unknown: such pairs are counted and left out.
    answer
        N class names; None or ``not assessable`` if there is none: such pairs are counted, are not in the confusion
        matrix, and never become a class.
    class_names
        All classes, in rising order (``0``, ``1+``, ``2+``, ``3+``).
    cases
        Case id of each pair; None if unknown.
    probabilities
        float (N, C) in the order of `class_names`; rows sum to 1 (within 1e-3) or are all NaN.
    level
        Unit of a pair: case, slide or patch.
    is_ordered
        False for nominal classes; weighted kappa and cut-offs are then left out.

    Returns
    -------
    Pairs
        Codes instead of labels, without the pairs of unknown truth.

    Raises
    ------
    ScoringError
        There are fewer than two classes, lists of unequal length, unknown labels (all are listed), rows that are not
        probabilities, or a case with more than one pair at case level.
    """
    names = tuple(class_names)
    if len(names) < 2 or len(set(names)) != len(names):
        raise ScoringError(f"Agreement needs two or more distinct classes; got {list(names)}.")
    if len(truth) != len(answer) or (cases is not None and len(cases) != len(truth)):
        raise ScoringError(
            f"Agreement needs lists of equal length; got {len(truth)} true classes, {len(answer)} answers"
            + ("." if cases is None else f", {len(cases)} cases.")
        )
    true, given = _codes(truth, names, "truth"), _codes(answer, names, "answer")
    # The answer of a pair without truth cannot be judged; keeping it would change the proportion assessed.
    known = true >= 0
    # Two slides of one case counted as two cases would make every interval too narrow.
    if level == "case":
        _check_once(cases)
    return Pairs(
        true[known],
        given[known],
        names,
        _case_numbers(cases, len(truth))[known],
        None if probabilities is None else _checked(probabilities, len(truth), len(names))[known],
        level,
        is_ordered,
        sum(cases is None or cases[row] is None for row in np.flatnonzero(known).tolist()),
        int((~known).sum()),
    )


def _codes(labels: Sequence[str | None], names: tuple[str, ...], what: str) -> NDArray[np.int64]:
    number = {name: code for code, name in enumerate(names)}
    # All unknown labels at once, so that a user can correct the file in one go.
    unknown = sorted(
        {label for label in labels if label not in number and label not in _NO_ANSWER and label is not None}
    )
    if unknown:
        raise ScoringError(
            f"Unknown classes in the {what}: {', '.join(map(repr, unknown))}. Known classes: {', '.join(names)}."
        )
    return np.array([number.get(label, -1) if label is not None else -1 for label in labels], np.int64)


def _check_once(cases: Sequence[str | None] | None) -> None:
    twice = sorted(case for case, n in Counter(cases or ()).items() if n > 1 and case is not None)
    if twice:
        raise ScoringError(
            f"Cases with more than one pair: {', '.join(map(repr, twice[:5]))}{' ...' if len(twice) > 5 else ''}. "
            'Pair each case once, or pass level="slide".'
        )


def _case_numbers(cases: Sequence[str | None] | None, n: int) -> NDArray[np.int64]:
    numbers: dict[object, int] = {}
    # A pair without a case counts as its own case: its row number, an int, equals no case id, a str.
    keys = range(n) if cases is None else [row if case is None else case for row, case in enumerate(cases)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _checked(probabilities: NDArray[np.floating], n: int, classes: int) -> NDArray[np.float64]:
    values = np.asarray(probabilities, np.float64)
    if values.shape != (n, classes):
        raise ScoringError(
            f"Probabilities have shape {values.shape}; {n} pairs of {classes} classes need {(n, classes)}."
        )
    # float16 softmax sums to 1 only within about 1e-3.
    empty = np.isnan(values).all(axis=1)
    good = (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= 1e-3)
    if bad := np.flatnonzero(~(empty | good)).tolist():
        raise ScoringError(
            f"Probabilities of {len(bad)} pairs are negative or do not sum to 1, first in row {bad[0]}: "
            f"{values[bad[0]].round(4).tolist()}. Apply softmax first; use NaN for pairs without probabilities."
        )
    return values
