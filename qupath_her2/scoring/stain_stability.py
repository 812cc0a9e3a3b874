"""Stability of a score against the stain vectors: the scores that other plausible vectors would have given.

Cells of a part of the image are measured again with each alternative. The change of their class shares is applied to
all cells of the image, so that the answer does not depend on which part was measured twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.scoring.intervals import false_call_limit
from qupath_her2.scoring.rules import evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qupath_her2.records import SlideScore
    from qupath_her2.scoring.rules import Guideline

__all__ = ["Restained", "with_stain_stability"]


@dataclass(frozen=True, slots=True)
class Restained:
    """Cells of a part of an image, measured with the vectors in use and with others.

    Attributes
    ----------
    name
        The other vectors, e.g. ``the image's own``.
    deviation_deg
        Angle between both pairs of vectors, the larger one, degrees.
    before, after
        Cells by intensity and pattern, (4, 4) as in `fact_counts`, with the vectors in use and with the others.
    """

    name: str
    deviation_deg: float
    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]


def with_stain_stability(
    score: SlideScore,
    counts: NDArray[np.int64],
    guideline: Guideline,
    alternatives: Sequence[Restained],
    *,
    noise_floor: float,
) -> SlideScore:
    """Return a score with a tag where it holds under all alternatives, else with a warning that names them.

    Parameters
    ----------
    score
        Of the image.
    counts
        int64 (4, 4), all its cells by intensity and pattern.
    guideline
        The rule table. Rules on clusters of cells need positions and are not checked: nothing is said then.
    alternatives
        Cells measured again with other vectors.
    noise_floor
        As in `ScoringSettings`.

    Returns
    -------
    SlideScore
        Unchanged where it has no score or there is nothing to compare.
    """
    if score.score is None or guideline.by_cluster:
        return score
    found = {}
    for other in alternatives:
        moved = _moved(counts, np.array(other.before), np.array(other.after))
        if moved is not None:
            false_calls = false_call_limit(int(moved.sum()), noise_floor)
            found[f"{other.name} ({other.deviation_deg:.0f}° away)"] = evaluate(
                moved, guideline, false_calls=false_calls
            ).score
    if not found:
        return score
    if set(found.values()) == {score.score}:
        return replace(score, tags=(*score.tags, f"stable against stain vectors: {', '.join(found)}"))
    words = ", ".join(f"{value} with {name}" for name, value in found.items())
    warning = f"The score {score.score} depends on the stain vectors: {words}."
    return replace(score, warnings=(*score.warnings, warning))


def _moved(
    counts: NDArray[np.int64], before: NDArray[np.int64], after: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Return the image's counts with the change of shares from `before` to `after`; None without cells to compare."""
    if not before.sum() or not after.sum():
        return None
    change = after / after.sum() - before / before.sum()
    moved: NDArray[np.int64] = np.rint(np.maximum(counts + counts.sum() * change, 0)).astype(np.int64)
    return moved if moved.sum() else None
