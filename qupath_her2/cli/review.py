"""``review``: what people read and correct comes back; one command for each step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb
from qupath_her2.errors import ReviewError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.review.conflicts import Conflict

__all__ = ["Reviewer", "account_name", "review", "say_conflicts"]

#: Conflicts printed to the terminal.
_MOST_CONFLICTS = 20

review = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")


@review.callback()
def _start() -> None:
    """Bring back what people read and correct in QuPath, and measure how far they and the program agree."""


@review.command()
@verb
def agreement(
    readings: Annotated[
        list[Path],
        typer.Argument(
            metavar="READINGS",
            help="CSV files: case, reader, value; optional round, slide, ish, seconds, link. Or a project: the scores "
            "that people typed in QuPath, as its rounds have them.",
        ),
    ],
    machine: Annotated[
        str,
        typer.Option(
            "--machine",
            metavar="FILE|READER",
            help="Values of the machine or of a reference: a CSV file with case and value (summary.csv is one), or "
            "the name of one of the readers.",
        ),
    ] = "",
    cuts: Annotated[
        str,
        typer.Option("--cuts", metavar="1,5,10", help="Cut-points that make classes of numbers."),
    ] = "",
    classes: Annotated[
        str,
        typer.Option(
            "--classes",
            metavar="A,B,C",
            help="Classes in rising order. Default: 0,1+,2+,3+.",
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Output folder. Default: agreement, beside the first file."
        ),
    ] = None,
    debug: o.Debug = False,
) -> int:
    """Measure how far machine and readers agree, readers among themselves, and readers with their earlier rounds.

    A line of READINGS is what one reader gave to one slide: [bold]case,reader,value[/bold], and where there are any
    [bold]round[/bold], [bold]slide[/bold] (for several slides of a case), [bold]seconds[/bold] (time it took),
    [bold]ish[/bold] (positive or negative, for 2+), [bold]link[/bold] (a picture or address to open from the page).

    Writes agreement.html to look at, agreement.csv with every figure and its interval, and confusion.csv. Weighted
    kappa, Fleiss' kappa, Krippendorff's alpha and ICC have 95 % intervals from resamples of whole cases; HER2 scores
    are also compared as null, low and positive.

    [bold]Examples[/bold]

    qupath-her2 review agreement readings.csv --machine study/her2/summary.csv

    qupath-her2 review agreement shares.csv --machine truth.csv --cuts 1,5,10

    qupath-her2 review agreement study --machine study/her2/summary.csv
    """
    import qupath_her2
    from qupath_her2.report.reader_page import write_study
    from qupath_her2.review.readings import StudySettings, load_readings
    from qupath_her2.scoring.agreement.reader_study import reader_study

    settings = StudySettings(_names(classes), _numbers(cuts), machine)
    readings = [_typed(path) if path.is_dir() or path.suffix == ".qpproj" else path for path in readings]
    file = Path(machine) if machine and Path(machine).is_file() else None
    study = reader_study(load_readings(readings, settings, file))
    folder = out or readings[0].parent / "agreement"
    written = write_study(folder, study, version=qupath_her2.__version__, title="Agreement of readers")
    for warning in study.warnings:
        typer.echo(f"note    {warning}")
    one = study.readings
    typer.echo(
        f"agreement  {written.html}  ({len(one.people)} readers, {len(one.slides)} slides, {len(one.rounds)} "
        f"round{'s' * (len(one.rounds) != 1)})"
    )
    return 0


def _typed(project: Path) -> Path:
    """Write the scores that people typed in a project as readings, and return the file."""
    from qupath_her2.review.round_files import read_copies, read_rounds
    from qupath_her2.review.typed_scores import typed_readings, write_typed_readings
    from qupath_her2.runs.plan import exchange_folder, select_images

    her2 = exchange_folder(project)
    rounds = [*read_rounds(her2)[0], *read_copies(her2)[0]]
    rows = typed_readings(rounds, select_images(project))
    return write_typed_readings(her2 / "review" / "readings.csv", rows)


Reviewer = Annotated[
    str,
    typer.Option(
        "--reviewer", metavar="NAME", help="Who made the changes. Default: the name of this account."
    ),
]


@review.command()
@verb
def collect(
    folder: o.Folder,
    reviewer: Reviewer = "",
    out: o.Out = None,
    no_qupath: o.NoQuPath = False,
    debug: o.Debug = False,
) -> int:
    """Collect what people changed in QuPath since the program wrote it: cells, regions, typed scores.

    Compares by UUID what was written with what is there now: cells reclassified, deleted, added or shifted; regions
    drawn, removed, moved, reshaped, renamed or given another class; scores typed into an image's metadata as
    "HER2 reader score" and "HER2 reader comment". Nothing in QuPath is changed.

    The differences become a round, a folder of CSV and GeoJSON in her2/review/rounds that is never changed again. A
    change keeps the name and time of the round that had it first. Objects that two people left in different states are
    listed in her2/review/conflicts.csv and settled by nobody but them.

    [bold]Example[/bold]

    qupath-her2 review collect study --reviewer Anna
    """
    from qupath_her2.review.changes import count_changes
    from qupath_her2.review.collect import collect as collect_changes
    from qupath_her2.review.region_changes import keep_written_regions
    from qupath_her2.runs.plan import exchange_folder, select_images

    her2 = exchange_folder(folder, out)
    if her2.is_dir():
        # Before an export replaces them.
        keep_written_regions(her2, select_images(folder, (), out))
    if not no_qupath:
        _pull(folder, out)
    found = collect_changes(her2, select_images(folder, (), out), account_name(reviewer))
    for note in found.notes:
        typer.echo(f"note    {note}", err=True)
    say_conflicts(found.conflicts)
    words = ", ".join(count_changes(one for one in found.changes if not one.is_undone)) or "no differences"
    if found.round is None:
        typer.echo(f"collect  nothing new ({words})")
    else:
        typer.echo(f"collect  {found.folder} ({len(found.round.new):,} new; in all {words})")
    return 0


@review.command()
@verb
def status(folder: o.Folder, out: o.Out = None, debug: o.Debug = False) -> int:
    """List the rounds of a project, whose they are, what each added, and the conflicts between people.

    Damaged rounds are named; the others are used.

    [bold]Example[/bold]

    qupath-her2 review status study
    """
    from qupath_her2.review.changes import count_changes
    from qupath_her2.review.known_labels import known_changes
    from qupath_her2.review.round_files import read_copies, read_rounds
    from qupath_her2.review.undo import undone_rounds
    from qupath_her2.runs.plan import exchange_folder

    her2 = exchange_folder(folder, out)
    rounds, _ = read_rounds(her2)
    copies, _ = read_copies(her2)
    known = known_changes(her2)
    undone, _ = undone_rounds(her2)
    for problem in known.notes:
        typer.echo(f"note    {problem}", err=True)
    if not rounds and not copies:
        typer.echo(f"status  no rounds in {her2} yet. Next: qupath-her2 review collect {folder}")
        return 0
    for one in (*rounds, *copies):
        parts = count_changes(new for new in one.new if not new.is_undone)
        n_undone = sum(new.is_undone for new in one.new)
        words = ", ".join([*parts, f"{n_undone:,} undone"] if n_undone else parts)
        place = "  (another copy)" if one not in rounds else "  (undone)" if one.name in undone else ""
        typer.echo(f"{one.name:<20} {one.time}  {one.author}: {words}{place}")
    say_conflicts(known.conflicts)
    cells = sum(one.kind == "cell" for one in known.changes)
    typer.echo(
        f"status  {len(rounds) + len(copies)} rounds, {cells:,} labelled cells, {len(known.conflicts)} conflicts"
    )
    return 0


@review.command()
@verb
def queue(
    folder: o.Folder,
    n: Annotated[int, typer.Option("--cells", metavar="N", min=1, help="Number of cells.")] = 60,
    blind: Annotated[
        bool,
        typer.Option(
            "--blind", help="Write a list for a second reader: no class, no reason, in random order."
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Order of equal cells and of the blind list.")
    ] = 0,
    out: o.Out = None,
    debug: o.Debug = False,
) -> int:
    """Choose the cells whose review teaches most, and say why each was chosen.

    First come cells whose label tells most about the cut-points (all labels so far say where these may be, so that a
    second queue asks other cells than the first), cells that another run of the image (run --cells unet, for example)
    called differently, and cells of rare classes; cases take turns, and of cells that look alike one is asked. Cells
    that somebody labelled are not asked again.

    Writes her2/review/queue/queue.csv, and a GeoJSON file for each image to drag onto it in QuPath. With --blind also
    blind.csv: the cells that somebody labelled, or else those of the queue, for a reader who sees neither the machine's
    class nor another reader's.

    [bold]Examples[/bold]

    qupath-her2 review queue study --cells 60

    qupath-her2 review queue study --blind
    """
    from qupath_her2.review.project_labels import project_labels
    from qupath_her2.review.queue import QueueSettings, choose_cells
    from qupath_her2.review.queue_files import blind_cells, queue_image, write_blind, write_queue
    from qupath_her2.review.round_files import read_copies, read_rounds
    from qupath_her2.runs.plan import exchange_folder, find_settings, select_images

    her2 = exchange_folder(folder, out)
    rounds = [*read_rounds(her2)[0], *read_copies(her2)[0]]
    refs = select_images(folder, (), out)
    reach = find_settings(folder).stains.max_member_deviation_deg
    known = project_labels(folder, her2, refs, reach_deg=reach)
    images = [found for ref in refs if (found := queue_image(her2, ref, rounds, known)) is not None]
    if not images:
        raise ReviewError(
            f"No image of '{folder}' has measured cells. Score it first: qupath-her2 run {folder}."
        )
    chosen = choose_cells(images, QueueSettings(n, seed))
    path = write_queue(her2, chosen, {one.image: one.table for one in images})
    cases = len({one.case for one in chosen})
    typer.echo(f"queue  {path}  ({len(chosen)} cells of {cases} case{'s' * (cases != 1)})")
    if blind:
        cells = blind_cells(rounds, chosen)
        typer.echo(f"blind  {write_blind(her2, cells, seed)}  ({len(cells)} cells)")
    return 0


@review.command()
@verb
def merge(
    folder: o.Folder,
    others: Annotated[
        list[Path],
        typer.Argument(metavar="COPY...", help="Other copies of the same project, or their her2 folders."),
    ],
    out: o.Out = None,
    debug: o.Debug = False,
) -> int:
    """Take over the rounds of copies of a project that other people edited, and list conflicts.

    Objects have the same UUIDs in all copies, so that changes of different objects simply add up. What two people left
    in different states stays with both and is listed in her2/review/conflicts.csv.

    [bold]Example[/bold]

    qupath-her2 review merge study /shares/bo/study
    """
    from qupath_her2.review.collect import save_conflicts
    from qupath_her2.review.known_labels import known_changes
    from qupath_her2.review.round_files import add_copies
    from qupath_her2.runs.plan import exchange_folder

    her2 = exchange_folder(folder, out)
    added = 0
    for other in others:
        there = other if (other / "review").is_dir() else exchange_folder(other, None)
        if not (there / "review").is_dir():
            raise ReviewError(
                f"'{other}' has no rounds: there is no '{there / 'review'}'. Collect them there first."
            )
        new, problems = add_copies(her2, there)
        added += len(new)
        for problem in problems:
            typer.echo(f"note    {other}: {problem}", err=True)
    conflicts = known_changes(her2).conflicts
    path = save_conflicts(her2, conflicts)
    say_conflicts(conflicts)
    typer.echo(f"merge  {added} rounds taken over, {len(conflicts)} conflicts ({path})")
    return 0


def say_conflicts(conflicts: Sequence[Conflict]) -> None:
    """Print the first conflicts, and where the rest is."""
    for one in conflicts[:_MOST_CONFLICTS]:
        typer.echo(f"conflict  {one.sentence}", err=True)
    if len(conflicts) > _MOST_CONFLICTS:
        typer.echo(
            f"conflict  … {len(conflicts) - _MOST_CONFLICTS} more in her2/review/conflicts.csv", err=True
        )


def account_name(reviewer: str) -> str:
    """Return the name of a reviewer, or of this account where none was given."""
    import getpass

    name = reviewer.strip()
    if name:
        return name
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise ReviewError(f"This account has no name ({error}). Pass --reviewer NAME.") from error


def _pull(folder: Path, out: Path | None) -> None:
    """Export the project's present state where there is a QuPath; a folder without a project has nothing to export."""
    from qupath_her2.cli.pull_push import pull_project
    from qupath_her2.project.folder import project_file
    from qupath_her2.project.qupath.installations import find_qupaths
    from qupath_her2.runs.plan import find_settings

    project = project_file(folder)
    if project is None:
        return
    if project != folder and not find_qupaths():
        typer.echo("No QuPath on this machine: collecting from the last export.", err=True)
        return
    pull_project(
        project,
        out=out,
        images=(),
        cells=False,
        pixels=False,
        heap_mb=None,
        names=find_settings(folder, None, {}).regions,
        progress=o.ProgressKind.auto,
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",")) if text else ()
    if text and (len(set(names)) < 2 or len(set(names)) != len(names) or not all(names)):
        raise ReviewError(f"--classes {text!r} is no list of two or more classes. Write e.g. 0,1+,2+,3+.")
    return names


def _numbers(text: str) -> tuple[float, ...]:
    if not text:
        return ()
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    # `not <` also refuses NaN.
    if not numbers or not all(
        low < high for low, high in zip((float("-inf"), *numbers), numbers, strict=False)
    ):
        raise ReviewError(f"--cuts {text!r} are no rising numbers. Write e.g. 1,5,10.")
    return numbers
