"""Agreement of a reader study: machine against reader, reader against reader, round against round.

All figures of a study share one set of resamples of its cases, so that differences between rounds, or between a
machine and readers, have intervals of their own: each resample gives both sides.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from qupath_her2.scoring.agreement.intraclass import intraclass_correlation
from qupath_her2.scoring.agreement.kappa import BootstrapSettings, Estimate, estimate_from
from qupath_her2.scoring.agreement.many_readers import fleiss_kappa, krippendorff_alpha
from qupath_her2.scoring.agreement.reader_matrices import ReaderMatrix, reader_matrices
from qupath_her2.scoring.agreement.reader_pairs import PairFigures, pair_figures, pair_kappas
from qupath_her2.scoring.agreement.readings import group_scale
from qupath_her2.scoring.agreement.resampling import case_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.scoring.agreement.many_readers import Level
    from qupath_her2.scoring.agreement.readings import Readings, Scale

__all__ = [
    "Comparison",
    "Difference",
    "Figure",
    "ReaderStudy",
    "ReadingTime",
    "ScaleStudy",
    "reader_study",
]

#: Words for kinds of weights.
_WORDS = {"none": "unweighted", "linear": "linear", "quadratic": "quadratic"}
Kind: TypeAlias = Literal["machine", "readers", "rounds"]
#: {figure: its value for the sample and all resamples, float64 (1 + draws)}.
Vectors: TypeAlias = "dict[str, NDArray[np.float64]]"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One pair of columns of readings.

    Attributes
    ----------
    kind
        Machine against reader, reader against reader, or two rounds of one reader.
    round
        The round, or both rounds, ``1 and 2``.
    first, second
        Readers; for two rounds of one reader, the rounds.
    reader
        The reader of two rounds; "" for other kinds.
    figures
        Agreement and kappa.
    """

    kind: Kind
    round: str
    first: str
    second: str
    reader: str
    figures: PairFigures


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of all readers in one round.

    Attributes
    ----------
    round, name
        The round and the name of the figure.
    estimate
        Value with interval.
    slides
        Slides that it is computed from.
    """

    round: str
    name: str
    estimate: Estimate
    slides: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two figures, computed in each resample.

    Attributes
    ----------
    name
        Name of the figure.
    between
        The two sides, in words: ``round 2 - round 1``.
    estimate
        Difference with its interval.
    """

    name: str
    between: str
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class ScaleStudy:
    """All figures of the readings as classes of one scale; see `Scale`."""

    name: str
    classes: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    figures: tuple[Figure, ...]
    differences: tuple[Difference, ...]
    matrices: tuple[ReaderMatrix, ...]


@dataclass(frozen=True, slots=True)
class ReadingTime:
    """Time per slide of a reader in a round: number of timed readings, quartiles in seconds."""

    reader: str
    round: str
    n: int
    low_s: float
    median_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class ReaderStudy:
    """Agreement of a reader study.

    Attributes
    ----------
    readings
        The readings.
    scales
        Figures of the classes, then of the groups null, low and positive; empty for numbers without cut-points.
    numbers
        Figures of the numbers read: alpha (interval) and intraclass correlations.
    number_differences
        Their differences between rounds.
    times
        Time per slide.
    bootstrap
        Settings of all intervals.
    warnings
        Sentences to show with the figures.
    """

    readings: Readings
    scales: tuple[ScaleStudy, ...]
    numbers: tuple[Figure, ...]
    number_differences: tuple[Difference, ...]
    times: tuple[ReadingTime, ...]
    bootstrap: BootstrapSettings
    warnings: tuple[str, ...]


def reader_study(readings: Readings, settings: BootstrapSettings | None = None) -> ReaderStudy:
    """Return all figures of the readings, with bootstrap intervals by case."""
    s = settings or BootstrapSettings()
    weights = case_weights(readings.cases, s)
    scales = [] if readings.scale is None else [readings.scale]
    if readings.scale is not None and (groups := group_scale(readings.scale, readings.ish)) is not None:
        scales.append(groups)
    vectors, slides = _number_vectors(readings, weights)
    return ReaderStudy(
        readings,
        tuple(_scale_study(readings, scale, weights) for scale in scales),
        _figures(readings, vectors, slides),
        _between_rounds(readings, vectors),
        _times(readings),
        s,
        _warnings(readings),
    )


