"""Failure policy of a batch: which images are tried again, and under what load."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from qupath_her2.runs.failures import PASSING

if TYPE_CHECKING:
    from qupath_her2.records import ImageResult

__all__ = ["MOST_TRIES", "Retries", "Retry"]

#: Tries of one image in a batch, the first included; then it is set aside with its last error.
MOST_TRIES = 2
#: An image that ran out of memory, or whose worker was killed, is tried a third time with nothing beside it: the
#: others may have taken the memory, and a kill from outside is no fault of the image.
_MOST_TRIES_ALONE = 3

#: Another try: as before, with half as much at once, or alone on this machine.
Retry = Literal["again", "half", "alone"]


@dataclass(slots=True)
class Retries:
    """Tries of each image so far.

    Attributes
    ----------
    tries
        {image: failed tries}.
    """

    tries: Counter[str] = field(default_factory=Counter)

    def next(self, result: ImageResult) -> Retry | None:
        """Return how a failed image is tried again; None where it is set aside.

        What may pass by itself is tried once more; a file that cannot be read or a setting that does not fit gives the
        same answer every time. An image held by another worker is none of these: see `drive`.
        """
        if result.failure not in PASSING:
            return None
        self.tries[result.image] += 1
        n = self.tries[result.image]
        if result.failure in ("memory", "killed"):
            return ("half", "alone")[n - 1] if n < _MOST_TRIES_ALONE else None
        return "again" if n < MOST_TRIES else None
