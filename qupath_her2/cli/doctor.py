"""``doctor``: checks that this machine has everything that scoring needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import EXIT_ERROR, verb

__all__ = ["doctor"]

_STYLE = {"PASS": "green", "WARN": "yellow", "FAIL": "bold red"}


@verb
def doctor(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder that results will be written to. Default: here.")
    ] = Path(),
    inside_qupath: Annotated[
        str | None,
        typer.Option("--inside-qupath", metavar="VERSION", hidden=True, help="The QuPath that asks."),
    ] = None,
    debug: o.Debug = False,
) -> int:
    """Check that this machine can score, and say how to fix what is missing.

    Opens a test slide, writes to FOLDER and scores a drawn field from start to finish; counts the images of FOLDER,
    names files in it that are not read, and compares the nuclei of up to five images with their pixel size. FAIL
    prevents scoring; WARN marks what is doubtful, and optional parts (QuPath, torch, a GPU) that are missing or not
    ideal.

    [bold]Example[/bold]

    qupath-her2 doctor /data/her2
    """
    from rich.console import Console
    from rich.text import Text

    from qupath_her2.batch.doctor import run_checks

    console = Console(highlight=False, soft_wrap=True)
    n_failed = n_warned = 0
    for check in run_checks(folder, inside_qupath=inside_qupath):
        n_failed += check.state == "FAIL"
        n_warned += check.state == "WARN"
        line = Text(f"{check.name:<18}").append(f"{check.state}  ", style=_STYLE[check.state])
        console.print(line.append(check.text))
        if check.fix:
            console.print(Text(f"{'':<24}{check.fix}", style="dim"))
    console.print(f"{n_failed} failed, {n_warned} warning{'s' * (n_warned != 1)}")
    return EXIT_ERROR if n_failed else 0
