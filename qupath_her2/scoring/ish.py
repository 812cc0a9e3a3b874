"""In-situ hybridisation (ISH) read together with IHC: the five dual-probe groups, and single-probe results.

ASCO/CAP breast 2018, affirmed 2023 (doi 10.5858/arpa.2018-0902-SA, doi 10.5858/arpa.2023-0950-SA). `ratio` is
HER2/CEP17, `copies` the mean number of HER2 signals per cell. Breast only: the gastric rules differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Literal

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from qupath_her2.records import CaseInfo

__all__ = ["IshResult", "dual_probe", "ish_for", "ish_group", "single_probe"]

IshStatus = Literal["positive", "negative", "dual probe needed", "copies needed", "IHC needed"]

# ASCO/CAP 2018: values equal to a threshold belong to the higher side.
_RATIO_CUT = 2.0
_LOW_COPIES = 4.0
_HIGH_COPIES = 6.0

_RECOUNT = (
    "A second observer, blinded to the first result, must recount at least 20 cells in the area of 2+ "
    "staining; the result stands if the recount falls in the same group"
)
_COMMENTS = {
    2: "Ratio of 2.0 or more with fewer than 4.0 HER2 copies per cell: limited evidence of benefit from "
    "HER2-targeted therapy; negative unless IHC is 3+",
    3: "Ratio below 2.0 with 6.0 or more HER2 copies per cell: few such cases were in the trials; negative if "
    "IHC is 0 or 1+, positive if IHC is 2+ or 3+",
    4: "Ratio below 2.0 with 4.0 to 6.0 HER2 copies per cell: close to the threshold, so a repeat test may "
    "differ by chance; negative unless IHC is 3+",
}
_DISCORDANT = "IHC 3+ without amplification is discordant: check both tests and the specimen"

#: (group, IHC) -> (result, recount required, comment): the guideline's table.
_Cell = tuple[IshStatus, bool, str]
_TABLE: dict[int, dict[str, _Cell]] = {
    1: {"0/1+": ("positive", False, ""), "2+": ("positive", False, ""), "3+": ("positive", False, "")},
    2: {
        "0/1+": ("negative", False, _COMMENTS[2]),
        "2+": ("negative", True, _COMMENTS[2]),
        "3+": ("positive", False, ""),
    },
    3: {
        "0/1+": ("negative", False, _COMMENTS[3]),
        "2+": ("positive", True, ""),
        "3+": ("positive", False, ""),
    },
    4: {
        "0/1+": ("negative", False, _COMMENTS[4]),
        "2+": ("negative", True, _COMMENTS[4]),
        "3+": ("positive", False, ""),
    },
    5: {
        "0/1+": ("negative", False, ""),
        "2+": ("negative", False, ""),
        "3+": ("negative", False, _DISCORDANT),
    },
}


@dataclass(frozen=True, slots=True)
class IshResult:
    """An ISH result read together with IHC.

    `group` is 1..5, or None for a single probe. `status` is final unless `recount` is true: then it holds if
    the recount falls in the same group. `comment` is empty or what the guideline requires in the report.
    """

    status: IshStatus
    group: int | None = None
    recount: bool = False
    comment: str = ""

    @property
    def amplified(self) -> bool | None:
        """Positive -> True, negative -> False, undecided -> None."""
        return {"positive": True, "negative": False}.get(self.status)


def _check(name: str, value: float) -> None:
    if not isfinite(value) or value < 0:
        raise ScoringError(f"{name} is {value}; it must be 0 or a positive number. Correct it in cases.csv.")


def ish_group(ratio: float, copies: float) -> int:
    """Return the dual-probe group, 1..5, for a HER2/CEP17 ratio and a mean HER2 copy number per cell.

    Raises
    ------
    ScoringError
        A value is negative, infinite or NaN.
    """
    _check("HER2/CEP17 ratio", ratio)
    _check("HER2 copies per cell", copies)
    if ratio >= _RATIO_CUT:
        return 1 if copies >= _LOW_COPIES else 2
    if copies >= _HIGH_COPIES:
        return 3
    return 4 if copies >= _LOW_COPIES else 5


def dual_probe(ratio: float, copies: float, ihc: str | None) -> IshResult:
    """Read a dual-probe result together with the IHC score of the same specimen.

    Parameters
    ----------
    ratio, copies
        HER2/CEP17 ratio and mean HER2 copies per cell.
    ihc
        ``0``, ``1+``, ``2+``, ``3+``, or None if IHC gave no score: groups 2 to 4 then stay undecided.

    Returns
    -------
    IshResult
        Status, group, and what the guideline requires in the report.

    Raises
    ------
    ScoringError
        A value is negative, infinite or NaN, or `ihc` is not a HER2 score.
    """
    group = ish_group(ratio, copies)
    if ihc is not None and ihc not in SCORES:
        raise ScoringError(f"Unknown IHC score '{ihc}'; expected one of {', '.join(SCORES)}.")
    # Groups 1 and 5 are positive and negative whatever IHC shows; 2 to 4 are decided by it.
    if ihc is None and group in _COMMENTS:
        return IshResult("IHC needed", group, comment=_COMMENTS[group])
    # The guideline treats IHC 0 and 1+ alike; without IHC, groups 1 and 5 have one result in that column anyway.
    status, recount, comment = _TABLE[group]["0/1+" if ihc in (None, "0", "1+") else str(ihc)]
    text = "; ".join(part for part in (_RECOUNT if recount else "", comment) if part)
    return IshResult(status, group, recount, text)


def single_probe(copies: float) -> IshResult:
    """Read a single-probe result: positive from 6.0 copies per cell, negative below 4.0, undecided between.

    Raises
    ------
    ScoringError
        `copies` is negative, infinite or NaN.
    """
    _check("HER2 copies per cell", copies)
    # Without CEP17 there is no ratio, so the counts between the thresholds stay undecided.
    if copies >= _HIGH_COPIES:
        return IshResult("positive")
    if copies < _LOW_COPIES:
        return IshResult("negative")
    return IshResult(
        "dual probe needed",
        comment="Single probe with 4.0 to 6.0 HER2 copies per cell: retest with a dual probe",
    )


def ish_for(case: CaseInfo, ihc: str | None) -> IshResult | None:
    """Return the ISH result of a breast case, or None when nothing was tested.

    Ratio and copies are read as dual probe, copies alone as single probe. A ratio alone fits more than one group
    and stays undecided.

    Raises
    ------
    ScoringError
        A value is negative, infinite or NaN.
    """
    if case.her2_cep17_ratio is None:
        return None if case.her2_copies is None else single_probe(case.her2_copies)
    if case.her2_copies is None:
        # 2.0 or more may be group 1 or 2, less than that 3, 4 or 5.
        _check("HER2/CEP17 ratio", case.her2_cep17_ratio)
        comment = f"Ratio of {case.her2_cep17_ratio:g} without HER2 copies per cell: add the copies to assign a group"
        return IshResult("copies needed", comment=comment)
    return dual_probe(case.her2_cep17_ratio, case.her2_copies, ihc)
