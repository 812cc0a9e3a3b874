"""``example``: a small project of drawn images to try everything on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

__all__ = ["example"]


@verb
def example(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    debug: o.Debug = False,
) -> int:
    """Write a small project: four drawn HER2 images with Tumor regions and cases.csv.

    The images are drawn, not scanned: they show no patient's tissue, and the score of each is known.

    [bold]Examples[/bold]

    qupath-her2 example demo

    qupath-her2 run demo
    """
    from qupath_her2.errors import OutputError
    from qupath_her2.synthetic.example_project import write_example

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"'{folder}' already exists and is not empty. Choose a new folder for the example.")
    files = write_example(folder)
    typer.echo(f"{len(files)} files in {folder}. Next: qupath-her2 run {folder}")
    return 0
