"""``run``: scores images from pixels to report, with pull and push for a QuPath project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

if TYPE_CHECKING:
    from qupath_her2.recipes.recipe import Recipe
    from qupath_her2.runs.types import Method

__all__ = ["run", "tumour_recipe"]


@verb
def run(
    folder: o.Folder,
    images: o.Images = None,
    out: o.Out = None,
    pixel_size_um: o.PixelSize = None,
    series: o.Series = None,
    plane: o.Plane = None,
    whole_tissue: o.WholeTissue = False,
    find_tumour: o.FindTumour = False,
    region: o.Region = None,
    cells: o.Cells = None,
    method: o.Method = o.MethodName.cells,
    keep_controls: o.KeepControls = False,
    ranges: o.Ranges = None,
    accept_ranges: o.AcceptRanges = False,
    tumour_from: o.TumourFrom = None,
    profile: o.Profile = None,
    guideline: o.Guideline = None,
    site: o.Site = None,
    specimen: o.Specimen = None,
    geojson: o.GeoJson = False,
    force: o.Force = False,
    no_qupath: o.NoQuPath = False,
    heap: o.Heap = None,
    workers: o.Workers = 1,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Score all images of a folder or a QuPath project, and write the report.

    Tumour regions come from the project, or from case.geojson next to case.svs. Results go to FOLDER/her2:
    summary.csv, regions.csv, report.html and, for each image, cells, score and overlay; those of a project are also
    imported into it. A second run only processes what changed.

    [bold]Examples[/bold]

    qupath-her2 run study --pixel-size-um 0.25

    qupath-her2 run study/project.qpproj

    qupath-her2 run study --images 'case0*.svs' --workers 4

    qupath-her2 run cores --whole-tissue --out results

    qupath-her2 run slides --find-tumour

    qupath-her2 run biopsies --site gastric --specimen biopsy

    qupath-her2 run study --cells her2net:study/her2/models/her2net/best

    qupath-her2 run study --profile auto

    qupath-her2 run study --images case04 --region 0f4df1a6-7b54-4a3b-9a86-0d6f2c1c7b11

    qupath-her2 run study --method indicators --tumour-from study/her2/models/tumour-resnet34/best
    """
    from qupath_her2.cli.pull_push import pull_and_push
    from qupath_her2.cli.scoring import run_folder, run_options
    from qupath_her2.project.exchange.images import field_folder
    from qupath_her2.runs.plan import exchange_folder, find_settings

    recipe = tumour_recipe(tumour_from, method)
    settings = find_settings(folder, config, recipe=recipe)
    chosen = run_options(
        images=images,
        out=out if region is None else field_folder(exchange_folder(folder, out), region),
        pixel_size_um=pixel_size_um,
        series=series,
        plane=plane,
        whole_tissue=whole_tissue,
        find_tumour=find_tumour,
        region=region,
        method=_by_cells(cells or settings.cell_source)
        if method is o.MethodName.cells
        else _by_indicators(cells, tumour_from, keep_controls, ranges, accept_ranges),
        profile=profile,
        guideline=guideline,
        site=site,
        specimen=specimen,
        geojson=geojson,
        force=force,
        debug=debug,
    )
    push = None if no_qupath else pull_and_push(folder, chosen, settings, heap, progress)
    return run_folder(folder, chosen, settings, workers=workers, progress=progress, push=push)


def _by_cells(source: str) -> Method:
    from qupath_her2.runs.cell_sources import cell_source
    from qupath_her2.runs.methods.cells import CellsMethod

    return CellsMethod(cell_source(source))


def _by_indicators(
    cells: str | None,
    tumour_from: Path | None,
    keep_controls: bool,
    ranges: Path | None,
    accept_ranges: bool,
) -> Method:
    from qupath_her2.errors import SettingsError
    from qupath_her2.runs.methods.indicators import IndicatorsMethod
    from qupath_her2.scoring.indicators.ranges_file import load_ranges

    if cells not in (None, "detect"):
        raise SettingsError(
            f"--cells {cells} does not go with --method indicators, which measures no single cells. Leave one out."
        )
    return IndicatorsMethod(
        None if tumour_from is None else tumour_from.absolute(),
        keep_controls,
        None if ranges is None else load_ranges(ranges),
        accept_ranges,
    )


def tumour_recipe(tumour_from: Path | None, method: o.MethodName) -> Recipe | None:
    """Return the recipe of the network that finds the tumour, so that patches are cut as it was trained."""
    if tumour_from is None:
        return None
    from qupath_her2.errors import SettingsError
    from qupath_her2.models.card import read_card
    from qupath_her2.recipes import RECIPES

    if method is not o.MethodName.indicators:
        raise SettingsError(
            "--tumour-from needs --method indicators: cells are scored inside annotated regions. Leave it out."
        )
    return RECIPES.get(read_card(tumour_from).recipe)
