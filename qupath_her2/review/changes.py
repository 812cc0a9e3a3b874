"""Changes that a person made: what was written by the program, and what is there now, object by object."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import orjson

from qupath_her2.project.spreadsheet import spreadsheet_text

__all__ = ["ASPECTS", "Change", "ChangeKind", "count_changes", "digest_of", "sorted_changes", "with_authors"]

ChangeKind: TypeAlias = Literal["cell", "region", "score"]

#: {change: the side of an object that it changes}. Two people conflict where they leave one side differently.
ASPECTS: Mapping[str, str] = {
    "reclassified": "label",
    "deleted": "label",
    "added": "label",
    "shifted": "place",
    "drawn": "existence",
    "removed": "existence",
    "moved": "outline",
    "reshaped": "outline",
    "class changed": "class",
    "renamed": "name",
    "score typed": "score",
    "comment typed": "comment",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference of an image, as a line of ``changes.csv``; all texts as a spreadsheet keeps them.

    Attributes
    ----------
    image
        Id of the image in the exchange folder.
    kind
        ``cell``, ``region`` or ``score``.
    uuid
        UUID of the object; "" for scores, and for deleted cells whose run is gone.
    change
        A word of `ASPECTS`.
    aspect
        The side of the object that changed, as in `ASPECTS`.
    before, after
        Class, name or score; "" for none.
    x, y
        Centroid, level-0 pixels with two decimals; "" for scores.
    outline
        Digest of the outline as it is now, so that two outlines can be told apart; "" where it does not matter.
    run
        Run that wrote a cell.
    name
        Name of the image, or of the region.
    author, time
        Who made the change and when it was first collected, UTC.
    round
        The round in which it was first collected.
    is_undone
        The object is again as the program wrote it: what somebody had changed was taken back.
    geometry
        GeoJSON geometry, level-0 pixels; not in the CSV.
    """

    image: str
    kind: ChangeKind
    uuid: str
    change: str
    before: str
    after: str
    x: str = ""
    y: str = ""
    outline: str = ""
    run: str = ""
    name: str = ""
    author: str = ""
    time: str = ""
    round: str = ""
    is_undone: bool = False
    geometry: dict[str, Any] | None = field(default=None, compare=False)

    @property
    def aspect(self) -> str:
        """The side of the object that changed."""
        return ASPECTS[self.change]

    @property
    def object(self) -> tuple[str, str, str, str]:
        """Image, kind, object and side: people conflict where they leave one such side differently."""
        # Cells whose run is gone are known by their place alone.
        return (self.image, self.kind, self.uuid or f"{self.x} {self.y}", self.aspect)

    @property
    def outcome(self) -> tuple[str, str, str, bool]:
        """The state in which the object was left."""
        word = self.change if self.change in ("deleted", "removed") else ""
        return (word, self.after, self.outline, self.is_undone)


def digest_of(geometry: Mapping[str, Any] | None) -> str:
    """Return 12 hex digits that tell outlines apart; "" for no geometry."""
    if geometry is None:
        return ""
    return hashlib.sha256(orjson.dumps(geometry, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def sorted_changes(changes: Iterable[Change]) -> list[Change]:
    """Return changes in a fixed order, so that two rounds can be compared line by line."""
    return sorted(changes, key=lambda one: (*one.object, one.change))


def count_changes(changes: Iterable[Change]) -> list[str]:
    """Return how many changes there are of each sort, in words, e.g. ``1 cell deleted`` and ``2 regions moved``."""
    counts = Counter((one.kind, one.change) for one in changes)
    return [f"{n:,} {_words(kind, change, n)}" for (kind, change), n in sorted(counts.items())]


def _words(kind: ChangeKind, change: str, n: int) -> str:
    # What is typed has its noun in the change: a score or a comment.
    noun, verb = change.split(" ", 1) if kind == "score" else (kind, change)
    return f"{noun}{'' if n == 1 else 's'} {'given another class' if verb == 'class changed' else verb}"


def with_authors(
    found: Iterable[Change], earlier: Iterable[Change], author: str, time: str, round_name: str
) -> list[Change]:
    """Return the changes of a new round: those known keep author and time, others are the new author's.

    Parameters
    ----------
    found
        Differences between what was written and what is there now, without authors.
    earlier
        Changes of all earlier rounds, oldest first.
    author, time, round_name
        Of the new round.

    Returns
    -------
    list[Change]
        In a fixed order; objects that were changed before and are now as the program wrote them are in it too, as
        undone.
    """
    last = {one.object: one for one in earlier}
    changes = []
    seen = set()
    for one in found:
        seen.add(one.object)
        before = last.get(one.object)
        if before is not None and before.outcome == one.outcome:
            known = (before.author, before.time, before.round)
        else:
            known = (author, time, round_name)
        changes.append(replace(one, author=spreadsheet_text(known[0]), time=known[1], round=known[2]))
    for key, one in last.items():
        if key not in seen and one.is_undone:
            changes.append(one)
        elif key not in seen:
            changes.append(
                replace(
                    one,
                    author=spreadsheet_text(author),
                    time=time,
                    round=round_name,
                    after=one.before,
                    is_undone=True,
                )
            )
    return sorted_changes(changes)
