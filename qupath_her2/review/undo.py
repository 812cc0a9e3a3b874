"""Undoing a round: what it was the first to have no longer counts, and a file says how to set it back in QuPath.

``her2/review/undone/<round>.json``, format 1: ``round``, its ``digest``, ``by``, ``time``, and ``changes``: ``image``,
``kind``, ``uuid``, ``change``, ``restore`` (class, name or score as the program wrote it; "" for none), ``x``, ``y``
and ``geometry`` (GeoJSON, level-0 pixels, or null). Whoever has QuPath open sets these objects back; until then they
look as the person left them. What a later round changed again is no longer the undone round's, and stays. Rounds are
never changed, so that undoing can be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import orjson

from qupath_her2.errors import ReviewError
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.review.changes import Change
from qupath_her2.review.round_files import Round, read_rounds

__all__ = ["UNDONE_FORMAT", "Undone", "redo_round", "undo_round", "undone_rounds", "without_undone"]

UNDONE_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Undone:
    """An undone round.

    Attributes
    ----------
    round
        Its name.
    changes
        What it was the first to have and what still held.
    n_later
        Changes of the round that a later round changed again; they stay.
    path
        The file that says how to set them back.
    """

    round: str
    changes: tuple[Change, ...]
    n_later: int
    path: Path


def undo_round(her2: Path, name: str, by: str, *, now: datetime | None = None) -> Undone:
    """Undo a round.

    Parameters
    ----------
    her2
        The exchange folder.
    name
        Name of the round, ``003-anna``, or its number.
    by
        Who undoes it.
    now
        Time; None takes the clock.

    Returns
    -------
    Undone
        With the file that was written.

    Raises
    ------
    ReviewError
        There is no such round, or it was undone before.
    OutputError
        The file cannot be written.
    """
    rounds, _ = read_rounds(her2)
    one = _named(rounds, name)
    path = _path(her2, one.name)
    if path.is_file():
        raise ReviewError(f"Round {one.name} is undone already: '{path}'.")
    last = rounds[-1]
    held = {change.object: change for change in last.changes}
    own = [change for change in one.new if not change.is_undone]
    kept = [change for change in own if (now_ := held.get(change.object)) and now_.round == one.name]
    time = (now or datetime.now(timezone.utc)).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    content = {
        "format": UNDONE_FORMAT,
        "round": one.name,
        "digest": one.digest,
        "by": by,
        "time": time,
        "changes": [_restored(change) for change in kept],
    }
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n")
    return Undone(one.name, tuple(kept), len(own) - len(kept), path)


def redo_round(her2: Path, name: str) -> str:
    """Let an undone round count again, and return its name.

    Raises
    ------
    ReviewError
        There is no such round, or it was not undone.
    OutputError
        The file cannot be removed.
    """
    one = _named(read_rounds(her2)[0], name)
    path = _path(her2, one.name)
    if not path.is_file():
        raise ReviewError(f"Round {one.name} was not undone.")
    with output_errors(path):
        path.unlink()
    return one.name


def undone_rounds(her2: Path) -> tuple[frozenset[str], list[str]]:
    """Return the names of the undone rounds, and a sentence for each file that is damaged.

    A damaged file undoes its round all the same: its name says which, and the rest only how to set objects back.
    """
    names, problems = set(), []
    for path in sorted((her2 / "review" / "undone").glob("*.json")):
        names.add(path.stem)
        try:
            content = orjson.loads(path.read_bytes())
            if not isinstance(content, dict) or content.get("format") != UNDONE_FORMAT:
                problems.append(
                    f"'{path.name}' of an undone round is of another format; the round counts as undone"
                )
        except (OSError, orjson.JSONDecodeError) as error:
            problems.append(
                f"'{path.name}' of an undone round is damaged ({error}); the round counts as undone"
            )
    return frozenset(names), problems


def without_undone(rounds: Sequence[Round], names: frozenset[str]) -> list[Round]:
    """Return the rounds without what undone rounds were the first to have."""
    if not names:
        return list(rounds)
    return [
        replace(one, changes=tuple(change for change in one.changes if change.round not in names))
        for one in rounds
    ]


def _restored(change: Change) -> dict[str, object]:
    return {
        "image": change.image,
        "kind": change.kind,
        "uuid": change.uuid,
        "change": change.change,
        "restore": change.before,
        "x": change.x,
        "y": change.y,
        "geometry": change.geometry,
    }


def _named(rounds: Sequence[Round], name: str) -> Round:
    for one in rounds:
        if name == one.name or (name.isdigit() and int(name) == one.number):
            return one
    known = ", ".join(one.name for one in rounds) or "none"
    raise ReviewError(f"There is no round '{name}'. Rounds: {known}.")


def _path(her2: Path, name: str) -> Path:
    return her2 / "review" / "undone" / f"{name}.json"
