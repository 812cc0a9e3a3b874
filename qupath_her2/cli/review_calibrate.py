"""``review calibrate``: labelled cells become profiles of cut-points."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.review import Reviewer, account_name
from qupath_her2.cli.verb import verb
from qupath_her2.errors import ReviewError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.cells.profiles import Place, Profile
    from qupath_her2.config import Settings
    from qupath_her2.records import SlideRef
    from qupath_her2.review.label_groups import LabelGroup
    from qupath_her2.review.labels import CellLabel

__all__ = ["calibrate"]


@verb
def calibrate(
    folder: o.Folder,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Name of the profile. Default: made of scanner, stain and laboratory.",
        ),
    ] = "",
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Another list of labels (image, uuid, reader, value), beside those of her2/review/labels. Can be "
            "given more than once.",
        ),
    ] = None,
    queue_reviewed: Annotated[
        bool,
        typer.Option(
            "--queue-reviewed",
            help="All cells of the queue were looked at: those that were left as they are count as confirmed.",
        ),
    ] = False,
    controls: Annotated[
        bool,
        typer.Option(
            "--controls",
            help="Measure on-slide control tissue, and use its cells as labels: regions of class Control, named after "
            "their known score (0, 1+, 2+ or 3+).",
        ),
    ] = False,
    reviewer: Reviewer = "",
    out: o.Out = None,
    config: o.Config = None,
    workers: o.Workers = 1,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Fit the cut-points of intensity and completeness to cells that people labelled, for each scanner and stain.

    Labels are the corrections of all rounds, lists in her2/review/labels (a filled blind.csv of review queue --blind,
    or what the review window wrote), and with --queue-reviewed the cells of the queue that were left as they are.
    Cells that people called differently are left out. With --controls each cell of a control region named "3+" or
    "cell line 2+" counts as of that class, at most 60 of a region; this suits cell lines and other uniform tissue, on
    slides of at least 3 cases.

    Images of one scanner, stain and laboratory (column laboratory of cases.csv, if there is one) whose stain vectors
    are alike make a profile, her2/profiles/NAME.json. It needs 30 labelled cells of 3 cases. Each case is judged by
    cut-points that it took no part in; a profile is written only if it is better there than the one it replaces, or
    than the built-in cut-points, and the message has both figures. From 300 cells of 5 cases on a small model of
    several measurements is tried as well, and kept where it is better than cut-points.

    No score changes until it is asked for: qupath-her2 run study --profile auto, or profile = "auto" in her2.toml.

    [bold]Examples[/bold]

    qupath-her2 review calibrate study

    qupath-her2 review calibrate study --queue-reviewed --reviewer Anna --name lab-a

    qupath-her2 review calibrate study --controls
    """
    from qupath_her2.review.project_labels import project_labels
    from qupath_her2.runs.plan import exchange_folder, find_settings, select_images

    her2, settings = exchange_folder(folder, out), find_settings(folder, config)
    images = select_images(folder, (), out)
    found = project_labels(
        folder,
        her2,
        images,
        reach_deg=settings.stains.max_member_deviation_deg,
        lists=labels or (),
        queue_reader=account_name(reviewer) if queue_reviewed else "",
        controls=_control_labels(folder, her2, images, settings, workers, progress) if controls else (),
    )
    if not found.labels:
        raise ReviewError(
            f"Nobody has labelled cells in '{her2}' yet. Choose cells (qupath-her2 review queue), set their classes in "
            "QuPath, and collect them (qupath-her2 review collect)."
        )
    for note in found.notes:
        typer.echo(f"note    {note}", err=True)
    return _write_profiles(her2, found.groups, name)


def _control_labels(
    folder: Path,
    her2: Path,
    images: Sequence[SlideRef],
    settings: Settings,
    workers: int,
    progress: o.ProgressKind,
) -> list[CellLabel]:
    """Measure the control tissue of known score, and return the labels of its cells."""
    from dataclasses import replace
    from glob import escape

    from qupath_her2.batch.expected import expected_work
    from qupath_her2.batch.local import run_jobs
    from qupath_her2.cli.scoring import run_options
    from qupath_her2.cli.scoring_progress import progress_view
    from qupath_her2.project.exchange.images import CONTROLS
    from qupath_her2.review.control_tissue import as_tumour, control_labels, control_scores
    from qupath_her2.runs.cell_sources import cell_source
    from qupath_her2.runs.methods.cells import CellsMethod
    from qupath_her2.runs.plan import plan_jobs

    named = [ref for ref in images if control_scores(ref, settings.regions)]
    if not named:
        raise ReviewError(
            f"No image of '{folder}' has control tissue of a known score. Draw it in QuPath with class Control, and "
            "name it after its score: 0, 1+, 2+ or 3+."
        )
    options = run_options(
        images=[escape(ref.name) for ref in named],
        out=her2 / CONTROLS,
        method=CellsMethod(cell_source(settings.cell_source)),
    )
    plan = plan_jobs(folder, options, replace(settings, regions=as_tumour(settings.regions)))
    with progress_view(progress, expected_work(plan.jobs)) as view:
        results = run_jobs(plan.jobs, workers=workers, listen=view.show)
    for result in results:
        if result.state == "failed":
            typer.echo(f"note    {result.name}: its controls were not measured: {result.error}", err=True)
    labels, notes = control_labels(her2, named, settings.regions)
    for note in notes:
        typer.echo(f"note    {note}", err=True)
    typer.echo(f"controls  {len(labels):,} cells of {len(named)} images", err=True)
    return labels


def _write_profiles(her2: Path, groups: Sequence[LabelGroup], name: str) -> int:
    """Write a profile for each group whose labels suffice and help; an error where there is none."""
    import qupath_her2
    from qupath_her2.cells.profiles import profile_path, read_profile, write_profile
    from qupath_her2.review.calibrate import calibrate as fit_profile
    from qupath_her2.review.calibrate import figures_words

    refused = []
    n_written = 0
    for number, group in enumerate(groups, 1):
        called = (
            name if name and number == 1 else f"{name or _slug(group.place)}{f'-{number}' * (number > 1)}"
        )
        path = profile_path(her2, called)
        current: Profile | None = read_profile(path) if path.is_file() else None
        try:
            profile = fit_profile(group, called, current, version=qupath_her2.__version__)
        except ReviewError as error:
            refused.append(str(error))
            continue
        write_profile(path, profile)
        n_written += 1
        kind = "cut-points" if profile.classifier is None else "cut-points and class model"
        typer.echo(f"profile  {path}  ({group.place.words}; {kind}; {figures_words(dict(profile.figures))})")
    if not n_written:
        raise ReviewError(
            "\n".join(refused) or "No labelled cell is in a result that is left. Label cells again."
        )
    for text in refused:
        typer.echo(f"note    {text}", err=True)
    typer.echo(f"calibrate  {n_written} profile{'s' * (n_written != 1)}, {len(refused)} refused")
    return 0


def _slug(place: Place) -> str:
    words = f"{place.scanner} {place.stain} {place.laboratory}".casefold().replace("µ", "u")
    return re.sub(r"[^0-9a-z.]+", "-", words).strip("-.")[:60].strip("-.") or "profile"
