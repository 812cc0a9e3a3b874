"""Published HER2 guidelines, row by row, and the choice of guideline for a case.

"Faint", "weak" and "barely perceptible" are one measured intensity (``faint``): incomplete staining of that
intensity is the 1+ of the breast tables, complete staining is their "weak complete" 2+. No published optical
density separates weak from faint.
"""

from __future__ import annotations

from difflib import get_close_matches
from itertools import product
from typing import TYPE_CHECKING

from qupath_her2.errors import SettingsError
from qupath_her2.records import INTENSITIES, PATTERNS
from qupath_her2.scoring.rules import Cutoff, Guideline, Row, Uncovered

if TYPE_CHECKING:
    from qupath_her2.records import CaseInfo

__all__ = [
    "BREAST_2013",
    "BREAST_2018",
    "CSCO_2021",
    "GASTRIC_BIOPSY",
    "GASTRIC_RESECTION",
    "GUIDELINES",
    "guideline_for",
]

_NONE, _FAINT, _MODERATE, _INTENSE = range(len(INTENSITIES))
_, _INCOMPLETE, _LATERAL, _COMPLETE = range(len(PATTERNS))
_STAINED = (_FAINT, _MODERATE, _INTENSE)
_PARTIAL = (_INCOMPLETE, _LATERAL)
_MEMBRANE = (_INCOMPLETE, _LATERAL, _COMPLETE)
_SIDED = (_LATERAL, _COMPLETE)


def _cells(intensities: tuple[int, ...], patterns: tuple[int, ...]) -> frozenset[tuple[int, int]]:
    return frozenset(product(intensities, patterns))


_INTENSE_COMPLETE = _cells((_INTENSE,), (_COMPLETE,))
_ANY_COMPLETE = _cells(_STAINED, (_COMPLETE,))
# Includes complete membranes: a cell must not leave a 2+ row because more of its membrane stains.
_MODERATE_OR_MORE = _cells((_MODERATE, _INTENSE), _MEMBRANE)
_ANY_STAIN = _cells(_STAINED, _MEMBRANE)
_ABOVE_10 = Cutoff("above", 10)
_UP_TO_10 = Cutoff("up to", 10)

_THREE_PLUS = Row("3+", "intense complete staining", _INTENSE_COMPLETE, _ABOVE_10)
_HETEROGENEOUS = Row("2+", "intense complete staining", _INTENSE_COMPLETE, _UP_TO_10, uncommon=True)
_ONE_PLUS = Row("1+", "faint incomplete staining", _ANY_STAIN, _ABOVE_10)

_OPEN_IN_BREAST = (
    Uncovered(
        "complete weak or moderate staining in <= 10 %", _cells((_FAINT, _MODERATE), (_COMPLETE,)), below="2+"
    ),
    Uncovered(
        "moderate or intense incomplete staining in <= 10 %",
        _cells((_MODERATE, _INTENSE), _PARTIAL),
        below="2+",
    ),
    # Reached only when the share is within the noise floor; above it the table itself gives 2+.
    Uncovered("intense complete staining in <= 10 %", _INTENSE_COMPLETE, below="2+"),
)

#: ASCO/CAP 2018, affirmed 2023. The uncommon 2+ row counts complete cells too; otherwise completing a membrane
#: could lower a score.
BREAST_2018 = Guideline(
    key="breast-2018",
    name="ASCO/CAP breast 2018/2023",
    source="doi 10.5858/arpa.2018-0902-SA, doi 10.5858/arpa.2023-0950-SA",
    site="breast",
    rows=(
        _THREE_PLUS,
        Row("2+", "weak to moderate complete staining", _ANY_COMPLETE, _ABOVE_10),
        Row("2+", "moderate to intense but incomplete staining", _MODERATE_OR_MORE, _ABOVE_10, uncommon=True),
        _HETEROGENEOUS,
        _ONE_PLUS,
    ),
    uncovered=_OPEN_IN_BREAST,
)

