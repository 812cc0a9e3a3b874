"""Pairs of truth and answer, checked once, that every figure of agreement is computed from."""

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

#: How an answer says that there is none; None says the same.
_NO_ANSWER = frozenset({"not assessable", ""})


@dataclass(frozen=True, slots=True)
class Pairs:
    """N pairs of a true class and an answer, made by `make_pairs`.

    Attributes
    ----------
    truth, answer
        int64 (N,), index into `class_names`; -1 in `answer` = not assessable.
    class_names
        The C classes, from least to most where `is_ordered`.
    case
        int64 (N,), number of the case; pairs without a known case have a number each.
    probabilities
        float64 (N, C), or None; a row of NaN where there are none.
    level
        What one pair is.
    is_ordered
        Whether neighbouring classes are nearer than distant ones.
    unknown_cases
        Number of pairs whose case nobody gave.
    without_truth
        Number of pairs left out because their truth is not known.
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
        Class names; None where it is not known: such pairs are counted and left out.
    answer
        Class names; None or ``not assessable`` where there was none: such pairs are counted, stand in no
        matrix, and never become a class.
    class_names
        All classes, from least to most (``0``, ``1+``, ``2+``, ``3+``).
    cases
        Id of each pair's case; None where nobody knows it.
    probabilities
        (N, C) in the order of `class_names`, rows of sum 1 (within 1e-3) or all NaN.
    level
        What one pair is: a case, a slide, or a patch.
    is_ordered
        False where the classes have no order; weighted kappa and cuts are then left out.

    Raises
    ------
    ScoringError
        Fewer than two classes, unequal lengths, unknown labels (all of them listed), probabilities that are none, or
        a case that stands twice where a pair is a case.
    """
    names = tuple(class_names)
    if len(names) < 2 or len(set(names)) != len(names):
        raise ScoringError(f"Agreement needs two or more different classes; got {list(names)}.")
    if len(truth) != len(answer) or (cases is not None and len(cases) != len(truth)):
        raise ScoringError(
            f"Agreement needs lists of one length: {len(truth)} true classes, {len(answer)} answers"
            + ("." if cases is None else f", {len(cases)} cases.")
        )
    true, given = _codes(truth, names, "truth"), _codes(answer, names, "answer")
    known = true >= 0
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
    unknown = sorted(
        {label for label in labels if label not in number and label not in _NO_ANSWER and label is not None}
    )
    if unknown:
        raise ScoringError(
            f"Unknown classes in the {what}: {', '.join(map(repr, unknown))}. The task has: {', '.join(names)}."
        )
    return np.array([number.get(label, -1) if label is not None else -1 for label in labels], np.int64)


def _check_once(cases: Sequence[str | None] | None) -> None:
    twice = sorted(case for case, n in Counter(cases or ()).items() if n > 1 and case is not None)
    if twice:
        raise ScoringError(
            f"{len(twice)} cases stand in more than one pair, such as '{twice[0]}'. Pair each case once, or say that a "
            'pair is a slide (level="slide").'
        )


def _case_numbers(cases: Sequence[str | None] | None, n: int) -> NDArray[np.int64]:
    numbers: dict[object, int] = {}
    # A pair without a case is a case of its own: its row number is a key that no case id equals.
    keys = range(n) if cases is None else [row if case is None else case for row, case in enumerate(cases)]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _checked(probabilities: NDArray[np.floating], n: int, classes: int) -> NDArray[np.float64]:
    values = np.asarray(probabilities, np.float64)
    if values.shape != (n, classes):
        raise ScoringError(
            f"Probabilities have the shape {values.shape}; {n} pairs of {classes} classes need {(n, classes)}."
        )
    empty = np.isnan(values).all(axis=1)
    good = (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= 1e-3)
    if bad := np.flatnonzero(~(empty | good)).tolist():
        raise ScoringError(
            f"Probabilities of {len(bad)} pairs are not shares of 1, first in row {bad[0]}: "
            f"{values[bad[0]].round(4).tolist()}. Pass them after softmax, NaN where there are none."
        )
    return values
