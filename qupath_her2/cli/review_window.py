"""``review profile`` and ``review changes``: what the review window in QuPath asks of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.review import Reviewer, account_name
from qupath_her2.cli.verb import verb
from qupath_her2.errors import ReviewError

if TYPE_CHECKING:
    from qupath_her2.review.changes import Change

__all__ = ["changes", "profile"]


@verb
def profile(
    folder: o.Folder,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the profile.")],
    image: Annotated[
        str, typer.Option("--image", metavar="ID", help="The image that the cut-points were set on.")
    ],
    densities: Annotated[
        str,
        typer.Option(
            "--densities",
            metavar="A,B,C",
            help="DAB density from which staining is faint, moderate, intense.",
        ),
    ],
    shares: Annotated[
        str,
        typer.Option(
            "--shares",
            metavar="A,B,C",
            help="Share of the outline from which a cell is stained, stained laterally, stained completely.",
        ),
    ],
    reviewer: Reviewer = "",
    out: o.Out = None,
    debug: o.Debug = False,
) -> int:
    """Save cut-points that you set by hand as a profile, her2/profiles/NAME.json.

    It is for the scanner, stain and laboratory of the image, and holds your name in place of labelled cells. A profile
    that was calibrated from labelled cells is never replaced.

    [bold]Example[/bold]

    qupath-her2 review profile study lab-a --image 1_case01 --densities 0.03,0.2,0.5 --shares 0.08,0.35,0.7
    """
    import qupath_her2
    from qupath_her2.cells.membrane.grading import GradingSettings
    from qupath_her2.review.hand_profile import save_hand_profile
    from qupath_her2.runs.plan import exchange_folder, select_images
    from qupath_her2.runs.profile_choice import laboratories

    her2 = exchange_folder(folder, out)
    (ref,) = select_images(folder, (image,), out)
    faint, moderate, intense = _three("--densities", densities)
    stained, lateral, complete = _three("--shares", shares)
    path = save_hand_profile(
        her2,
        ref,
        name,
        GradingSettings(faint, moderate, intense, stained, complete, lateral),
        set_by=account_name(reviewer),
        laboratory=laboratories(her2, folder)(ref),
        version=qupath_her2.__version__,
    )
    typer.echo(f"profile  {path}")
    return 0


def _three(flag: str, text: str) -> tuple[float, float, float]:
    try:
        one, two, three = map(float, text.split(","))
    except ValueError as error:
        raise ReviewError(f"{flag} is '{text}', which is not three numbers with commas.") from error
    return one, two, three


@verb
def changes(
    folder: o.Folder,
    reviewer: Reviewer = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object a line, as the review window reads them.")
    ] = False,
    out: o.Out = None,
    debug: o.Debug = False,
) -> int:
    """List what people changed in the exported project since the last round; no round is written.

    [bold]Example[/bold]

    qupath-her2 review changes study
    """
    from qupath_her2.review.collect import find_changes
    from qupath_her2.runs.plan import exchange_folder, select_images

    her2 = exchange_folder(folder, out)
    one, notes = find_changes(her2, select_images(folder, (), out), account_name(reviewer))
    for note in notes:
        typer.echo(f"note    {note}", err=True)
    for change in one.new:
        typer.echo(_json(change) if as_json else _words(change))
    if not as_json:
        typer.echo(f"changes  {len(one.new):,} since the last round")
    return 0


def _json(change: Change) -> str:
    names = ("image", "kind", "uuid", "change", "before", "after", "x", "y", "name", "is_undone")
    return orjson.dumps({"event": "change", **{name: getattr(change, name) for name in names}}).decode()


def _words(change: Change) -> str:
    place = f" at {change.x}, {change.y}" if change.x else ""
    undone = " (undone)" if change.is_undone else ""
    values = f"{change.before or '–'} → {change.after or '–'}"
    return f"{change.name}: {change.kind} {change.change}{place}: {values}{undone}"
