"""``review sign`` and ``review trail``: who signed which case, when, and on what."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.review import Reviewer, account_name
from qupath_her2.cli.verb import verb
from qupath_her2.errors import ReviewError

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef

__all__ = ["sign", "trail"]


class StateName(str, Enum):
    """State of a case."""

    draft = "draft"
    reviewed = "reviewed"
    final = "final"
    amended = "amended"


@verb
def sign(
    folder: o.Folder,
    case: Annotated[
        str, typer.Argument(metavar="CASE", help="Case of cases.csv, or the name of an image without a case.")
    ],
    state: Annotated[StateName, typer.Option("--state", help="The state that the case takes.")],
    score: Annotated[
        str,
        typer.Option(
            "--score", metavar="0|1+|2+|3+", help="Your score of the case. Default: that typed in QuPath."
        ),
    ] = "",
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="Remark; an amendment needs its reason.")
    ] = "",
    reviewer: Reviewer = "",
    out: o.Out = None,
    debug: o.Debug = False,
) -> int:
    """Sign a case: draft, reviewed, final, and afterwards amended, each with your name, the time and what you saw.

    A line is appended to her2/review/signed/CASE.jsonl with the version, the runs and their hashes, the rounds of
    corrections, and the hash of the line above, so that a line that is changed or taken out later is found. A case is
    final only after it was reviewed and with a score of yours: as typed in QuPath ("HER2 reader score"), or --score.
    The program never fills it in.

    Writes her2/review/cases/CASE.html, your score beside the machine's, which the browser prints to PDF.

    [bold]Examples[/bold]

    qupath-her2 review sign study K-01 --state reviewed --reviewer "Anna Berg"

    qupath-her2 review sign study K-01 --state final --score 2+

    qupath-her2 review sign study K-01 --state amended --score 1+ --note "recount after ISH"
    """
    import qupath_her2
    from qupath_her2.review.case_page import write_case_page
    from qupath_her2.review.sign_off import sign as sign_case
    from qupath_her2.runs.plan import exchange_folder

    her2 = exchange_folder(folder, out)
    images = _images_of(folder, out, case)
    version = qupath_her2.__version__
    step = sign_case(
        her2, case, images, state.value, account_name(reviewer), version=version, score=score, note=note
    )
    page = write_case_page(her2, case, images, version=version)
    typer.echo(f"sign  {case}: {step.state} by {step.by}, step {step.step}  ({page})")
    return 0


@verb
def trail(folder: o.Folder, out: o.Out = None, debug: o.Debug = False) -> int:
    """List the signed cases with their states, and check that no line of their trails was changed.

    The exit code is 1 where one was.

    [bold]Example[/bold]

    qupath-her2 review trail study
    """
    from qupath_her2.review.sign_off import read_trail
    from qupath_her2.runs.plan import exchange_folder

    her2 = exchange_folder(folder, out)
    paths = sorted((her2 / "review" / "signed").glob("*.jsonl"))
    broken = []
    for path in paths:
        found = read_trail(path)
        for problem in found.problems:
            typer.echo(f"note    {problem}", err=True)
        if any("does not follow" in problem for problem in found.problems):
            broken.append(path.name)
        if found.steps:
            last = found.steps[-1]
            typer.echo(
                f"{last.case:<20} {last.state:<9} {last.score or '–':<3} {last.by}, {last.time}  {found.digest}"
            )
    if broken:
        raise ReviewError(f"Trails that were changed: {', '.join(broken)}. Restore them from a copy.")
    typer.echo(f"trail  {len(paths)} signed case{'s' * (len(paths) != 1)}, none changed")
    return 0


def _images_of(folder: Path, out: Path | None, case: str) -> list[SlideRef]:
    from qupath_her2.runs.plan import select_images

    refs = select_images(folder, (), out)
    found = [ref for ref in refs if ref.case.case == case]
    found = found or [ref for ref in refs if ref.case.case is None and case in (ref.id, ref.name)]
    if not found:
        known = sorted({ref.case.case or ref.name for ref in refs})
        more = f" and {len(known) - 8} more" if len(known) > 8 else ""
        raise ReviewError(f"There is no case '{case}'. There are: {', '.join(known[:8])}{more}.")
    return found
