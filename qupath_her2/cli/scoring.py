"""Shared by the scoring verbs: flags become jobs, results become a table and a closing line."""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from qupath_her2.batch.expected import expected_work
from qupath_her2.batch.local import run_jobs
from qupath_her2.cells.scale import DOUBT
from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.progress import say_json
from qupath_her2.cli.scoring_progress import progress_view
from qupath_her2.cli.tables import say_table
from qupath_her2.cli.verb import EXIT_SOME_FAILED, say_error
from qupath_her2.project.exchange.images import exchange_root
from qupath_her2.project.visible_text import visible_name
from qupath_her2.records import PROPOSED_CLASS
from qupath_her2.report.build import write_report
from qupath_her2.report.summary_table import lists_failures, proposed_note, short_class, shown_score
from qupath_her2.review.region_changes import keep_written_regions
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import Plan, find_settings, plan_jobs
from qupath_her2.scoring.reason import RESEARCH_USE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qupath_her2.batch.job import JobEvent
    from qupath_her2.config import Settings
    from qupath_her2.records import ImageResult

__all__ = ["closing_line", "run_folder", "run_options", "score_folder", "show_table"]

_SCORE_COLUMNS = ("Score", "Negative %", "1+ %", "2+ %", "3+ %", "H-score", "Cells")
_PREDICTION_COLUMNS = ("Predicted class", "Probability", "Patches")
_PROPOSAL_COLUMNS = ("Tumour regions", "Cells", "Probability")
# In the order of the closing line: results first, failures last.
_STATES = ("scored", "predicted", "proposed", "not assessable", "up to date", "failed")


def run_options(**flags: Any) -> RunOptions:
    """Return the flags as options of a run: enumerations by their value, lists as tuples."""
    plain = {name: getattr(value, "value", value) for name, value in flags.items()}
    plain["images"] = tuple(plain.get("images") or ())
    return RunOptions(**plain, command=("qupath-her2", *sys.argv[1:]))


def run_folder(
    folder: Path,
    options: RunOptions,
    settings: Settings,
    *,
    workers: int,
    progress: ProgressKind,
    with_report: bool = True,
    push: Callable[[], int] | None = None,
) -> int:
    """Score or predict the images of a folder, and show the results.

    Parameters
    ----------
    folder
        Folder of images, or a project that was pulled.
    options
        The flags.
    settings
        Settings of all steps.
    workers
        Number of images scored in parallel.
    progress
        How progress is shown.
    with_report
        Write summary.csv, regions.csv and report.html afterwards.
    push
        Pushes the results into a QuPath project and returns its own exit code; None pushes nothing.

    Returns
    -------
    int
        Exit code: 0, or 3 if some images failed.
    """
    is_json = progress is ProgressKind.json
    tell = None if is_json or progress is ProgressKind.off else _to_stderr
    plan = plan_jobs(folder, options, settings, listen=tell)
    for note in plan.notes:
        _to_stderr(note)
    refs = {job.image: job.ref for job in plan.jobs} if exchange_root(plan.out) == plan.out else {}

    def follow(event: JobEvent) -> None:
        if event.result is not None and event.image in refs:
            # What people change from now on is a correction, even if the run is cancelled after this image.
            keep_written_regions(plan.out, [refs[event.image]])
        view.show(event)

    with progress_view(progress, expected_work(plan.jobs)) as view:
        results = run_jobs(plan.jobs, workers=workers, listen=follow)
    return finish(plan, results, is_json=is_json, with_report=with_report, push=push)


def score_folder(folder: Path, options: RunOptions, config: Path | None, *, progress: ProgressKind) -> int:
    """Score stored cells again, and show the results.

    Parameters
    ----------
    folder
        Folder that was scored before.
    options
        The flags: images, guideline, site and specimen.
    config
        Settings file; None takes ``her2.toml`` of the folder.
    progress
        JSON lines or text.

    Returns
    -------
    int
        Exit code: 0, or 3 if some images failed.
    """
    from qupath_her2.runs.rescore import rescore_folder

    settings = find_settings(folder, config)
    plan, results = rescore_folder(folder, options, settings)
    return finish(plan, results, is_json=progress is ProgressKind.json, with_report=True)


def finish(
    plan: Plan,
    results: Sequence[ImageResult],
    *,
    is_json: bool,
    with_report: bool,
    push: Callable[[], int] | None = None,
) -> int:
    """Write the report, show the table and the closing line, and push.

    Parameters
    ----------
    plan
        Jobs of the run, and its exchange folder.
    results
        One per job.
    is_json
        Print one JSON line instead of table and text.
    with_report
        Write summary.csv, regions.csv and report.html.
    push
        Pushes the results and returns its own exit code; None pushes nothing.

    Returns
    -------
    int
        Exit code: 3 if some images failed, else that of `push`, else 0.
    """
    failed = {
        result.image: (result.name, result.error or "") for result in results if result.state == "failed"
    }
    report = _report(plan, results, failed) if with_report else None
    code = EXIT_SOME_FAILED if failed else 0
    line = closing_line(results)
    is_any_done = len(failed) < len(results)
    if is_json:
        code = max(code, push() if push is not None and is_any_done else 0)
        counts = Counter(result.state for result in results)
        say_json(
            event="done", exit=code, counts=dict(counts), message=line, report=str(report) if report else None
        )
        return code
    for name, message in failed.values():
        # Most messages name their image already; naming it twice reads badly.
        say_error(message if name in message else f"{name}: {message}")
    show_table(results)
    typer.echo(line)
    if push is not None and is_any_done:
        code = max(code, push())
    if report is not None:
        typer.echo(f"report  {report}")
    return code