def _scale_study(readings: Readings, scale: Scale, weights: NDArray[np.float64]) -> ScaleStudy:
    people = list(readings.people)
    comparisons: list[Comparison] = []
    vectors: list[Vectors] = []
    slides: list[dict[str, int]] = []
    for number, name in enumerate(readings.rounds):
        codes = scale.codes[number]
        pairs = list(itertools.combinations(people, 2))
        one, kappas = _compare(readings, scale, weights, "readers", name, (codes, codes), pairs)
        comparisons += one
        found = {f"mean kappa of readers ({_WORDS[kind]})": _mean(values) for kind, values in kappas.items()}
        if readings.machine is not None:
            pairs = [(readings.machine, reader) for reader in people]
            one, kappas = _compare(readings, scale, weights, "machine", name, (codes, codes), pairs)
            comparisons += one
            found |= {
                f"mean kappa of machine and reader ({_WORDS[kind]})": _mean(values)
                for kind, values in kappas.items()
            }
        counted = {key: _read_by_two(codes[:, people]) for key in found}
        more, numbers = _many_vectors(codes[:, people], weights)
        vectors.append(found | more)
        slides.append(counted | numbers)
    comparisons += _round_comparisons(readings, scale, weights)
    return ScaleStudy(
        scale.name,
        scale.classes,
        tuple(comparisons),
        _figures(readings, vectors, slides),
        _machine_differences(readings, vectors) + _between_rounds(readings, vectors),
        reader_matrices(readings, scale),
    )


def _compare(
    readings: Readings,
    scale: Scale,
    weights: NDArray[np.float64],
    kind: Kind,
    round_name: str,
    columns: tuple[NDArray[np.int64], NDArray[np.int64]],
    pairs: list[tuple[int, int]],
) -> tuple[list[Comparison], dict[str, NDArray[np.float64]]]:
    """Return the comparisons of pairs of readers, and their kappas for all resamples."""
    first = columns[0][:, [a for a, _ in pairs]]
    second = columns[1][:, [b for _, b in pairs]]
    kappas = pair_kappas(first, second, weights, len(scale.classes))
    compared = [
        Comparison(kind, round_name, readings.readers[a], readings.readers[b], "", figures)
        for (a, b), figures in zip(pairs, pair_figures(first, second, kappas), strict=True)
    ]
    return compared, {str(key): values for key, values in kappas.items()}


def _round_comparisons(readings: Readings, scale: Scale, weights: NDArray[np.float64]) -> list[Comparison]:
    """Return two rounds of each reader against each other, for all pairs of rounds."""
    compared = []
    people = list(readings.people)
    for one, two in itertools.combinations(range(len(readings.rounds)), 2):
        names = readings.rounds[one], readings.rounds[two]
        columns = scale.codes[one][:, people], scale.codes[two][:, people]
        kappas = pair_kappas(*columns, weights, len(scale.classes))
        figures = pair_figures(*columns, kappas)
        compared += [
            Comparison("rounds", f"{names[0]} and {names[1]}", *names, readings.readers[reader], pair)
            for reader, pair in zip(people, figures, strict=True)
        ]
    return compared


def _many_vectors(codes: NDArray[np.int64], weights: NDArray[np.float64]) -> tuple[Vectors, dict[str, int]]:
    """Return Fleiss' kappa and alpha of classes, and the slides of each; empty with fewer than two readers."""
    if codes.shape[1] < 2:
        return {}, {}
    values = np.where(codes >= 0, codes, np.nan)
    fleiss, complete = fleiss_kappa(values, weights)
    vectors = {"Fleiss' kappa": fleiss}
    slides = {"Fleiss' kappa": complete}
    for level in ("nominal", "ordinal"):
        name = f"Krippendorff's alpha ({level})"
        vectors[name] = krippendorff_alpha(values, weights, level)
        slides[name] = _read_by_two(codes)
    return vectors, slides


