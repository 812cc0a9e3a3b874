"""``indicators``: fits the ranges of the IHC indicators on labelled cases, or evaluates a fitted table on others."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import EXIT_SOME_FAILED, say_error, verb

if TYPE_CHECKING:
    from qupath_her2.config import Settings
    from qupath_her2.patches.datasets.sources import SourceImage
    from qupath_her2.runs.options import RunOptions
    from qupath_her2.scoring.indicators.ranges import IndicatorRanges
    from qupath_her2.training.indicator_ranges import LabelledSlide, RangeFigures
    from qupath_her2.training.tumour_figures import TumourFigures

__all__ = ["indicators"]


class Action(str, Enum):
    """What is done with the ranges."""

    fit = "fit"
    evaluate = "evaluate"


@verb
def indicators(
    action: Annotated[
        Action,
        typer.Argument(
            metavar="ACTION",
            help="fit: fit ranges on the labelled cases. evaluate: compare a fitted table with the labels.",
        ),
    ],
    folder: o.Folder,
    images: o.Images = None,
    out: o.Out = None,
    pixel_size_um: o.PixelSize = None,
    series: o.Series = None,
    plane: o.Plane = None,
    whole_tissue: o.WholeTissue = False,
    tumour_from: o.TumourFrom = None,
    keep_controls: o.KeepControls = False,
    ranges: o.Ranges = None,
    accept_ranges: o.AcceptRanges = False,
    workers: o.Workers = 1,
    force: o.Force = False,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Fit the ranges of the IHC indicators on labelled cases, or evaluate fitted ranges.

    The labels are the HER2 scores in a column 'label' of cases.csv, or in the metadata of the project's images. Every
    image is measured as run --method indicators does it, once, in FOLDER/her2/indicators; scores stay as they are.

    fit writes the decision table FOLDER/her2/indicators/ranges.json, for --ranges, and shows how well it scores cases
    that it was not fitted to, by staining intensity alone and by all three indicators. It applies to slides of the same
    scanner, stain, pixel size and measured area; others are not assessable.

    evaluate compares a table with labelled cases, which should not be those that it was fitted to.

    Both write pictures and a page into FOLDER/her2/indicators: confusion matrices of the score with and without the two
    cell indicators and, with --tumour-from, ROC and precision-recall curves of the tumour map against drawn regions.

    [bold]Examples[/bold]

    qupath-her2 indicators fit study

    qupath-her2 indicators evaluate others --ranges study/her2/indicators/ranges.json
    """
    from qupath_her2.cli.run import tumour_recipe
    from qupath_her2.cli.scoring import run_options
    from qupath_her2.project.exchange.images import INDICATORS
    from qupath_her2.runs.methods.indicators import IndicatorsMethod
    from qupath_her2.runs.plan import exchange_folder, find_settings

    measured = exchange_folder(folder, out) / INDICATORS
    table = _table(action, ranges, accept_ranges)
    settings = find_settings(folder, config, recipe=tumour_recipe(tumour_from, o.MethodName.indicators))
    chosen = run_options(
        images=images,
        out=measured,
        pixel_size_um=pixel_size_um,
        series=series,
        plane=plane,
        whole_tissue=whole_tissue,
        method=IndicatorsMethod(None if tumour_from is None else tumour_from.absolute(), keep_controls),
        force=force,
        debug=debug,
    )
    slides, sources, n_failed = _measure(folder, chosen, settings, workers, progress, is_fit=table is None)
    tumour = _tumour(sources, tumour_from, settings)
    if table is None:
        _fit(folder, slides, measured, tumour)
    else:
        _evaluate(slides, table, settings, accept_ranges, measured, tumour)
    return EXIT_SOME_FAILED if n_failed else 0


def _table(action: Action, ranges: Path | None, accept_ranges: bool) -> IndicatorRanges | None:
    """Return the table to evaluate; None for fit."""
    from qupath_her2.errors import SettingsError
    from qupath_her2.scoring.indicators.ranges_file import load_ranges

    if action is Action.evaluate:
        if ranges is None:
            raise SettingsError(
                "evaluate needs the table to evaluate: pass --ranges FILE, which qupath-her2 indicators fit writes."
            )
        # Read before anything is measured.
        return load_ranges(ranges)
    if ranges is not None or accept_ranges:
        flag = "--ranges" if ranges is not None else "--accept-ranges"
        raise SettingsError(f"{flag} goes with evaluate: fit writes a table of its own. Leave {flag} out.")
    return None


