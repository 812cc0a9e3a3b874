"""``review conflicts``: what people left in different states, side by side; the review window in QuPath shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

if TYPE_CHECKING:
    from qupath_her2.review.changes import Change
    from qupath_her2.review.conflicts import Conflict

__all__ = ["conflicts"]


@verb
def conflicts(
    folder: o.Folder,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object a line, as the review window reads them.")
    ] = False,
    out: o.Out = None,
    debug: o.Debug = False,
) -> int:
    """List the objects that people left in different states and that nobody settled, with the state of each person.

    The numbers are those that review settle takes.

    [bold]Example[/bold]

    qupath-her2 review conflicts study
    """
    from qupath_her2.review.known_labels import known_changes
    from qupath_her2.runs.plan import exchange_folder

    known = known_changes(exchange_folder(folder, out))
    for note in known.notes:
        typer.echo(f"note    {note}", err=True)
    for number, one in enumerate(known.conflicts, 1):
        typer.echo(_json(number, one) if as_json else f"{number:>4}  {one.sentence}")
    if not as_json:
        typer.echo(f"conflicts  {len(known.conflicts):,} open")
    return 0


def _json(number: int, conflict: Conflict) -> str:
    first = conflict.states[0]
    place = next((one for one in conflict.states if one.x), first)
    shared = {name: getattr(first, name) for name in ("image", "kind", "uuid", "name", "before")}
    states = [_state(one) for one in conflict.states]
    content = {"event": "conflict", "number": number, **shared, "x": place.x, "y": place.y, "states": states}
    return orjson.dumps(content).decode()


def _state(one: Change) -> dict[str, object]:
    word = "left as written" if one.is_undone else one.change
    return {
        "author": one.author,
        "change": word,
        "after": one.before if one.is_undone else one.after,
        "time": one.time,
        "round": one.round,
        # Of a deleted or undone object the outline is that of the other state.
        "geometry": None if one.is_undone or one.change in ("deleted", "removed") else one.geometry,
    }
