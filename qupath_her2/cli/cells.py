"""``cells``: find, measure and classify cells, without summary and report."""

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
    whole_tissue: o.WholeTissue = False,
    source: o.Cells = None,
    geojson: o.GeoJson = False,
    force: o.Force = False,
    workers: o.Workers = 1,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Measure the cells of all images, and leave the report for later.

    Writes what `run` writes for each image (cells.npz, score.json, overlay.jpg), but neither summary.csv nor
    report.html: for measuring on several machines. Then `qupath-her2 report FOLDER`.

    [bold]Examples[/bold]

    qupath-her2 cells study --images 'a*.svs' --workers 8

    qupath-her2 cells study --cells from-regions --geojson
    """
    from qupath_her2.cli.scoring import run_folder, run_options
    from qupath_her2.runs.cell_sources import cell_source
    from qupath_her2.runs.plan import find_settings

    settings = find_settings(folder, config)
    where = cell_source(source or settings.cell_source)
    chosen = run_options(
        images=images,
        out=out,
        pixel_size_um=pixel_size_um,
        whole_tissue=whole_tissue,
        cells=where.kind,
        checkpoint=where.checkpoint,
        geojson=geojson,
        force=force,
        debug=debug,
    )
    return run_folder(folder, chosen, settings, workers=workers, progress=progress, with_report=False)
