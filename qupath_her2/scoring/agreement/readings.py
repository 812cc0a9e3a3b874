"""Readings of a reader study: the classes or numbers that readers, and perhaps a machine, gave to slides in rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["GROUPS", "Readings", "Scale", "group_scale"]

#: HER2 groups of treatment, in rising order. 2+ belongs to low or positive by ISH; without a result it is neither.
GROUPS: tuple[str, ...] = ("null", "ultralow", "low", "2+ without ISH", "positive")
_GROUP_OF = {"0": "null", "null": "null", "ultralow": "ultralow", "1+": "low", "3+": "positive"}
_GROUP_BY_ISH = {True: "positive", False: "low", None: "2+ without ISH"}


@dataclass(frozen=True, slots=True)
class Scale:
    """Readings as classes of one scale.

    Attributes
    ----------
    name
        Name of the scale, for titles.
    classes
        The C classes in rising order.
    codes
        int64 (T, N, R), index into `classes` of T rounds, N slides, R readers; -1 where there is no reading.
    """

    name: str
    classes: tuple[str, ...]
    codes: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings of N slides by R readers in T rounds.

    Attributes
    ----------
    slides, cases
        Name and case of each slide.
    readers, rounds
        Names, in the order of the file.
    machine
        Which of `readers` is the machine; None without one.
    numbers
        float64 (T, N, R): the number read, or the place of the class on its scale; NaN where there is no reading.
    scale
        The readings as classes; None for numbers without cut-points.
    seconds
        float64 (T, N, R), time that a reading took, s; NaN where not recorded.
    ish
        ISH result of each slide: True for amplified, None where unknown.
    links
        {slide: address of its image}.
    not_assessable
        Number of readings of the kind "not assessable".
    """

    slides: tuple[str, ...]
    cases: tuple[str, ...]
    readers: tuple[str, ...]
    rounds: tuple[str, ...]
    machine: int | None
    numbers: NDArray[np.float64]
    scale: Scale | None
    seconds: NDArray[np.float64]
    ish: tuple[bool | None, ...]
    links: Mapping[str, str] = field(default_factory=dict)
    not_assessable: int = 0

    @property
    def people(self) -> tuple[int, ...]:
        """Indices of the readers who are not the machine."""
        return tuple(index for index in range(len(self.readers)) if index != self.machine)


def group_scale(scale: Scale, ish: Sequence[bool | None]) -> Scale | None:
    """Return the readings as the HER2 groups null, low and positive; None if the classes are not HER2 scores.

    A score of 0 is null where ultralow is no class of its own. A 2+ becomes low or positive by the ISH result of the
    slide; without one it is a group of its own between the two, since neither would be true.

    Parameters
    ----------
    scale
        Readings as scores.
    ish
        ISH result of each of the N slides.
    """
    if not set(scale.classes) <= {*_GROUP_OF, "2+"}:
        return None
    by_ish = np.array([GROUPS.index(_GROUP_BY_ISH[one]) for one in ish], np.int64)
    groups = np.full_like(scale.codes, -1)
    for code, name in enumerate(scale.classes):
        group = by_ish[None, :, None] if name == "2+" else GROUPS.index(_GROUP_OF[name])
        groups = np.where(scale.codes == code, group, groups)
    # Groups that nobody gave would be empty rows; the three of the question stay.
    used = [
        code
        for code, name in enumerate(GROUPS)
        if name in ("null", "low", "positive") or (groups == code).any()
    ]
    place = np.full(len(GROUPS) + 1, -1, np.int64)
    place[used] = np.arange(len(used))
    return Scale("groups by ISH", tuple(GROUPS[code] for code in used), place[groups])
