"""Parts of the verb ``batch``: its flags become a plan and an executor, its outcomes a table and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from qupath_her2.batch.machine import usable_cores
from qupath_her2.cli.batch_options import EngineName, parse_shard
from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.progress import say_json
from qupath_her2.cli.verb import EXIT_CANCELLED, EXIT_SOME_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from qupath_her2.batch.executor import Executor
    from qupath_her2.batch.plan import BatchPlan
    from qupath_her2.batch.progress import Progress
    from qupath_her2.config import Settings

__all__ = ["counts_line", "run_from_flags", "time_text"]

#: Flags that are options of the run.
_OPTIONS = (
    "images",
    "pixel_size_um",
    "series",
    "plane",
    "whole_tissue",
    "find_tumour",
    "profile",
    "guideline",
    "geojson",
    "force",
    "debug",
)


def run_from_flags(flags: dict[str, Any]) -> int:
    """Plan, run and finish a batch, or the part of one that the flags name; return the exit code."""
    from qupath_her2.batch.plan import load_plan

    part = parse_shard(flags["shard"])
    if flags["finish"] or part:
        plan = load_plan(_output(flags, lambda: _settings(flags)))
        return _finish(plan, flags) if flags["finish"] else _go(plan, flags, part)
    plan = _plan(flags)
    _say_planned(plan, _executor(flags, None), flags)
    return 0 if flags["dry_run"] else _go(plan, flags, None)


def _output(flags: dict[str, Any], settings: Callable[[], Settings]) -> Path:
    """Return where plan, events and results of this kind of batch are."""
    from qupath_her2.batch.kinds import kind_folder

    return kind_folder(flags["source"], flags["out"], flags["what"].value, settings)


def _settings(flags: dict[str, Any]) -> Settings:
    from qupath_her2.batch.kinds import kind_settings

    return kind_settings(flags["source"], flags["what"].value, model=flags["model"], config=flags["config"])


def _plan(flags: dict[str, Any]) -> BatchPlan:
    from qupath_her2.batch.kinds import plan_kind
    from qupath_her2.cli.scoring import run_options

    settings = _settings(flags)
    tell = None if flags["progress"] in (ProgressKind.json, ProgressKind.off) else _to_stderr
    plan = plan_kind(
        flags["source"],
        flags["what"].value,
        run_options(out=_output(flags, lambda: settings), **{name: flags[name] for name in _OPTIONS}),
        settings,
        model=flags["model"],
        cells=flags["cells"],
        threads=min(flags["workers"], usable_cores()),
        listen=tell,
    )
    for note in plan.notes:
        _to_stderr(note)
    return plan


def _executor(flags: dict[str, Any], part: tuple[int, int] | None) -> Executor:
    from qupath_her2.batch.executor import LocalExecutor, Shard
    from qupath_her2.batch.ray_crew import RayExecutor
    from qupath_her2.batch.slurm import SlurmExecutor

    if part is None and flags["executor"] is EngineName.slurm:
        return SlurmExecutor(
            flags["source"].absolute(),
            flags["array"],
            flags["workers"],
            flags["memory_gb"],
            tuple(flags["sbatch"] or ()),
            flags["wait"],
            _words(flags),
        )
    if part is None and flags["executor"] is EngineName.ray:
        return RayExecutor(flags["workers"], flags["address"], flags["cores"], flags["gpus"])
    return LocalExecutor(flags["workers"], flags["memory_gb"], None if part is None else Shard(*part))


def _words(flags: dict[str, Any]) -> tuple[str, ...]:
    """Return the flags that name this batch, for the tasks of an array."""
    from qupath_her2.batch.run_batch import output_folder

    out = output_folder(flags["source"], flags["out"])
    words = ["--out", str(out), "--what", flags["what"].value]
    words += ["--model", str(flags["model"].absolute())] if flags["model"] else []
    return tuple(words + (["--config", str(flags["config"].absolute())] if flags["config"] else []))


def _say_planned(plan: BatchPlan, executor: Executor, flags: dict[str, Any]) -> None:
    """Say how many slides there are, how many are left, and for how long."""
    from qupath_her2.batch.plan import expected_hours
    from qupath_her2.batch.progress import progress_of

    outcomes = progress_of(plan, looks_at_locks=False).outcomes
    left = [row for row in plan.rows if not row.is_unreadable and not outcomes[row.ref.id].is_final]
    hours = expected_hours(left, executor.workers)
    if flags["progress"] is ProgressKind.json:
        unreadable = len(plan.unreadable)
        say_json(
            event="planned",
            slides=len(plan.rows),
            unreadable=unreadable,
            left=len(left),
            hours=round(hours, 3),
        )
        return
    n = len(plan.unreadable)
    said = f" ({n:,} unreadable, listed in {plan.out / 'plan' / 'unreadable.csv'})" if n else ""
    done = len(plan.rows) - n - len(left)
    before = f", {done:,} of them done" if done else ""
    workers = (
        f"{executor.workers // flags['workers']} x {flags['workers']} cores"
        if executor.name == "slurm"
        else f"{executor.workers} worker{'s' if executor.workers > 1 else ''}"
    )
    plural = "" if len(plan.rows) == 1 else "s"
    typer.echo(
        f"planned {len(plan.rows):,} slide{plural}{said}{before}, about {time_text(3600 * hours)} on {workers}"
    )


def _go(plan: BatchPlan, flags: dict[str, Any], part: tuple[int, int] | None) -> int:
    """Run what is left of a batch; say where it goes on, or write its tables."""
    from qupath_her2.batch.run_batch import jobs_left, run_batch
    from qupath_her2.batch.slurm import requeue_task
    from qupath_her2.batch.stopping import stopped_by_signals
    from qupath_her2.cli.scoring_progress import progress_view

    executor = _executor(flags, part)
    left = {job.image for job in jobs_left(plan)}
    work = {row.ref.id: row.expected_s for row in plan.rows if row.ref.id in left}
    with stopped_by_signals() as stop, progress_view(flags["progress"], work) as view:
        has_ended = run_batch(plan, executor, retry_failed=flags["retry_failed"], listen=view.show, stop=stop)
    if stop.is_wanted:
        is_requeued = part is not None and bool(jobs_left(plan)) and requeue_task()
        _to_stderr(
            "Stopped; "
            + ("Slurm runs this task again." if is_requeued else "run the same command again to go on.")
        )
        return EXIT_CANCELLED
    if not has_ended:
        typer.echo(f'submitted; progress: qupath-her2 status "{plan.out}"')
        return 0
    # Other machines may be at work yet: their tables are written by --finish.
    return 0 if part is not None else _finish(plan, flags)


def _finish(plan: BatchPlan, flags: dict[str, Any]) -> int:
    """Write tables and report, and say how the batch ended."""
    from qupath_her2.batch.finish import finish_batch
    from qupath_her2.batch.progress import progress_of

    progress = progress_of(plan)
    line = counts_line(progress)
    written, notes = finish_batch(plan, progress, counts=line)
    code = EXIT_SOME_FAILED if progress.counts["failed"] or progress.counts["waiting"] else 0
    for note in notes:
        _to_stderr(note)
    if flags["progress"] is ProgressKind.json:
        say_json(event="done", exit=code, counts=dict(progress.counts), message=line, report=str(written))
        return code
    typer.echo(line)
    typer.echo(f"report  {written}")
    return code


def counts_line(progress: Progress) -> str:
    """Return the counts of a batch in one line, with the classes of its failures."""
    counts = progress.counts
    parts = [f"{counts['done']:,} done", f"{counts['not assessable']:,} not assessable"]
    if counts["failed"]:
        classes = ", ".join(f"{n:,} {name}" for name, n in progress.failures.most_common())
        parts.append(f"{counts['failed']:,} failed ({classes})")
    if progress.n_retried:
        parts.append(f"{progress.n_retried:,} tried twice")
    parts += [f"{counts[state]:,} {state}" for state in ("running", "waiting") if counts[state]]
    return " · ".join(parts)


def time_text(seconds: float) -> str:
    """Return a length of time in words: ``40 s``, ``12 min``, ``6.2 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _to_stderr(text: str) -> None:
    typer.echo(text, err=True)
