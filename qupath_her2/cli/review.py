"""``review``: what people read and correct comes back; one command for each step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb
from qupath_her2.errors import ReviewError

__all__ = ["review"]

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
            metavar="READINGS", help="CSV files: case, reader, value; optional round, slide, ish …"
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
    """
    import qupath_her2
    from qupath_her2.report.reader_page import write_study
    from qupath_her2.review.readings import StudySettings, load_readings
    from qupath_her2.scoring.agreement.reader_study import reader_study

    settings = StudySettings(_names(classes), _numbers(cuts), machine)
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