#: ASCO/CAP 2013: "incomplete and/or weak/moderate" is one row, so the two patterns are counted together.
BREAST_2013 = Guideline(
    key="breast-2013",
    name="ASCO/CAP breast 2013",
    source="doi 10.1200/JCO.2013.50.9984",
    site="breast",
    rows=(
        _THREE_PLUS,
        Row(
            "2+",
            "incomplete and/or weak to moderate circumferential staining",
            _ANY_COMPLETE | _MODERATE_OR_MORE,
            _ABOVE_10,
        ),
        _HETEROGENEOUS,
        _ONE_PLUS,
    ),
    uncovered=_OPEN_IN_BREAST,
)

#: CSCO 2021, Table 1 of Che et al. 2023: 2+ (a) does not require completeness; faint incomplete cells are 1+.
CSCO_2021 = Guideline(
    key="csco-2021",
    name="CSCO breast 2021",
    source="CSCO 2021 as printed in Table 1 of doi 10.3390/diagnostics13020263",
    site="breast",
    rows=(
        _THREE_PLUS,
        Row("2+", "weak to moderate staining", _ANY_COMPLETE | _MODERATE_OR_MORE, _ABOVE_10),
        _HETEROGENEOUS,
        _ONE_PLUS,
    ),
    uncovered=_OPEN_IN_BREAST,
)


def _gastric_rows(cutoff: Cutoff) -> tuple[Row, ...]:
    return (
        Row("3+", "strong complete, basolateral or lateral staining", _cells((_INTENSE,), _SIDED), cutoff),
        Row(
            "2+",
            "weak to moderate complete, basolateral or lateral staining",
            _cells(_STAINED, _SIDED),
            cutoff,
        ),
        Row("1+", "faint staining of part of the membrane", _ANY_STAIN, cutoff),
    )


_OPEN_IN_GASTRIC = (
    Uncovered(
        "moderate or intense staining of only part of the membrane",
        _cells((_MODERATE, _INTENSE), (_INCOMPLETE,)),
        below="2+",
    ),
)

#: Gastric and gastro-oesophageal adenocarcinoma, resection: the cut-off is at least 10 %, not above 10 %.
GASTRIC_RESECTION = Guideline(
    key="gastric-resection",
    name="CAP/ASCP/ASCO gastric 2016, resection",
    source="doi 10.5858/arpa.2016-0331-CP",
    site="gastric",
    rows=_gastric_rows(Cutoff("at least", 10)),
    uncovered=_OPEN_IN_GASTRIC,
)

#: The same patterns in a biopsy: a cluster of 5 stained cells suffices, whatever the percentage.
GASTRIC_BIOPSY = Guideline(
    key="gastric-biopsy",
    name="CAP/ASCP/ASCO gastric 2016, biopsy",
    source="doi 10.5858/arpa.2016-0331-CP",
    site="gastric",
    rows=_gastric_rows(Cutoff("cluster", 5)),
    uncovered=_OPEN_IN_GASTRIC,
)

#: Every guideline by its key.
GUIDELINES: dict[str, Guideline] = {
    table.key: table for table in (BREAST_2018, BREAST_2013, CSCO_2021, GASTRIC_RESECTION, GASTRIC_BIOPSY)
}


def guideline_for(case: CaseInfo, name: str | None = None) -> Guideline:
    """Return the guideline with the given key or name, or the one that suits the case.

    Parameters
    ----------
    case
        Decides when `name` is None or ``auto``: breast -> ASCO/CAP 2018/2023, gastric -> by specimen type.
    name
        A key (``breast-2013``) or a full name, in any letter case.

    Returns
    -------
    Guideline
        One of `GUIDELINES`.

    Raises
    ------
    SettingsError
        No guideline has that name; the message suggests the nearest.
    """
    if name is None or name.lower() == "auto":
        return BREAST_2018 if case.site == "breast" else GUIDELINES[f"gastric-{case.specimen}"]
    known = {label.lower(): table for table in GUIDELINES.values() for label in (table.key, table.name)}
    if name.lower() in known:
        return known[name.lower()]
    # cutoff=0 always finds a suggestion, even for an empty name.
    nearest = get_close_matches(name.lower(), known, n=1, cutoff=0.0)
    raise SettingsError(
        f"Guideline '{name}' is unknown. Did you mean '{known[nearest[0]].key}'? "
        f"Available: auto, {', '.join(GUIDELINES)}."
    )
