"""``train`` for segmentation recipes: one network, the paper's comparison networks, or its window-size study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import typer

from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.progress import say_json
from qupath_her2.cli.tables import say_figures
from qupath_her2.cli.training_progress import training_view
from qupath_her2.config import Settings
from qupath_her2.errors import SettingsError
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.patches.targets.stored_targets import read_targets
from qupath_her2.report.pixel_tables import pixel_tables
from qupath_her2.training.segmenter import TrainedSegmenter, train_and_compare, train_segmenter
from qupath_her2.training.types import TrainJob

__all__ = ["train_segmenters"]

Cut = Callable[[Settings, Path], PatchManifest]


def train_segmenters(
    job: TrainJob,
    place: Path,
    cut: Cut,
    progress: ProgressKind,
    *,
    with_rivals: bool = False,
    sides: tuple[str, ...] = (),
) -> int:
    """Train one segmenter or several to compare, and print their metrics.

    Parameters
    ----------
    job
        Training of the recipe's own network, still without targets.
    place
        Folder of its windows and targets.
    cut
        Function that cuts windows with other settings into another folder.
    progress
        How progress is shown.
    with_rivals
        Also train the paper's other networks.
    sides
        Window sides to compare in px, as text; empty compares none.

    Returns
    -------
    int
        Exit code 0.

    Raises
    ------
    SettingsError
        If two comparisons are asked for at once, or sides are not numbers.
    """
    if with_rivals and sides:
        raise SettingsError("--rivals compares networks and --study window sizes. Pass one at a time.")
    job = replace(job, targets=read_targets(place, job.manifest))
    with training_view(progress) as view:
        if with_rivals:
            jobs = [job, *(_rival(job, name) for name in job.recipe.rivals if name != job.model)]
            table = job.out.with_name(f"{job.out.name}-rivals") / "rivals"
        elif sides:
            jobs = [_of_side(job, place, cut, side) for side in _numbers(sides)]
            table = job.out.with_name(f"{job.out.name}-windows") / "windows"
        else:
            done = [train_segmenter(job, progress=view.training, predicting=view.predicting)]
            _say(done, job, progress)
            return 0
        done = list(
            train_and_compare(
                jobs,
                table,
                progress=view.training,
                predicting=view.predicting,
                on_start=lambda one: _begin(one, progress),
            )
        )
    _say(done, job, progress)
    if progress is not ProgressKind.json:
        typer.echo(f"table    {table}.csv, .txt, .json")
    return 0


def _rival(job: TrainJob, name: str) -> TrainJob:
    return replace(job, model=name, out=job.out.with_name(f"{job.out.name}-{name}"))


def _of_side(job: TrainJob, place: Path, cut: Cut, side: int) -> TrainJob:
    """Return the job with windows of another side, cut from the same crops and split alike."""
    patches = job.settings.patches
    if side == patches.grid.patch_size_px:
        return job
    settings = replace(job.settings, patches=replace(patches, grid=replace(patches.grid, patch_size_px=side)))
    target = place.with_name(f"{place.name}-{side}")
    # The seed stays, so that each size is trained and tested on the same cases.
    manifest = cut(settings, target)
    # With --patches, `cut` returns the patches already cut, whatever side is asked for.
    if manifest.patch_size_px != side:
        raise SettingsError("--study window cuts windows of several sizes itself. Leave --patches out.")
    return replace(
        job,
        settings=settings,
        manifest=manifest,
        targets=read_targets(target, manifest),
        out=job.out.with_name(f"{job.out.name}-{side}"),
    )


def _numbers(sides: tuple[str, ...]) -> list[int]:
    try:
        return [int(side) for side in sides]
    except ValueError as error:
        raise SettingsError(
            f"--windows {','.join(sides)!r} is not a list of sides in px. Write e.g. 151,251."
        ) from error


def _begin(job: TrainJob, progress: ProgressKind) -> None:
    if progress is ProgressKind.json:
        say_json(event="network", model=job.model, window_px=job.manifest.patch_size_px)
    elif progress is not ProgressKind.off:
        typer.echo(f"{job.model}, windows of {job.manifest.patch_size_px} px", err=True)


def _say(done: list[TrainedSegmenter], job: TrainJob, progress: ProgressKind) -> None:
    """Print the metrics of the test part, all warnings, and the path of each checkpoint."""
    rows = [one.row for one in done if one.row is not None]
    if progress is ProgressKind.json:
        for one in done:
            f_score = None if one.row is None else one.row.tally.pooled().mean_f_score
            say_json(
                event="trained",
                checkpoint=str(one.checkpoint),
                best_epoch=one.result.best_epoch,
                mean_f_score=f_score,
            )
        return
    # A damaged slide has one sentence per unread patch: five are enough to see which. Networks share most warnings.
    for warning in dict.fromkeys(
        text for one in done for text in (*one.result.warnings, *one.result.unread[:5])
    ):
        typer.echo(warning, err=True)
    if rows:
        for table in pixel_tables(rows):
            say_figures(table)
    else:
        typer.echo("No labelled test windows: how well it does on unseen cases is unknown.")
    for one in done:
        result = one.result
        typer.echo(
            f"best epoch {result.best_epoch} of {len(result.history)}, {result.seconds:.0f} s on {result.device}; "
            f"{'control trained on shuffled targets; ' if job.is_control else ''}research use only"
        )
        typer.echo(f"network  {one.checkpoint}.safetensors")
