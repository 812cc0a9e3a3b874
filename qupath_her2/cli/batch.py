"""``batch``: thousands of slides, planned once and scored by processes, a Slurm array or Ray."""

from __future__ import annotations

from qupath_her2.cli import batch_options as b
from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

__all__ = ["batch"]


@verb
def batch(
    source: b.Source,
    what: b.What = b.WhatName.score,
    model: b.Model = None,
    images: o.Images = None,
    out: o.Out = None,
    pixel_size_um: o.PixelSize = None,
    series: o.Series = None,
    plane: o.Plane = None,
    whole_tissue: o.WholeTissue = False,
    find_tumour: o.FindTumour = False,
    cells: o.Cells = None,
    profile: o.Profile = None,
    guideline: o.Guideline = None,
    geojson: o.GeoJson = False,
    force: o.Force = False,
    executor: b.Engine = b.EngineName.local,
    workers: o.Workers = 1,
    memory_gb: b.Memory = None,
    array: b.Array = 1,
    sbatch: b.Sbatch = None,
    wait: b.Wait = False,
    address: b.Address = None,
    cores: b.Cores = 1.0,
    gpus: b.Gpus = 0.0,
    dry_run: b.DryRun = False,
    shard: b.ShardOf = None,
    finish: b.Finish = False,
    retry_failed: b.RetryFailed = False,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Score thousands of slides: on this machine, by a Slurm array, or on Ray; killed at any time, it goes on.

    Plans first: looks at every slide, lists those that cannot be read in OUT/plan/unreadable.csv, decides the stain
    groups, and begins with the longest. An image that failed is tried again where that can help, and else listed; the
    batch always ends with its tables. The same command again does only what is left. qupath-her2 status OUT tells how
    far it is. A QuPath project is pulled before and pushed afterwards: qupath-her2 pull, qupath-her2 push.

    [bold]Examples[/bold]

    qupath-her2 batch slides --dry-run

    qupath-her2 batch slides --workers 8 --memory-gb 24

    qupath-her2 batch slides.csv --out results --executor slurm --array 40 --workers 8 --sbatch='-t 480'

    qupath-her2 batch slides --executor ray --address auto --workers 64

    qupath-her2 batch slides --what predict --model slides/her2/models/se-resnet50/best
    """
    from qupath_her2.cli.batch_run import run_from_flags

    return run_from_flags(dict(locals()))
