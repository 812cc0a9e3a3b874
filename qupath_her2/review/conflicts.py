"""Labels of several people: what they agree on, and the objects that they left in different states."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qupath_her2.project.spreadsheet import csv_bytes

if TYPE_CHECKING:
    from qupath_her2.review.changes import Change
    from qupath_her2.review.round_files import Round

__all__ = ["Conflict", "agreed_changes", "conflicts_csv", "find_conflicts", "latest_by_author"]

#: People read the same slide differently; their scores are compared by ``review agreement``, not settled here.
_OPINIONS = frozenset({"score", "comment"})


@dataclass(frozen=True, slots=True)
class Conflict:
    """One side of an object that people left in different states, with the last state of each person."""

    states: tuple[Change, ...]

    @property
    def sentence(self) -> str:
        """The conflict in words."""
        one = self.states[0]
        where = f"{one.kind} at {one.x}, {one.y}" if one.x else one.kind
        return f"{one.image}, {where}: " + "; ".join(map(state_words, self.states))


def state_words(one: Change) -> str:
    """Return what a person did to an object, in words."""
    word = "left as written" if one.is_undone else one.change
    return f"{one.author} {word}{f' {one.after}' if one.after and not one.is_undone else ''}"


def latest_by_author(rounds: Iterable[Round]) -> dict[tuple[str, str, str, str], dict[str, Change]]:
    """Return {object and side: {author: the last state that this person gave it}}."""
    found: dict[tuple[str, str, str, str], dict[str, Change]] = defaultdict(dict)
    for one in rounds:
        for change in one.changes:
            found[change.object][change.author] = change
    return found


def find_conflicts(rounds: Sequence[Round]) -> list[Conflict]:
    """Return the objects that people left in different states, in a fixed order; scores are opinions."""
    conflicts = []
    for key, states in sorted(latest_by_author(rounds).items()):
        if key[3] not in _OPINIONS and len({one.outcome for one in states.values()}) > 1:
            conflicts.append(Conflict(tuple(states[author] for author in sorted(states))))
    return conflicts


def agreed_changes(rounds: Sequence[Round]) -> list[Change]:
    """Return the changes on which all who made one agree, without those that were undone; conflicts are left out."""
    agreed = []
    for states in latest_by_author(rounds).values():
        outcomes = {one.outcome for one in states.values()}
        last = max(states.values(), key=lambda one: one.time)
        if len(outcomes) == 1 and not last.is_undone:
            agreed.append(last)
    return agreed


def conflicts_csv(conflicts: Sequence[Conflict]) -> bytes:
    """Return the conflicts as CSV: a line for each person's state, those of one object below each other."""
    header = (
        "conflict",
        "image",
        "kind",
        "uuid",
        "x",
        "y",
        "author",
        "state",
        "before",
        "after",
        "time",
        "round",
    )
    rows = [
        (
            str(number),
            *(one.image, one.kind, one.uuid, one.x, one.y, one.author),
            "left as written" if one.is_undone else one.change,
            *(one.before, one.after, one.time, one.round),
        )
        for number, conflict in enumerate(conflicts, 1)
        for one in conflict.states
    ]
    return csv_bytes([header, *rows])
