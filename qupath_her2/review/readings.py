"""Readings of a study from its files: slides, readers and rounds lined up, values on one scale."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ReviewError
from qupath_her2.project.cases import value_of_image
from qupath_her2.review.readings_file import Reading, read_number, read_readings, say_problems
from qupath_her2.scoring.agreement.readings import Readings, Scale

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["SCORES", "StudySettings", "load_readings"]

#: Scores of HER2 immunohistochemistry, the scale of a study that names no other.
SCORES: tuple[str, ...] = ("0", "1+", "2+", "3+")
_NO_VALUE = frozenset({"", "not assessable", "na", "n/a", "nan", "-"})
#: Name of the machine whose file has no column of readers.
_MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class StudySettings:
    """Scale of a study.

    Attributes
    ----------
    classes
        Classes in rising order; empty for HER2 scores or numbers, as the files have them.
    cuts
        Cut-points that make classes of numbers; empty for none.
    machine
        A file with the machine's values, or the name of a reader in the readings; "" without a machine.
    """

    classes: tuple[str, ...] = ()
    cuts: tuple[float, ...] = ()
    machine: str = ""


def load_readings(paths: Sequence[Path], settings: StudySettings, machine_file: Path | None) -> Readings:
    """Return the readings of all files as one study.

    Parameters
    ----------
    paths
        CSV files of readings.
    settings
        Scale and machine.
    machine_file
        The machine's CSV file, where `settings.machine` names one; its values stand beside every round.

    Returns
    -------
    Readings
        Slides, readers and rounds in the order in which they first occur.

    Raises
    ------
    ReviewError
        A file is wrong, a value is on no common scale, a reading occurs twice, or the machine is not found.
    """
    rows: list[tuple[Path, Reading]] = []
    for path in paths:
        rows += [(path, one) for one in read_readings(path, ("case", "reader", "value"))]
    slides = _in_order(one.slide or one.case for _, one in rows)
    rounds = _in_order(one.round or "1" for _, one in rows)
    machine = settings.machine
    if machine_file is not None:
        machine = _MACHINE
        rows += _machine_rows(
            machine_file, slides, rounds, {one.slide or one.case: one.case for _, one in rows}
        )
    readers = _in_order(one.reader for _, one in rows)
    if machine and machine not in readers:
        raise ReviewError(
            f"'{settings.machine}' is neither a file nor a reader of {paths[0]}. Readers: {', '.join(readers)}."
        )
    cases = {one.slide or one.case: one.case or one.slide for _, one in rows}
    places = _places(rows, (rounds, slides, readers))
    shape = (len(rounds), len(slides), len(readers))
    numbers, scale = _values(rows, settings, places, shape)
    seconds = np.full(shape, np.nan)
    for place, (_, one) in zip(places, rows, strict=True):
        seconds[place] = one.seconds
    return Readings(
        slides,
        tuple(cases[slide] for slide in slides),
        readers,
        rounds,
        readers.index(machine) if machine else None,
        numbers,
        scale,
        seconds,
        _ish(rows, slides),
        {one.slide or one.case: one.link for _, one in rows if one.link},
        sum(one.value.casefold() == "not assessable" for _, one in rows),
    )


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _machine_rows(
    path: Path, slides: Sequence[str], rounds: Sequence[str], cases: dict[str, str]
) -> list[tuple[Path, Reading]]:
    """Return the machine's values of the slides that were read, for every round."""
    names = {slide: slide for slide in slides}
    found: dict[str, Reading] = {}
    given, problems = [], []
    for one in read_readings(path, ("case", "value")):
        given.append(one.slide or one.case)
        # Where readings have no column of slides, the case is the slide.
        slide = value_of_image(names, one.slide) if one.slide else None
        slide = slide or names.get(one.case)
        if slide is not None and slide in found:
            problems.append(f"line {one.line}: a second value of {slide!r}; name slides in both files")
        elif slide is not None:
            found[slide] = one
    say_problems(path, problems)
    if not found:
        raise ReviewError(
            f"'{path}' has none of the slides that were read: it has {', '.join(given[:3])} …, the readings have "
            f"{', '.join(slides[:3])} …. Use the same names in both."
        )
    return [
        (path, replace(one, slide=slide, case=cases[slide], reader=_MACHINE, round=name))
        for name in rounds
        for slide, one in found.items()
    ]


