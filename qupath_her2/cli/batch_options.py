"""Options of ``batch`` and ``status``: engines, their workers, and the parts of a batch."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Address",
    "Array",
    "Cores",
    "DryRun",
    "Engine",
    "EngineName",
    "Finish",
    "Gpus",
    "Memory",
    "Model",
    "RetryFailed",
    "Sbatch",
    "ShardOf",
    "Source",
    "Wait",
    "What",
    "WhatName",
    "parse_shard",
]

_ENGINE = "On which machines"
_PART = "Parts of a batch"


class EngineName(str, Enum):
    """Engine of a batch."""

    local = "local"
    slurm = "slurm"
    ray = "ray"


class WhatName(str, Enum):
    """What is done with each image."""

    score = "score"
    predict = "predict"
    embed = "embed"


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """Return ``3/40`` as (3, 40); BadParameter for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise typer.BadParameter(f"'{text}' is no part of a batch: write the third of forty as 3/40.")
    return int(match[1]), int(match[2])


Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="A pulled QuPath project, a folder of images, or a list of slides: CSV with a column image, and, where "
        "wanted, regions, pixel_size_um, scanner, date and the columns of cases.csv.",
    ),
]
What = Annotated[
    WhatName,
    typer.Option(
        "--what", help="Score cells, predict with a network (--model), or embed for slide-level networks."
    ),
]
Model = Annotated[
    Path | None,
    typer.Option("--model", metavar="CKPT", help="Checkpoint of the network for --what predict."),
]
Engine = Annotated[
    EngineName,
    typer.Option(
        "--executor",
        rich_help_panel=_ENGINE,
        help="Processes of this machine, a Slurm job array, or Ray actors.",
    ),
]
Array = Annotated[
    int,
    typer.Option(
        "--array", min=1, max=10000, rich_help_panel=_ENGINE, help="Tasks of the Slurm array, --workers each."
    ),
]
Memory = Annotated[
    float | None,
    typer.Option(
        "--memory-gb",
        min=0.5,
        metavar="GB",
        rich_help_panel=_ENGINE,
        help="Memory of all workers of a machine together. Each is bound to its share; an image that needs more is "
        "tried again alone.",
    ),
]
Sbatch = Annotated[
    list[str] | None,
    typer.Option(
        "--sbatch",
        metavar="OPTION",
        rich_help_panel=_ENGINE,
        help="An option for sbatch, e.g. --sbatch='-p long'. Can be given more than once.",
    ),
]
Wait = Annotated[
    bool,
    typer.Option("--wait", rich_help_panel=_ENGINE, help="Stay until the Slurm array has ended."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        rich_help_panel=_ENGINE,
        help="A running Ray cluster, or auto. Default: Ray is started on this machine.",
    ),
]
Cores = Annotated[
    float,
    typer.Option("--cores", min=0.1, rich_help_panel=_ENGINE, help="Cores that each Ray actor asks for."),
]
Gpus = Annotated[
    float,
    typer.Option(
        "--gpus",
        min=0.0,
        rich_help_panel=_ENGINE,
        help="GPUs that each Ray actor asks for; 0.5 lets two share one.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        rich_help_panel=_PART,
        help="Only plan: look at all slides, list those that cannot be read, estimate the time.",
    ),
]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        rich_help_panel=_PART,
        help="Work on a planned batch as the I-th of N machines, then on what the others left.",
    ),
]
Finish = Annotated[
    bool,
    typer.Option(
        "--finish", rich_help_panel=_PART, help="Only write the tables and the report of a planned batch."
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed", rich_help_panel=_PART, help="Try images again that were set aside as failed."
    ),
]
Watch = Annotated[
    bool, typer.Option("--watch", help="Show it anew every few seconds until the batch has ended.")
]
Output = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="Output folder of a batch, or the folder of images whose her2 it is."),
]
