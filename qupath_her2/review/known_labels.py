"""Changes that count of all rounds: without undone ones, with settled conflicts, and without those still open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.review.conflicts import Conflict, agreed_changes
from qupath_her2.review.round_files import read_copies, read_rounds
from qupath_her2.review.settlements import open_conflicts, read_settlements, settled_changes
from qupath_her2.review.undo import undone_rounds, without_undone

if TYPE_CHECKING:
    from qupath_her2.review.changes import Change

__all__ = ["KnownChanges", "known_changes"]


@dataclass(frozen=True, slots=True)
class KnownChanges:
    """What people changed, as far as it counts.

    Attributes
    ----------
    changes
        The state of each object on which all agree or which was settled.
    conflicts
        Objects that people left in different states, and that nobody settled.
    notes
        Sentences about damaged files.
    """

    changes: tuple[Change, ...]
    conflicts: tuple[Conflict, ...]
    notes: tuple[str, ...]

    @property
    def images(self) -> set[str]:
        """Images in which somebody changed something; also what people differ on, since somebody has looked at it."""
        states = [one for conflict in self.conflicts for one in conflict.states]
        return {one.image for one in (*self.changes, *states)}


def known_changes(her2: Path) -> KnownChanges:
    """Return what counts of the rounds of an exchange folder and of the copies merged into it."""
    rounds, problems = read_rounds(her2)
    copies, more = read_copies(her2)
    undone, damaged = undone_rounds(her2)
    settlements, torn = read_settlements(her2)
    # A copy may have a round of the same name; it was never in this project, and is not undone with it.
    counted = [*without_undone(rounds, undone), *copies]
    changes = (*agreed_changes(counted), *settled_changes(counted, settlements))
    conflicts = open_conflicts(counted, settlements)
    return KnownChanges(changes, tuple(conflicts), (*problems, *more, *damaged, *torn))