def _places(
    rows: Sequence[tuple[Path, Reading]], axes: tuple[Sequence[str], Sequence[str], Sequence[str]]
) -> list[tuple[int, int, int]]:
    """Return round, slide and reader of each row, as indices; each reading may occur once."""
    at = [{name: index for index, name in enumerate(axis)} for axis in axes]
    places = []
    first: dict[tuple[int, int, int], Reading] = {}
    for path, one in rows:
        place = (at[0][one.round or "1"], at[1][one.slide or one.case], at[2][one.reader])
        if place in first:
            raise ReviewError(
                f"'{path}' line {one.line}: {one.reader} read {one.slide or one.case} twice in round "
                f"{one.round or '1'}, first in line {first[place].line}. Take one line out, or name the rounds in a "
                "column 'round'."
            )
        first[place] = one
        places.append(place)
    return places


def _values(
    rows: Sequence[tuple[Path, Reading]],
    settings: StudySettings,
    places: Sequence[tuple[int, int, int]],
    shape: tuple[int, int, int],
) -> tuple[NDArray[np.float64], Scale | None]:
    """Return the numbers, float64 (T, N, R), and the readings as classes, if they are or can be made such."""
    texts = [one.value for _, one in rows]
    classes = settings.classes or SCORES
    named = [_class_code(text, classes) for text in texts]
    values = [read_number(text) for text in texts]
    is_empty = [text.casefold() in _NO_VALUE for text in texts]
    is_class = [code >= 0 or empty for code, empty in zip(named, is_empty, strict=True)]
    is_number = [math.isfinite(value) or empty for value, empty in zip(values, is_empty, strict=True)]
    numbers = np.full(shape, np.nan)
    codes = np.full(shape, -1, np.int64)
    # Shares of 0 to 3 % could be scores too; cut-points say that they are numbers.
    if not settings.cuts and all(is_class):
        for place, code in zip(places, named, strict=True):
            codes[place], numbers[place] = code, code if code >= 0 else np.nan
        return numbers, Scale("scores", classes, codes)
    if settings.classes or not all(is_number):
        _say_wrong_values(
            rows, is_number if settings.cuts else is_class, classes if not settings.cuts else ()
        )
    for place, value in zip(places, values, strict=True):
        numbers[place] = value
    if not settings.cuts:
        return numbers, None
    codes = np.where(np.isfinite(numbers), np.searchsorted(settings.cuts, numbers, side="right"), -1)
    return numbers, Scale("classes", _names_of_cuts(settings.cuts), codes.astype(np.int64))


def _say_wrong_values(
    rows: Sequence[tuple[Path, Reading]], is_right: Sequence[bool], classes: Sequence[str]
) -> None:
    wrong = [row for row, right in zip(rows, is_right, strict=True) if not right]
    words = f"none of {', '.join(classes)}" if classes else "not a number"
    path = wrong[0][0]
    say_problems(path, [f"line {one.line}: {one.value!r} is {words}" for at, one in wrong if at == path])


def _class_code(text: str, classes: Sequence[str]) -> int:
    """Return the index of a class; the plus sign of a score may be missing, as spreadsheets drop it."""
    folded = {name.casefold(): code for code, name in enumerate(classes)}
    name = text.casefold()
    number = read_number(text)
    plain = f"{number:g}" if math.isfinite(number) else name
    return next((folded[one] for one in (name, plain, f"{plain}+") if one in folded), -1)


def _names_of_cuts(cuts: Sequence[float]) -> tuple[str, ...]:
    inner = [f"{low:g} to <{high:g}" for low, high in itertools.pairwise(cuts)]
    return (f"<{cuts[0]:g}", *inner, f"≥{cuts[-1]:g}")


def _ish(rows: Sequence[tuple[Path, Reading]], slides: Sequence[str]) -> tuple[bool | None, ...]:
    known: dict[str, bool] = {}
    for path, one in rows:
        slide = one.slide or one.case
        if one.ish is not None and known.setdefault(slide, one.ish) != one.ish:
            raise ReviewError(
                f"'{path}' line {one.line}: the ISH result of {slide} is both positive and negative."
            )
    return tuple(known.get(slide) for slide in slides)
