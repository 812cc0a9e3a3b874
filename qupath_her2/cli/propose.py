"""``propose``: tumour regions are proposed for a person to accept, edit or delete; nothing is scored."""

from __future__ import annotations

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

__all__ = ["propose"]


@verb
def propose(
    folder: o.Folder,
    images: o.Images = None,
    out: o.Out = None,
    pixel_size_um: o.PixelSize = None,
    series: o.Series = None,
    plane: o.Plane = None,
    cells: o.Cells = None,
    force: o.Force = False,
    no_qupath: o.NoQuPath = False,
    heap: o.Heap = None,
    workers: o.Workers = 1,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Propose tumour regions in all images, for a person to accept, edit or delete. Nothing is scored.

    The tissue is searched for nests of tumour cells; regions that were drawn already are left out. Proposals come into
    a QuPath project as annotations of class Tumor?, with the mean probability of their cells, and are never scored
    while they have that class. In QuPath, set the class of those that are invasive tumour to Tumor, correct their
    outline, delete the others, then score. Benign ducts and carcinoma in situ look like invasive carcinoma to the
    program: only a pathologist can tell them apart.

    For a folder of images, FOLDER/her2/proposals/results holds a regions.geojson of each image, which can be dragged
    onto the image in QuPath, and FOLDER/her2/proposals/report.html shows them. A second run only processes what
    changed, and replaces only proposals that nobody accepted or edited. What was deleted in QuPath stays deleted, here
    and in run --find-tumour, until --force asks for it.

    To score proposals without looking at them first: qupath-her2 run --find-tumour.

    [bold]Examples[/bold]

    qupath-her2 propose study/project.qpproj

    qupath-her2 propose slides --images 'case0*.svs' --workers 4
    """
    from qupath_her2.cli.pull_push import pull_and_push
    from qupath_her2.cli.scoring import run_folder, run_options
    from qupath_her2.project.exchange.images import PROPOSALS
    from qupath_her2.runs.cell_sources import cell_source
    from qupath_her2.runs.methods.cells import CellsMethod
    from qupath_her2.runs.methods.proposals import ProposalsMethod
    from qupath_her2.runs.plan import exchange_folder, find_settings

    settings = find_settings(folder, config)
    chosen = run_options(
        images=images,
        out=exchange_folder(folder, out) / PROPOSALS,
        pixel_size_um=pixel_size_um,
        series=series,
        plane=plane,
        method=ProposalsMethod(CellsMethod(cell_source(cells or settings.cell_source))),
        force=force,
        debug=debug,
    )
    push = None if no_qupath else pull_and_push(folder, chosen, settings, heap, progress)
    return run_folder(folder, chosen, settings, workers=workers, progress=progress, push=push)
