"""Exit codes and error reporting shared by all verbs: one message, no traceback."""

from __future__ import annotations

import functools
import inspect
import io
import sys
from typing import TYPE_CHECKING, ParamSpec

import typer

from qupath_her2.errors import Her2Error

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "EXIT_CANCELLED",
    "EXIT_ERROR",
    "EXIT_SOME_FAILED",
    "hide_tracebacks",
    "never_fail_to_speak",
    "say_error",
    "verb",
]

EXIT_ERROR = 1
EXIT_SOME_FAILED = 3
EXIT_CANCELLED = 130

P = ParamSpec("P")


def say_error(message: str) -> None:
    """Write an error message to standard error."""
    typer.echo(f"Error: {message}", err=True)


def verb(function: Callable[P, int]) -> Callable[P, None]:
    """Turn a function that returns an exit code into a command that exits with it.

    A Her2Error exits with 1 and prints its message only, unless ``--debug`` asks for the traceback. Ctrl-C exits
    with 130.
    """

    @functools.wraps(function)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = function(*args, **kwargs)
        except Her2Error as error:
            if kwargs.get("debug"):
                raise
            say_error(str(error))
            code = EXIT_ERROR
        except KeyboardInterrupt:
            typer.echo(
                "Cancelled. Finished images are kept; run the same command again to continue.", err=True
            )
            code = EXIT_CANCELLED
        raise typer.Exit(code)

    command.__doc__ = _reflowed(function.__doc__ or "")
    return command


def _reflowed(text: str) -> str:
    """Return a docstring with each paragraph on one line: typer would break lines in --help where the source does."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def hide_tracebacks() -> None:
    """Reduce an unexpected error to one line that asks for a report, unless ``--debug`` asks for the traceback."""
    # Read from argv, because an error may come before the flags are parsed.
    if "--debug" not in sys.argv:
        sys.excepthook = _one_line


def never_fail_to_speak() -> None:
    """Print ``?`` for characters that the terminal cannot show (→ on an old Windows code page) instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _one_line(kind: type[BaseException], error: BaseException, _: object) -> None:
    say_error(f"unexpected {kind.__name__}: {error}. Please report it with the output of --debug.")
