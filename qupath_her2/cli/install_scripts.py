"""``install-scripts``: installs the HER2 menu and scripts in QuPath."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import EXIT_ERROR, verb

if TYPE_CHECKING:
    from qupath_her2.project.qupath.installations import QuPath

__all__ = ["install_scripts"]


@verb
def install_scripts(
    remove: Annotated[
        bool, typer.Option("--remove", help="Uninstall them; your own start-up script is restored.")
    ] = False,
    user_dir: Annotated[
        Path | None,
        typer.Option(
            "--user-dir",
            metavar="DIR",
            help="QuPath's user folder, e.g. ~/QuPath/v0.6, if it is not the default one or QuPath is not installed "
            "on this machine.",
        ),
    ] = None,
    debug: o.Debug = False,
) -> int:
    """Install the HER2 scripts in every QuPath on this machine, and tell them which Python to use.

    A start-up script adds the menu Extensions > HER2, whose sub-menu Set-up opens the scripts for editing. Close QuPath
    first, or restart it afterwards.

    [bold]Examples[/bold]

    qupath-her2 install-scripts

    qupath-her2 install-scripts --remove
    """
    import qupath_her2
    from qupath_her2.project.qupath.installations import find_qupaths
    from qupath_her2.project.qupath.script_install import install_into, remove_from
    from qupath_her2.project.qupath.scripts import copy_scripts, remove_scripts

    found = find_qupaths()
    if not found and user_dir is not None:
        if remove:
            typer.echo(f"{remove_scripts(user_dir)[0]} files removed from '{user_dir}'")
            return 0
        done = copy_scripts(user_dir, version=qupath_her2.__version__)
        typer.echo(f"{done.n_files} files installed in '{done.folder}'")
        if done.startup is not None:
            typer.echo(
                f"No QuPath was found on this machine: set its preference 'Startup script path' to '{done.startup}'."
            )
        return _compiled()
    for qupath in found or [_qupath_or_advice()]:
        if remove:
            n_files = remove_from(qupath, user_folder=user_dir)
            typer.echo(f"QuPath {qupath.version}: {n_files} files removed")
        else:
            done = install_into(qupath, version=qupath_her2.__version__, user_folder=user_dir)
            typer.echo(f"QuPath {qupath.version}: {done.n_files} files installed in '{done.folder}'")
    if remove:
        return 0
    typer.echo("Restart QuPath to see the HER2 menu.")
    return _compiled()


def _compiled() -> int:
    """Score a drawn field, so that the first score in QuPath need not wait for the compiler; return the exit code."""
    from qupath_her2.batch.doctor import check_scoring

    typer.echo("Compiling the inner loops, which takes up to half a minute once ...")
    check = check_scoring()
    typer.echo(check.text)
    if check.fix:
        typer.echo(check.fix)
    return EXIT_ERROR if check.state == "FAIL" else 0


def _qupath_or_advice() -> QuPath:
    """Return the QuPath to install into; without one, the error says how the scripts get into it all the same."""
    from qupath_her2.errors import QuPathError
    from qupath_her2.project.qupath.installations import choose_qupath
    from qupath_her2.project.qupath.scripts import groovy_folder

    try:
        return choose_qupath()
    except QuPathError as error:
        where = str(error).partition(").")[0]
        raise QuPathError(
            f"{where}). Drag '{groovy_folder() / 'install.groovy'}' onto QuPath's window and press Run; or set "
            "PAQUO_QUPATH_DIR to the folder of QuPath; or pass --user-dir with QuPath's user folder, e.g. "
            "--user-dir ~/QuPath/v0.6."
        ) from error
