"""``status``: how far a batch is, from its event files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from qupath_her2.cli import batch_options as b
from qupath_her2.cli import options as o
from qupath_her2.cli.batch_run import counts_line, time_text
from qupath_her2.cli.progress import say_json
from qupath_her2.cli.verb import EXIT_SOME_FAILED, verb

if TYPE_CHECKING:
    from qupath_her2.batch.progress import Progress

__all__ = ["status"]

_WATCH_S = 5.0


@verb
def status(
    out: b.Output,
    watch: b.Watch = False,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Tell how far a batch is: done, running, failed, slides per hour, time left, and where the time goes.

    Reads OUT/plan and the event files that every worker's driver appends to in OUT/events, on whatever machine. Exit
    code 3 says that some images failed.

    [bold]Example[/bold]

    qupath-her2 status results --watch
    """
    from qupath_her2.batch.plan import load_plan
    from qupath_her2.batch.progress import progress_of
    from qupath_her2.batch.run_batch import batch_folder

    folder = batch_folder(out)
    while True:
        plan = load_plan(folder)
        found = progress_of(plan)
        _say(found, progress)
        counts = found.counts
        if not watch or not (counts["running"] or counts["waiting"]):
            return EXIT_SOME_FAILED if counts["failed"] else 0
        time.sleep(_WATCH_S)


def _say(found: Progress, kind: o.ProgressKind) -> None:
    from qupath_her2.batch.finish import time_shares

    if kind is o.ProgressKind.json:
        say_json(
            event="status",
            counts=dict(found.counts),
            failures=dict(found.failures),
            slides_per_h=round(found.slides_per_h, 1),
            seconds_left=None if found.seconds_left is None else round(found.seconds_left),
            steps_s={name: round(value, 1) for name, value in found.steps_s.items()},
            peak_mb=round(found.peak_mb),
        )
        return
    is_open = found.counts["running"] or found.counts["waiting"]
    rate = [f"{found.slides_per_h:,.0f} slides/h"] if found.slides_per_h else []
    left = [f"{time_text(found.seconds_left)} left"] if is_open and found.seconds_left is not None else []
    typer.echo(" · ".join([counts_line(found), *rate, *left]))
    shares = time_shares(found)
    if shares:
        memory = f"; at most {found.peak_mb:,.0f} MB in a worker" if found.peak_mb else ""
        typer.echo(f"time    {', '.join(f'{name} {share:.0%}' for name, share in shares.items())}{memory}")
