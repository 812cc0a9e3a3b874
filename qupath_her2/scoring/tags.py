"""Tags printed beside a breast score, never instead of it: HER2-low, -ultralow, -null, and the ISH result.

HER2-low is 1+, or 2+ without amplification; HER2-ultralow is 0 with faint staining in at most 10 % of cells
(ASCO/CAP 2023, doi 10.5858/arpa.2023-0950-SA, and the trials it cites). HER2-null is 0 without any staining: a
claim of absence, so the tag states the noise floor below which staining cannot be told from false calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from qupath_her2.scoring.ish import IshResult

__all__ = ["ISH_NEEDED", "binary_status", "ish_text", "therapy_tags", "three_way_status"]

#: Returned for 2+ without a usable ISH result.
ISH_NEEDED = "2+, ISH needed"


def therapy_tags(
    score: str, *, stained: int, false_calls: int, noise_floor: float, ish: IshResult | None = None
) -> tuple[str, ...]:
    """Return the tags of a breast score.

    Parameters
    ----------
    score
        ``0`` .. ``3+``.
    stained
        Cells with any membrane staining.
    false_calls
        Stained cells that classification errors alone may produce (`intervals.false_call_limit`).
    noise_floor
        The share of cells, 0..1, from which `false_calls` was computed; HER2-null states it.
    ish
        ISH result read with this score, or None when not tested.

    Returns
    -------
    tuple[str, ...]
        The HER2 category, then the ISH result where there is one.

    Raises
    ------
    ScoringError
        `score` is not a HER2 score.
    """
    _check(score)
    tags = []
    # ISH can be positive (group 1) although IHC is 0 or 1+.
    if score in ("0", "1+") and ish is not None and ish.amplified:
        # An amplified tumour is HER2-positive whatever the stain shows, so neither low nor null.
        tags.append("HER2-positive")
    elif score == "0" and stained <= false_calls:
        tags.append(f"HER2-null at a noise floor of {100 * noise_floor:g} %")
    elif score == "0":
        tags.append("HER2-ultralow")
    elif score == "1+":
        tags.append("HER2-low")
    elif score == "2+":
        tags.append(_equivocal_tag(ish))
    else:
        tags.append("HER2-positive")
    # Also where ISH changed nothing: the report must show that it was read.
    if ish is not None:
        tags.append(ish_text(ish))
    return tuple(tags)


def _equivocal_tag(ish: IshResult | None) -> str:
    if ish is None or ish.amplified is None:
        return ISH_NEEDED
    return "HER2-positive" if ish.amplified else "HER2-low"


def ish_text(ish: IshResult) -> str:
    """Return an ISH result as one line, e.g. ``ISH group 5: negative``."""
    name = "ISH" if ish.group is None else f"ISH group {ish.group}"
    return f"{name}: {ish.status}" + (f". {ish.comment}" if ish.comment else "")


def three_way_status(score: str, ish: IshResult | None = None) -> str:
    """Return ``0``, ``low`` or ``high`` (0 | 1+, 2+/ISH- | 2+/ISH+, 3+), or `ISH_NEEDED` for 2+ without ISH.

    The grouping of Chauhan et al. 2025; ISH matters for 2+ only.

    Raises
    ------
    ScoringError
        `score` is not a HER2 score.
    """
    _check(score)
    if score != "2+":
        return {"0": "0", "1+": "low", "3+": "high"}[score]
    if ish is None or ish.amplified is None:
        return ISH_NEEDED
    return "high" if ish.amplified else "low"


def binary_status(score: str, ish: IshResult | None = None) -> str:
    """Return ``negative`` (0, 1+, 2+/ISH-) or ``positive`` (2+/ISH+, 3+), or `ISH_NEEDED` for 2+ without ISH.

    Raises
    ------
    ScoringError
        `score` is not a HER2 score.
    """
    status = three_way_status(score, ish)
    return {"0": "negative", "low": "negative", "high": "positive"}.get(status, status)


def _check(score: str) -> None:
    if score not in SCORES:
        raise ScoringError(f"'{score}' is not a HER2 score; expected one of {', '.join(SCORES)}.")
