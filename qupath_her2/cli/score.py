"""``score``: scores stored cells again by another guideline, without reading pixels."""

from __future__ import annotations

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

__all__ = ["score"]


@verb
def score(
    folder: o.Folder,
    images: o.Images = None,
    out: o.Out = None,
    guideline: o.Guideline = None,
    site: o.Site = None,
    specimen: o.Specimen = None,
    geojson: o.GeoJson = False,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Score cells that are already measured again, by another guideline, other case data or other limits.

    Reads the stored cells and no pixels, so it takes seconds. Changes to detection or to the cut-points of membrane
    staining need qupath-her2 run.

    [bold]Examples[/bold]

    qupath-her2 score study --guideline breast-2013

    qupath-her2 score study --site gastric --specimen biopsy
    """
    from qupath_her2.cli.scoring import run_options, score_folder

    chosen = run_options(
        images=images,
        out=out,
        guideline=guideline,
        site=site,
        specimen=specimen,
        geojson=geojson,
        debug=debug,
    )
    return score_folder(folder, chosen, config, progress=progress)
