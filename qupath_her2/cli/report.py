"""``report``: summary.csv, regions.csv and report.html from the stored results."""

from __future__ import annotations

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

__all__ = ["report"]


@verb
def report(folder: o.Folder, out: o.Out = None, debug: o.Debug = False) -> int:
    """Write summary.csv, regions.csv and report.html from the stored results, without scoring anything.

    For images that were scored by several machines (qupath-her2 cells), or after files were deleted.

    [bold]Example[/bold]

    qupath-her2 report study
    """
    from qupath_her2.report.build import write_report
    from qupath_her2.runs.plan import exchange_folder

    written = write_report(exchange_folder(folder, out))
    typer.echo(f"report  {written.html}  ({written.counts})")
    return 0
