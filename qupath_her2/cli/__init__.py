"""The command line ``qupath-her2 VERB FOLDER``: one function per verb, each in a module of its own.

Exit codes: 0 done, 1 an error (message only), 2 wrong usage, 3 some images failed, 130 cancelled. A refused image is
a result and not a failure. Verbs import what they need inside their function, so that ``--help`` starts quickly.
"""

from __future__ import annotations

from typing import Annotated

import typer

from qupath_her2.cli.batch import batch
from qupath_her2.cli.cells import cells
from qupath_her2.cli.doctor import doctor
from qupath_her2.cli.embed import embed
from qupath_her2.cli.example import example
from qupath_her2.cli.indicators import indicators
from qupath_her2.cli.install_scripts import install_scripts
from qupath_her2.cli.models import models
from qupath_her2.cli.patches import patches
from qupath_her2.cli.predict import predict
from qupath_her2.cli.propose import propose
from qupath_her2.cli.pull import pull
from qupath_her2.cli.push import push
from qupath_her2.cli.regions import regions
from qupath_her2.cli.report import report
from qupath_her2.cli.review import review
from qupath_her2.cli.review_calibrate import calibrate
from qupath_her2.cli.review_conflicts import conflicts
from qupath_her2.cli.review_rounds import settle, undo
from qupath_her2.cli.review_sign import sign, trail
from qupath_her2.cli.review_window import changes, profile
from qupath_her2.cli.run import run
from qupath_her2.cli.score import score
from qupath_her2.cli.serve import serve
from qupath_her2.cli.status import status
from qupath_her2.cli.train import train
from qupath_her2.cli.verb import hide_tracebacks, never_fail_to_speak

__all__ = ["app", "main"]

app = typer.Typer(
    name="qupath-her2",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Research use only: not a medical device.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import qupath_her2

        typer.echo(f"qupath-her2 {qupath_her2.__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Score HER2 immunohistochemistry from QuPath projects or image folders, cell by cell, with pictures and reasons.

    First steps:

    [bold]qupath-her2 doctor[/bold]          check this machine

    [bold]qupath-her2 example demo[/bold]    write a small project of drawn images

    [bold]qupath-her2 run demo[/bold]        score it and write demo/her2/report.html
    """


for _verb in (
    doctor,
    example,
    regions,
    propose,
    run,
    batch,
    status,
    cells,
    score,
    report,
    pull,
    push,
    patches,
    embed,
    train,
    predict,
    indicators,
    models,
    serve,
):
    app.command()(_verb)
app.command("install-scripts")(install_scripts)
review.command()(calibrate)
review.command()(settle)
review.command()(undo)
review.command()(sign)
review.command()(trail)
review.command()(profile)
review.command()(changes)
review.command()(conflicts)
app.add_typer(review, name="review")


def main() -> None:
    """Run the command line with the arguments of this process, then exit."""
    hide_tracebacks()
    never_fail_to_speak()
    # Not `app()`: typer would replace our exception hook with its own.
    typer.main.get_command(app)(prog_name="qupath-her2")
