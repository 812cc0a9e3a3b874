"""Options shared by several verbs, each defined once; those that cut patches are in `cli.patch_options`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

__all__ = [
    "AcceptRanges",
    "BatchSize",
    "Cells",
    "Config",
    "Debug",
    "Device",
    "FindTumour",
    "Folder",
    "Force",
    "GeoJson",
    "Guideline",
    "Heap",
    "Images",
    "KeepControls",
    "Method",
    "MethodName",
    "NoQuPath",
    "Out",
    "PixelSize",
    "Progress",
    "ProgressKind",
    "Region",
    "Plane",
    "Project",
    "Ranges",
    "Series",
    "Site",
    "SiteName",
    "Specimen",
    "SpecimenName",
    "TumourFrom",
    "WholeTissue",
    "Workers",
]


class ProgressKind(str, Enum):
    """How progress is reported."""

    auto = "auto"
    bar = "bar"
    json = "json"
    off = "off"


class SiteName(str, Enum):
    """Site of the primary tumour."""

    breast = "breast"
    gastric = "gastric"


class SpecimenName(str, Enum):
    """How the tissue was sampled."""

    biopsy = "biopsy"
    resection = "resection"


class MethodName(str, Enum):
    """How an image is scored: by its cells, or by the indicators of Che et al. 2023."""

    cells = "cells"
    indicators = "indicators"


# Headings of the groups of options in --help.
_WHAT = "Which images"
_HOW = "How to score"
_RUN = "How to run"

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="A folder of images (case.svs with its regions in case.geojson), or a QuPath project.",
    ),
]
Project = Annotated[
    Path,
    typer.Argument(metavar="PROJECT", help="A project.qpproj file, or the folder that contains it."),
]
Heap = Annotated[
    int | None,
    typer.Option(
        "--heap",
        metavar="MB",
        min=256,
        rich_help_panel=_RUN,
        help="Memory for QuPath. Default: estimated from the number of objects.",
    ),
]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--images",
        metavar="PATTERN",
        rich_help_panel=_WHAT,
        help="Only images whose name matches, e.g. 'case0*.svs'. Can be given more than once.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", rich_help_panel=_WHAT, help="Write results here instead of to FOLDER/her2."
    ),
]
WholeTissue = Annotated[
    bool,
    typer.Option(
        "--whole-tissue",
        rich_help_panel=_WHAT,
        help="Use all tissue of images without a tumour region. The result says that nobody selected the tumour.",
    ),
]
FindTumour = Annotated[
    bool,
    typer.Option(
        "--find-tumour",
        rich_help_panel=_WHAT,
        help="Search images without a tumour region for tumour, and score what is found. The result says that nobody "
        "confirmed it; benign ducts and carcinoma in situ cannot be told from invasive carcinoma. To look at the "
        "regions before they are scored: qupath-her2 propose. Setting find_tumour.finder: the finder, if not that of "
        "the package (qupath-her2 train --recipe tumour-finder).",
    ),
]
Region = Annotated[
    UUID | None,
    typer.Option(
        "--region",
        metavar="UUID",
        rich_help_panel=_WHAT,
        help="Score this annotation of an image alone, whatever its class; its UUID is in the region file. Results go "
        "to her2/fields/UUID, and the score of the image stays.",
    ),
]
PixelSize = Annotated[
    float | None,
    typer.Option(
        "--pixel-size-um",
        metavar="UM",
        rich_help_panel=_WHAT,
        help="Pixel size of all images, in µm. Overrides the value in QuPath and in the file.",
    ),
]
Series = Annotated[
    int | None,
    typer.Option(
        "--series",
        metavar="N",
        min=0,
        max=999_999,
        rich_help_panel=_WHAT,
        help="Picture to read of files that hold several, from 0 in the order of the file, as in QuPath. Default: the "
        "largest colour picture that is no label. For single images: setting images.named in her2.toml.",
    ),
]
Plane = Annotated[
    int | None,
    typer.Option(
        "--plane",
        metavar="N",
        min=0,
        max=999_999,
        rich_help_panel=_WHAT,
        help="Plane to read of stacks (z-planes, time points, pages of equal size), from 0. Without it, stacks are "
        "refused.",
    ),
]


def _known_cells(text: str | None) -> str | None:
    """Return the cell source unchanged, or raise a usage error (exit code 2) if it is not a known one."""
    from qupath_her2.errors import SettingsError
    from qupath_her2.runs.cell_sources import split_source

    if text is not None:
        try:
            split_source(text)
        except SettingsError as error:
            raise typer.BadParameter(str(error)) from error
    return text


Cells = Annotated[
    str | None,
    typer.Option(
        "--cells",
        metavar="SOURCE",
        callback=_known_cells,
        rich_help_panel=_HOW,
        help="Where the cells come from. detect: the built-in detector (default). from-regions: cells already in the "
        "region files. unet: the U-Net of the package, by the image's pixel size that for 0.25 or for 0.5 µm/px. "
        "her2net:CKPT, unet:CKPT, segnet:CKPT, bayesian-segnet:CKPT: a segmentation network you trained. stardist, "
        "instanseg, cellpose: nuclei found by that package, or by any plug-in under the entry points "
        "qupath_her2.cell_detectors.",
    ),
]
Method = Annotated[
    MethodName,
    typer.Option(
        "--method",
        rich_help_panel=_HOW,
        help="cells: classify every cell, then apply the guideline. indicators: the three IHC indicators of Che et al.",
    ),
]
KeepControls = Annotated[
    bool,
    typer.Option(
        "--keep-controls",
        rich_help_panel=_HOW,
        help="With --method indicators: also measure detached pieces that look like control tissue.",
    ),
]
Ranges = Annotated[
    Path | None,
    typer.Option(
        "--ranges",
        metavar="FILE",
        rich_help_panel=_HOW,
        help="With --method indicators: a decision table fitted on your own cases (qupath-her2 indicators fit).",
    ),
]
AcceptRanges = Annotated[
    bool,
    typer.Option(
        "--accept-ranges",
        rich_help_panel=_HOW,
        help="With --method indicators: score also where the decision table does not apply, because it was not fitted "
        "on this scanner and stain, or an indicator lies outside it. The result says so first.",
    ),
]
TumourFrom = Annotated[
    Path | None,
    typer.Option(
        "--tumour-from",
        metavar="CKPT",
        rich_help_panel=_HOW,
        help="With --method indicators: find the tumour with a network of recipe tumour-resnet34 instead of regions.",
    ),
]
Guideline = Annotated[
    str | None,
    typer.Option(
        "--guideline",
        metavar="NAME",
        rich_help_panel=_HOW,
        help="breast-2018, breast-2013, csco-2021, gastric-resection, gastric-biopsy, or auto: chosen by site and "
        "specimen of the case. Default: what was chosen for the image before (kept by QuPath), then her2.toml, then "
        "auto.",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME|FILE",
        rich_help_panel=_HOW,
        help="Cut-points fitted to cells that people labelled (qupath-her2 review calibrate): the name of a profile of "
        "her2/profiles, a file, auto: that of the image's scanner, stain and laboratory, or none: the built-in "
        "cut-points or those of her2.toml. The name stands in every score. Default: her2.toml, then none.",
    ),
]
Site = Annotated[
    SiteName | None,
    typer.Option(
        "--site", rich_help_panel=_HOW, help="Site of the tumour. Overrides cases.csv. Default: breast."
    ),
]
Specimen = Annotated[
    SpecimenName | None,
    typer.Option(
        "--specimen",
        rich_help_panel=_HOW,
        help="Type of specimen. Overrides cases.csv. Default: resection.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="her2.toml",
        rich_help_panel=_RUN,
        help="Settings file. Default: FOLDER/her2.toml, if there is one. Flags override it.",
    ),
]
NoQuPath = Annotated[
    bool,
    typer.Option(
        "--no-qupath",
        rich_help_panel=_RUN,
        help="Score a QuPath project from its last export, without starting QuPath (no pull, no push).",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", rich_help_panel=_RUN, help="Score again even what is up to date.")
]
GeoJson = Annotated[
    bool,
    typer.Option(
        "--geojson",
        rich_help_panel=_RUN,
        help="Also write cells.geojson.gz, which can be dragged onto the image in QuPath.",
    ),
]
_MAX_WORKERS = 256


def _worker_count(text: str | int) -> int:
    """Return the number of workers that a user named; ``auto`` asks the machine."""
    # click passes the default through here too.
    text = str(text)
    if text == "auto":
        from qupath_her2.batch.machine import automatic_workers

        return automatic_workers()
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_WORKERS:
        raise typer.BadParameter(f"{text!r} is neither 'auto' nor a number from 1 to {_MAX_WORKERS}.")
    return int(text)


Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        metavar="N|auto",
        parser=_worker_count,
        rich_help_panel=_RUN,
        help="Images scored in parallel; with fewer images, tiles of each. auto: by the cores and the memory of this "
        "machine, less a core for QuPath.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        rich_help_panel=_RUN,
        help="cpu, cuda, cuda:1, mps. Default: the fastest available.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        rich_help_panel=_RUN,
        help="Patches per batch; halved automatically if memory runs out.",
    ),
]
Progress = Annotated[
    ProgressKind,
    typer.Option(
        "--progress", rich_help_panel=_RUN, help="A progress bar, JSON lines for programs, or nothing (off)."
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", rich_help_panel=_RUN, help="Show the full traceback of an error.")
]
