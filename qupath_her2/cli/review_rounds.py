"""``review settle`` and ``review undo``: what counts of the rounds, decided by people."""

from __future__ import annotations

from typing import Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.review import Reviewer, account_name, say_conflicts
from qupath_her2.cli.verb import verb

__all__ = ["settle", "undo"]


@verb
def settle(
    folder: o.Folder,
    take: Annotated[
        str,
        typer.Option("--take", metavar="NAME", help="The person whose state of the objects counts."),
    ],
    numbers: Annotated[
        list[int] | None,
        typer.Option(
            "--conflict",
            metavar="N",
            min=1,
            help="Number of a conflict in her2/review/conflicts.csv; can be given more than once. Default: all in "
            "which this person has a state.",
        ),
    ] = None,
    reviewer: Reviewer = "",
    out: o.Out = None,
    debug: o.Debug = False,
) -> int:
    """Settle conflicts: say whose state of an object counts where people left it in different states.

    The choice is kept with your name in her2/review/settlements.jsonl and holds for these states alone: where one of
    the people changes her mind, the conflict is open again. It decides which label counts in calibration and training;
    no object in QuPath is changed.

    [bold]Examples[/bold]

    qupath-her2 review settle study --take Anna --conflict 3

    qupath-her2 review settle study --take Anna --reviewer "Bo and Anna"
    """
    from qupath_her2.review.collect import save_conflicts
    from qupath_her2.review.known_labels import known_changes
    from qupath_her2.review.settlements import settle as settle_conflicts
    from qupath_her2.runs.plan import exchange_folder

    her2 = exchange_folder(folder, out)
    known = known_changes(her2)
    for note in known.notes:
        typer.echo(f"note    {note}", err=True)
    settled = settle_conflicts(her2, known.conflicts, take, account_name(reviewer), numbers=numbers or ())
    left = known_changes(her2).conflicts
    save_conflicts(her2, left)
    say_conflicts(left)
    typer.echo(f"settle  {len(settled)} settled as {take} left them, {len(left)} conflicts")
    return 0


@verb
def undo(
    folder: o.Folder,
    name: Annotated[
        str, typer.Argument(metavar="ROUND", help="Name or number of the round, e.g. 003-anna or 3.")
    ],
    redo: Annotated[bool, typer.Option("--redo", help="Let an undone round count again.")] = False,
    reviewer: Reviewer = "",
    out: o.Out = None,
    debug: o.Debug = False,
) -> int:
    """Undo a round: what it was the first to have no longer counts as a label.

    The round itself is kept. her2/review/undone/ROUND.json lists each object with the class, name or outline that the
    program had written, for whoever sets them back in QuPath; until then they look there as the person left them, and
    scores count them so. What a later round changed again stays.

    [bold]Examples[/bold]

    qupath-her2 review undo study 003-anna

    qupath-her2 review undo study 003-anna --redo
    """
    from qupath_her2.review.collect import save_conflicts
    from qupath_her2.review.known_labels import known_changes
    from qupath_her2.review.undo import redo_round, undo_round
    from qupath_her2.runs.plan import exchange_folder

    her2 = exchange_folder(folder, out)
    if redo:
        typer.echo(f"undo  round {redo_round(her2, name)} counts again")
    else:
        done = undo_round(her2, name, account_name(reviewer))
        later = f", {done.n_later} that later rounds changed again stay" if done.n_later else ""
        typer.echo(
            f"undo  {len(done.changes)} changes of round {done.round} no longer count{later}  ({done.path})"
        )
    save_conflicts(her2, known_changes(her2).conflicts)
    return 0