def _report(plan: Plan, results: Sequence[ImageResult], failed: dict[str, tuple[str, str]]) -> Path:
    """Return the path of the report; it is rewritten only if a result is newer than it."""
    html = plan.out / "report.html"
    written = (html, plan.out / "summary.csv", plan.out / "regions.csv")
    if all(result.state == "up to date" for result in results) and all(path.is_file() for path in written):
        made = min(path.stat().st_mtime_ns for path in written)
        # Another process, e.g. on another machine, may have finished images since the report was written.
        pointers = (plan.out / "results").glob("*/current.json")
        # Files that are not read are named in the report, too: they may have come or gone.
        places = (plan.out.absolute().parent, *pointers)
        is_newest = all(place.stat().st_mtime_ns < made for place in places)
        # An image that failed and is up to date now, e.g. one that was locked, has no new result to be newer.
        if is_newest and not lists_failures(written[1].read_bytes()):
            return html
    return write_report(plan.out, failed).html


def closing_line(results: Sequence[ImageResult]) -> str:
    """Return the counts of a run in one line, with the reasons of refusals."""
    counts: Counter[str] = Counter(result.state for result in results)
    if counts["up to date"] == len(results):
        return f"{len(results)}/{len(results)} up to date; nothing to do (to redo: run or predict --force)"
    parts = [f"{counts[state]} {state}" for state in _STATES if counts[state]]
    refused = Counter(
        (result.score.refusal_code or "").replace("_", " ")
        for result in results
        if result.state == "not assessable" and result.score is not None
    )
    why = ", ".join(f"{n} {code}" for code, n in refused.most_common())
    n_cells = sum(result.n_cells for result in results if result.state == "scored")
    said = [result.score.prediction for result in results if result.state == "predicted" and result.score]
    n_patches = sum(one.n_patches for one in said if one is not None)
    measured = f"{n_patches:,} patch{'' if n_patches == 1 else 'es'}" if said else f"{n_cells:,} cells"
    proposals = [result.score for result in results if result.state == "proposed" and result.score]
    if proposals:
        n = sum(len(score.regions) for score in proposals)
        measured = (
            f"{n:,} region{'' if n == 1 else 's'} of class {PROPOSED_CLASS}, for a person to accept or delete"
        )
    return f"{', '.join(parts)}{f': {why}' if why else ''}; {measured}"


def show_table(results: Sequence[ImageResult]) -> None:
    """Print a row for each image on standard output, with the reason below it where there is no score."""
    scores = [result.score for result in results]
    names: tuple[str, ...]
    left: tuple[int, ...]
    names, columns, left = _SCORE_COLUMNS, _score_cells, (1,)
    if any(score is not None and score.prediction for score in scores):
        names, columns = _PREDICTION_COLUMNS, _prediction_cells
    elif any(score is not None and score.status == "proposed" for score in scores):
        names, columns, left = _PROPOSAL_COLUMNS, _proposal_cells, ()
    rows = [(visible_name(result.name), *columns(result)) for result in results]
    title = f"{proposed_note(scores)} Research use only".strip()
    say_table(title, ("Image", *names), rows, left=left, details=[_details(result) for result in results])


def _details(result: ImageResult) -> list[str]:
    """Return the reason of an image that is not assessable, doubts of its pixel size, what became of its score."""
    earlier = [result.earlier] if result.earlier else []
    if result.score is None:
        return earlier
    if result.score.status != "not assessable":
        return [*(text for text in result.score.warnings if text.startswith(DOUBT)), *earlier]
    # Its row and the line above the table have said the rest.
    return [
        result.score.reason.removeprefix("Not assessable: ").removesuffix(RESEARCH_USE).rstrip(),
        *earlier,
    ]


def _prediction_cells(result: ImageResult) -> list[str]:
    said = None if result.score is None else result.score.prediction
    if said is None:
        return [result.state if result.score is None else result.score.answer, "", ""]
    sure = "" if said.class_name is None else f"{said.probabilities.get(said.class_name, math.nan):.2f}"
    return [said.class_name or "no class", sure, f"{said.n_patches:,}"]


def _proposal_cells(result: ImageResult) -> list[str]:
    if result.score is None or result.score.status != "proposed":
        return [result.state if result.score is None else result.score.answer, "", ""]
    found = result.score.regions.values()
    known = [(one.tumour_probability or 0.0) * one.n_cells for one in found]
    mean = sum(known) / max(1, sum(one.n_cells for one in found))
    return [f"{len(found):,}", f"{result.score.n_cells:,}", f"{mean:.2f}"]


def _score_cells(result: ImageResult) -> list[str]:
    if result.score is None:
        return [result.state, *[""] * 6]
    score = shown_score(result.score)
    shares = {short_class(name): share for name, share in score.shares.items()}
    percents = [
        f"{100 * shares[name]:.1f}" if name in shares else "" for name in ("Negative", "1+", "2+", "3+")
    ]
    h_score = "" if score.h_score is None else f"{score.h_score:.0f}"
    return [score.answer, *percents, h_score, f"{score.n_cells:,}"]


def _to_stderr(text: str) -> None:
    typer.echo(text, err=True)
