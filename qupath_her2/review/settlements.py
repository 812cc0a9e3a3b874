"""Settlements: whose state of an object counts where people differ, said by a person and never by the program.

``her2/review/settlements.jsonl``: a line for each settlement, only ever appended: ``object`` (image, kind, UUID or
place, side), ``states`` {author: what she did}, ``take`` (the author whose state counts), ``by`` and ``time``. It holds
for these states alone: where one of the people changes her mind, the conflict is open again. A settlement decides which
label counts in calibration and training; nothing in QuPath is changed by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from qupath_her2.errors import ReviewError
from qupath_her2.project.exchange.appending import append_lines, read_lines
from qupath_her2.review.conflicts import Conflict, find_conflicts, state_words

if TYPE_CHECKING:
    from qupath_her2.review.changes import Change
    from qupath_her2.review.round_files import Round

__all__ = ["Settlement", "open_conflicts", "read_settlements", "settle", "settled_changes"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """One settled conflict.

    Attributes
    ----------
    object
        Image, kind, UUID or place, and side, as `changes.Change.object`.
    states
        {author: what she did, in words}.
    take
        The author whose state counts.
    by, time
        Who settled it, and when (UTC).
    """

    object: tuple[str, ...]
    states: Mapping[str, str]
    take: str
    by: str
    time: str


def read_settlements(her2: Path) -> tuple[list[Settlement], list[str]]:
    """Return the settlements in their order, and a sentence for each line that is damaged; the others hold."""
    path = _path(her2)
    found, problems = [], []
    for number, line in enumerate(read_lines(path), 1):
        try:
            content = orjson.loads(line)
            one = Settlement(**{**content, "object": tuple(content["object"])})
            found.append(one)
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            problems.append(f"'{path.name}', line {number} is damaged ({error}); the others hold")
    return found, problems


def open_conflicts(rounds: Sequence[Round], settlements: Sequence[Settlement]) -> list[Conflict]:
    """Return the conflicts that nobody has settled as they stand now."""
    return [one for one in find_conflicts(rounds) if _settlement(one, settlements) is None]


def settled_changes(rounds: Sequence[Round], settlements: Sequence[Settlement]) -> list[Change]:
    """Return the states that were taken in settled conflicts, without those left as the program wrote them."""
    taken = []
    for conflict in find_conflicts(rounds):
        found = _settlement(conflict, settlements)
        if found is not None:
            taken += [one for one in conflict.states if one.author == found.take and not one.is_undone]
    return taken


def settle(
    her2: Path,
    conflicts: Sequence[Conflict],
    take: str,
    by: str,
    *,
    numbers: Iterable[int] = (),
    now: datetime | None = None,
) -> list[Settlement]:
    """Settle conflicts by taking one person's state of each.

    Parameters
    ----------
    her2
        The exchange folder.
    conflicts
        The open ones, in the order of ``conflicts.csv``.
    take
        The person whose state counts.
    by
        Who says so.
    numbers
        Numbers of the conflicts, from 1; empty for all in which `take` has a state.
    now
        Time; None takes the clock.

    Returns
    -------
    list[Settlement]
        One for each conflict.

    Raises
    ------
    ReviewError
        There is no such conflict, or the person has no state in it.
    OutputError
        The file cannot be written.
    """
    chosen = _chosen(conflicts, take, list(numbers))
    time = (now or datetime.now(timezone.utc)).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    found = [Settlement(one.states[0].object, _states(one), take, by, time) for one in chosen]
    append_lines(_path(her2), [orjson.dumps(asdict(one), option=orjson.OPT_SORT_KEYS) for one in found])
    return found


def _chosen(conflicts: Sequence[Conflict], take: str, numbers: Sequence[int]) -> list[Conflict]:
    people = sorted({state.author for one in conflicts for state in one.states})
    if not conflicts:
        raise ReviewError("There is no open conflict to settle.")
    if take not in people:
        raise ReviewError(f"'{take}' has no state in any open conflict. People in them: {', '.join(people)}.")
    for number in numbers:
        if not 1 <= number <= len(conflicts):
            raise ReviewError(
                f"There is no conflict {number}: open are 1 to {len(conflicts)} (conflicts.csv)."
            )
        if take not in {state.author for state in conflicts[number - 1].states}:
            raise ReviewError(
                f"'{take}' has no state in conflict {number}: {conflicts[number - 1].sentence}."
            )
    if numbers:
        return [conflicts[number - 1] for number in sorted(set(numbers))]
    return [one for one in conflicts if take in {state.author for state in one.states}]


def _states(conflict: Conflict) -> dict[str, str]:
    return {one.author: f"{state_words(one)} {one.outline}".strip() for one in conflict.states}


def _settlement(conflict: Conflict, settlements: Sequence[Settlement]) -> Settlement | None:
    """Return the last settlement of exactly these states."""
    states, key = _states(conflict), conflict.states[0].object
    return next((one for one in reversed(settlements) if one.object == key and one.states == states), None)


def _path(her2: Path) -> Path:
    return her2 / "review" / "settlements.jsonl"