def _number_vectors(
    readings: Readings, weights: NDArray[np.float64]
) -> tuple[list[Vectors], list[dict[str, int]]]:
    """Return alpha (interval) and intraclass correlations of the numbers of each round, and the slides of each."""
    people = list(readings.people)
    vectors: list[Vectors] = []
    slides: list[dict[str, int]] = []
    for values in readings.numbers:
        numbers = values[:, people]
        if len(people) < 2:
            vectors.append({})
            slides.append({})
            continue
        icc = intraclass_correlation(numbers, weights)
        found = {"ICC(2,1)": icc.icc_2_1, "ICC(3,1)": icc.icc_3_1}
        counted = dict.fromkeys(found, icc.slides)
        levels: tuple[Level, ...] = ("interval",) if readings.scale is not None else ("ordinal", "interval")
        for level in levels:
            name = f"Krippendorff's alpha ({level})"
            found[name] = krippendorff_alpha(numbers, weights, level)
            counted[name] = int((np.isfinite(numbers).sum(axis=1) >= 2).sum())
        vectors.append(found)
        slides.append(counted)
    return vectors, slides


def _read_by_two(codes: NDArray[np.int64]) -> int:
    return int(((codes >= 0).sum(axis=1) >= 2).sum())


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = values[:, np.isfinite(values[0])]
    return known.mean(axis=1) if known.shape[1] else np.full(len(values), np.nan)


def _figures(readings: Readings, vectors: list[Vectors], slides: list[dict[str, int]]) -> tuple[Figure, ...]:
    return tuple(
        Figure(name, key, estimate_from(values), counted[key])
        for name, found, counted in zip(readings.rounds, vectors, slides, strict=True)
        for key, values in found.items()
    )


def _between_rounds(readings: Readings, vectors: list[Vectors]) -> tuple[Difference, ...]:
    return tuple(
        Difference(
            key,
            f"round {readings.rounds[two]} - round {readings.rounds[one]}",
            estimate_from(later - earlier),
        )
        for one, two in itertools.combinations(range(len(readings.rounds)), 2)
        for key, earlier in vectors[one].items()
        if (later := vectors[two].get(key)) is not None
    )


def _machine_differences(readings: Readings, vectors: list[Vectors]) -> tuple[Difference, ...]:
    """Return how much better the machine agrees with readers than readers with each other."""
    differences = []
    for name, found in zip(readings.rounds, vectors, strict=True):
        for kind in _WORDS.values():
            machine = found.get(f"mean kappa of machine and reader ({kind})")
            readers = found[f"mean kappa of readers ({kind})"]
            if machine is not None:
                estimate = estimate_from(machine - readers)
                differences.append(
                    Difference(f"mean kappa ({kind})", f"round {name}: machine - readers", estimate)
                )
    return tuple(differences)


def _times(readings: Readings) -> tuple[ReadingTime, ...]:
    times = []
    for number, name in enumerate(readings.rounds):
        for reader in readings.people:
            seconds = readings.seconds[number, :, reader]
            known = seconds[np.isfinite(seconds)]
            if len(known):
                low, median, high = np.quantile(known, [0.25, 0.5, 0.75]).tolist()
                times.append(ReadingTime(readings.readers[reader], name, len(known), low, median, high))
    return tuple(times)


def _warnings(readings: Readings) -> tuple[str, ...]:
    warnings = []
    n_cases = len(set(readings.cases))
    if n_cases < 20:
        warnings.append(f"only {n_cases} cases: bootstrap intervals are unreliable below about 20")
    people = list(readings.people)
    if len(people) < 2:
        warnings.append("one reader alone: nothing compares readers with each other")
    missing = int((~np.isfinite(readings.numbers[:, :, people])).sum())
    if missing:
        warnings.append(
            f"{missing} of {readings.numbers[:, :, people].size} readings are missing; each figure says how many "
            "slides it is computed from"
        )
    if readings.not_assessable:
        warnings.append(f"{readings.not_assessable} readings are 'not assessable' and count as missing")
    if readings.scale is not None and "2+" in readings.scale.classes:
        two = readings.scale.classes.index("2+")
        called = (readings.scale.codes == two).any(axis=(0, 2))
        unknown = sum(one is None for one, is_called in zip(readings.ish, called, strict=True) if is_called)
        if unknown:
            warnings.append(f"{unknown} slides that somebody called 2+ have no ISH result")
    return tuple(warnings)
