"""Confusion matrices of a reader study whose cells know their slides."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qupath_her2.scoring.agreement.readings import Readings, Scale

__all__ = ["ReaderMatrix", "reader_matrices"]

#: Matrices of single pairs are added up to this number of pairs; more are only pooled.
_MOST_PAIRS = 10


@dataclass(frozen=True, slots=True)
class ReaderMatrix:
    """A confusion matrix of classes given to the same slides.

    Attributes
    ----------
    title
        Both sides and the round, in words.
    rows, columns
        Whose classes stand in rows and in columns.
    counts
        int64 (C, C), numbers of pairs of readings.
    slides
        {(row, column): ((slide, number of pairs), ...)}, most pairs first.
    note
        A remark on how pairs are counted; "" without one.
    """

    title: str
    rows: str
    columns: str
    counts: NDArray[np.int64]
    slides: Mapping[tuple[int, int], tuple[tuple[str, int], ...]]
    note: str = ""


def reader_matrices(readings: Readings, scale: Scale) -> tuple[ReaderMatrix, ...]:
    """Return the matrices of each round, then of pairs of rounds.

    Machine against all readers and readers against each other are pooled over readers; where there are few pairs of
    readers, each has a matrix of its own as well.
    """
    found = []
    people = list(readings.people)
    pairs = list(itertools.combinations(people, 2))
    for number, name in enumerate(readings.rounds):
        codes = scale.codes[number]
        of = f"round {name}" if len(readings.rounds) > 1 else ""
        if readings.machine is not None:
            machine = readings.readers[readings.machine]
            against = [(readings.machine, reader) for reader in people]
            found.append(
                _pooled(readings, scale, codes, against, ("machine against readers", of, machine, "readers"))
            )
            if 1 < len(against) <= _MOST_PAIRS:
                found += [_single(readings, scale, codes, pair, of) for pair in against]
        if len(pairs) > 1:
            both = [*pairs, *((second, first) for first, second in pairs)]
            note = "each pair of readers is counted both ways, so that the matrix is symmetric"
            words = ("readers against each other", of, "readers", "other readers")
            found.append(_pooled(readings, scale, codes, both, words, note))
        if 0 < len(pairs) <= _MOST_PAIRS:
            found += [_single(readings, scale, codes, pair, of) for pair in pairs]
    for one, two in itertools.combinations(range(len(readings.rounds)), 2):
        first, second = scale.codes[one][:, people], scale.codes[two][:, people]
        names = f"round {readings.rounds[one]}", f"round {readings.rounds[two]}"
        title = f"{names[0]} against {names[1]}, each reader's own"
        found.append(_matrix(readings, scale, first, second, (title, *names)))
    return tuple(found)


def _single(
    readings: Readings, scale: Scale, codes: NDArray[np.int64], pair: tuple[int, int], of: str
) -> ReaderMatrix:
    first, second = (readings.readers[reader] for reader in pair)
    return _pooled(readings, scale, codes, [pair], (f"{first} against {second}", of, first, second))


def _pooled(
    readings: Readings,
    scale: Scale,
    codes: NDArray[np.int64],
    pairs: list[tuple[int, int]],
    words: tuple[str, str, str, str],
    note: str = "",
) -> ReaderMatrix:
    title, of, rows, columns = words
    first = codes[:, [a for a, _ in pairs]]
    second = codes[:, [b for _, b in pairs]]
    return _matrix(readings, scale, first, second, (f"{title}, {of}" if of else title, rows, columns), note)


def _matrix(
    readings: Readings,
    scale: Scale,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    words: tuple[str, str, str],
    note: str = "",
) -> ReaderMatrix:
    n = len(scale.classes)
    slide, pair = np.nonzero((first >= 0) & (second >= 0))
    by_slide = np.zeros((len(readings.slides), n * n), np.int64)
    np.add.at(by_slide, (slide, n * first[slide, pair] + second[slide, pair]), 1)
    cells = {}
    for cell in np.flatnonzero(by_slide.any(axis=0)).tolist():
        numbers = by_slide[:, cell]
        # Stable, so that slides with equal numbers keep the order of the file.
        order = np.argsort(-numbers, kind="stable")
        cells[divmod(cell, n)] = tuple(
            (readings.slides[row], int(numbers[row])) for row in order.tolist() if numbers[row]
        )
    title, rows, columns = words
    return ReaderMatrix(title, rows, columns, by_slide.sum(axis=0).reshape(n, n), cells, note)