def _measure(
    folder: Path,
    options: RunOptions,
    settings: Settings,
    workers: int,
    progress: o.ProgressKind,
    *,
    is_fit: bool,
) -> tuple[tuple[LabelledSlide, ...], tuple[SourceImage, ...], int]:
    """Measure all images, and return them with their labels, their sources, and the number of failed ones."""
    from qupath_her2.batch.expected import expected_work
    from qupath_her2.batch.local import run_jobs
    from qupath_her2.cli.scoring_progress import progress_view
    from qupath_her2.patches.datasets.sources import project_source
    from qupath_her2.patches.tasks import find_task
    from qupath_her2.runs.plan import plan_jobs
    from qupath_her2.training.indicator_ranges import check_labels, labelled_slides

    plan = plan_jobs(folder, options, settings)
    for note in plan.notes:
        typer.echo(note, err=True)
    source = project_source(
        folder,
        task=find_task("her2-4"),
        refs=[job.ref for job in plan.jobs],
        her2=plan.out,
        pixel_size_um=options.pixel_size_um,
    )
    # Before anything is measured: a misspelt label stops the run now, not after an hour.
    check_labels(source.images, needs_every_score=is_fit)
    with progress_view(progress, expected_work(plan.jobs)) as view:
        results = run_jobs(plan.jobs, workers=workers, listen=view.show)
    failed = [result for result in results if result.state == "failed"]
    for result in failed:
        say_error(f"{result.name}: {result.error}")
    return labelled_slides(results, source.images), source.images, len(failed)


def _tumour(
    images: tuple[SourceImage, ...], checkpoint: Path | None, settings: Settings
) -> TumourFigures | None:
    """Return the figures of the tumour network against drawn regions; None without a network, or without regions."""
    if checkpoint is None:
        return None
    from qupath_her2.errors import PatchError
    from qupath_her2.training.tumour_figures import tumour_figures

    try:
        found = tumour_figures(images, checkpoint, settings)
    except PatchError as error:
        # The scores do not need drawn regions, so they are shown all the same.
        typer.echo(f"The tumour map is compared with nothing: {error}", err=True)
        return None
    curves = found.curves
    if curves.n_positive in (0, curves.n):
        typer.echo("The tumour map is compared with nothing: all patches are of one class.", err=True)
    else:
        typer.echo(
            f"tumour map  AUC {curves.area:.3f}, average precision {curves.average_precision:.3f} of {curves.n:,} "
            f"patches, {curves.n_positive:,} in drawn tumour, of {found.n_images} images"
        )
    return found


def _fit(folder: Path, slides: tuple[LabelledSlide, ...], out: Path, tumour: TumourFigures | None) -> None:
    from qupath_her2.cli.tables import say_table
    from qupath_her2.scoring.indicators.ranges_file import save_ranges
    from qupath_her2.scoring.rules import SCORES
    from qupath_her2.training.indicator_ranges import fit_slides
    from qupath_her2.training.indicators_page import write_indicators_page

    fit, figures = fit_slides(slides, f"ranges fitted on {folder.absolute().name}")
    path = out / "ranges.json"
    save_ranges(fit.ranges, path)
    rows = [
        (name.replace("_", " "), *(f"{low:.3f} to {high:.3f}" for low, high in row))
        for name, row in fit.ranges.ranges.items()
    ]
    say_table(f"Ranges of {fit.ranges.n_cases} cases, minimum to maximum", ("Indicator", *SCORES), rows)
    _say_agreement(figures, "of cases, each scored by ranges fitted without it")
    _say_left_out(slides)
    facts = {"cases": str(fit.ranges.n_cases), "scored": "each case by ranges fitted without it"}
    page = write_indicators_page(out, f"Indicators, {fit.ranges.name}", facts, figures, tumour)
    typer.echo(f"ranges  {path}")
    typer.echo(f"page    {page}")
    typer.echo(f"Next: qupath-her2 run {folder} --method indicators --ranges {path}")


def _evaluate(
    slides: tuple[LabelledSlide, ...],
    table: IndicatorRanges,
    settings: Settings,
    accept: bool,
    out: Path,
    tumour: TumourFigures | None,
) -> None:
    from qupath_her2.training.indicator_ranges import evaluate_slides
    from qupath_her2.training.indicators_page import write_indicators_page

    figures = evaluate_slides(slides, table, min_cells=settings.scoring.min_cells, accept=accept)
    known = set(table.fitted_on.images) if table.fitted_on is not None else set()
    n_known = sum(slide.fingerprint in known for slide in slides if slide.measured is not None)
    facts = {"table": table.name, "images": str(len(slides)), "of them fitted on": str(n_known)}
    if n_known:
        typer.echo(
            f"The ranges were fitted on {n_known} of these {len(slides)} images: the figures are too good for new ones."
        )
    _say_agreement(figures, f"of images, by {table.name}")
    _say_left_out(slides)
    page = write_indicators_page(out / "evaluation", f"Indicators by {table.name}", facts, figures, tumour)
    typer.echo(f"page    {page}")


def _say_agreement(figures: RangeFigures, words: str) -> None:
    """Print the confusion matrices of both methods, as Figure 9 of the paper, with their accuracies."""
    from qupath_her2.cli.tables import say_figures
    from qupath_her2.scoring.agreement.tables import confusion_table, share_text

    for title, one in (
        ("all three indicators", figures.by_all),
        ("staining intensity alone", figures.by_intensity),
    ):
        say_figures(confusion_table(one, f"Scores {words}: {title}"))
        typer.echo(f"{share_text(one.accuracy)} right by {title}")
    for warning in figures.by_all.warnings:
        typer.echo(f"* {warning}")


def _say_left_out(slides: tuple[LabelledSlide, ...]) -> None:
    for slide in slides:
        if slide.problem:
            typer.echo(f"left out  {slide.name}: {slide.problem}")
