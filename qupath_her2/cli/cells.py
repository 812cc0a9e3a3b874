"""``cells``: detect, measure and classify cells, without summary and report."""

from __future__ import annotations

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

__all__ = ["cells"]


@verb
def cells(
    folder: o.Folder,
    images: o.Images = None,
    out: o.Out = None,
    pixel_size_um: o.PixelSize = None,
    series: o.Series = None,
    plane: o.Plane = None,
    whole_tissue: o.WholeTissue = False,
    find_tumour: o.FindTumour = False,
    source: o.Cells = None,
    geojson: o.GeoJson = False,
    force: o.Force = False,
    workers: o.Workers = 1,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Measure and score the cells of all images without writing the report.

    Writes the same files per image as run (cells.npz, score.json, overlay.jpg), but no summary.csv, regions.csv or
    report.html, so that several machines can share the images of a folder. Afterwards: qupath-her2 report FOLDER.

    [bold]Examples[/bold]

    qupath-her2 cells study --images 'a*.svs' --workers 8

    qupath-her2 cells study --cells from-regions --geojson
    """
    from qupath_her2.cli.scoring import run_folder, run_options
    from qupath_her2.runs.cell_sources import cell_source
    from qupath_her2.runs.methods.cells import CellsMethod
    from qupath_her2.runs.plan import find_settings

    settings = find_settings(folder, config)
    chosen = run_options(
        images=images,
        out=out,
        pixel_size_um=pixel_size_um,
        series=series,
        plane=plane,
        whole_tissue=whole_tissue,
        find_tumour=find_tumour,
        method=CellsMethod(cell_source(source or settings.cell_source)),
        geojson=geojson,
        force=force,
        debug=debug,
    )
    return run_folder(folder, chosen, settings, workers=workers, progress=progress, with_report=False)
