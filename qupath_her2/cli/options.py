"""The flags that verbs share, each defined once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "BatchSize",
    "Cells",
    "Config",
    "Debug",
    "Device",
    "Folder",
    "Force",
    "GeoJson",
    "Guideline",
    "Heap",
    "Images",
    "Layout",
    "LayoutName",
    "KeepControls",
    "Method",
    "MethodName",
    "NoQuPath",
    "Out",
    "PixelSize",
    "Progress",
    "ProgressKind",
    "Project",
    "Ranges",
    "Recipe",
    "RecipeOrNone",
    "Site",
    "SiteName",
    "Specimen",
    "SpecimenName",
    "Stain",
    "StainName",
    "TumourFrom",
    "WholeTissue",
    "Workers",
]


class ProgressKind(str, Enum):
    """How progress is told."""

    auto = "auto"
    bar = "bar"
    json = "json"
    off = "off"


class SiteName(str, Enum):
    """Where the tumour is from."""

    breast = "breast"
    gastric = "gastric"


class SpecimenName(str, Enum):
    """How the tissue was taken."""

    biopsy = "biopsy"
    resection = "resection"


class MethodName(str, Enum):
    """How an image is scored."""

    cells = "cells"
    indicators = "indicators"


class LayoutName(str, Enum):
    """How the images lie in the folder."""

    project = "project"
    bci = "bci"
    her2_ihc_40x = "her2-ihc-40x"
    warwick = "warwick"
    yale = "yale"
    herohe = "herohe"


class StainName(str, Enum):
    """Which stain of a data set that holds two."""

    HE = "HE"
    IHC = "IHC"


_WHAT = "Which images"
_HOW = "How to score"
_RUN = "How to run"

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER", help="Folder of images (case.svs with case.geojson beside it), or a QuPath project."
    ),
]
Project = Annotated[
    Path,
    typer.Argument(metavar="PROJECT", help="A project.qpproj, or the folder that holds it."),
]
Heap = Annotated[
    int | None,
    typer.Option(
        "--heap",
        metavar="MB",
        min=256,
        rich_help_panel=_RUN,
        help="Memory for QuPath; estimated from the number of objects where not given.",
    ),
]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--images",
        metavar="PATTERN",
        rich_help_panel=_WHAT,
        help="Only images whose name matches, e.g. 'case0*.svs'.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", rich_help_panel=_WHAT, help="Write here instead of FOLDER/her2."),
]
WholeTissue = Annotated[
    bool,
    typer.Option(
        "--whole-tissue",
        rich_help_panel=_WHAT,
        help="Score all tissue where no tumour region is; the result says that no one chose the tumour.",
    ),
]
PixelSize = Annotated[
    float | None,
    typer.Option(
        "--pixel-size-um",
        metavar="UM",
        rich_help_panel=_WHAT,
        help="µm per pixel of all images; wins over QuPath's value and the file's.",
    ),
]


def _known_cells(text: str | None) -> str | None:
    """Return the source of cells as it was typed; a slip in it is a slip of usage."""
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
        help="detect: find cells (so without the flag). from-regions: those that the region files already hold. "
        "unet: those that the U-Net of the package finds, at 0.25 µm/px. her2net:CKPT, unet:CKPT, segnet:CKPT, "
        "bayesian-segnet:CKPT: those that a network you trained finds.",
    ),
]
Method = Annotated[
    MethodName,
    typer.Option(
        "--method",
        rich_help_panel=_HOW,
        help="Score each cell by the guideline, or by the published IHC indicators.",
    ),
]
KeepControls = Annotated[
    bool,
    typer.Option(
        "--keep-controls",
        rich_help_panel=_HOW,
        help="With indicators: measure detached pieces that look like control tissue too.",
    ),
]
Ranges = Annotated[
    Path | None,
    typer.Option(
        "--ranges",
        metavar="FILE",
        rich_help_panel=_HOW,
        help="With indicators: a decision table refit by you.",
    ),
]
TumourFrom = Annotated[
    Path | None,
    typer.Option(
        "--tumour-from",
        metavar="CKPT",
        rich_help_panel=_HOW,
        help="With indicators: let a network of recipe tumour-resnet34 find the tumour, instead of regions.",
    ),
]
Guideline = Annotated[
    str | None,
    typer.Option(
        "--guideline",
        metavar="NAME",
        rich_help_panel=_HOW,
        help="breast-2018, breast-2013, csco-2021, gastric-resection, gastric-biopsy; auto follows the case.",
    ),
]
Site = Annotated[
    SiteName | None,
    typer.Option("--site", rich_help_panel=_HOW, help="Wins over cases.csv; breast where neither says."),
]
Specimen = Annotated[
    SpecimenName | None,
    typer.Option(
        "--specimen",
        rich_help_panel=_HOW,
        help="Wins over cases.csv; resection where neither says.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="her2.toml",
        rich_help_panel=_RUN,
        help="Settings file; without it FOLDER/her2.toml where there is one. Flags win over it.",
    ),
]
_RECIPES = "convoher2, se-resnet50, her2net, tumour-resnet34, lowres-convnext, patch-count."
Recipe = Annotated[str, typer.Option("--recipe", metavar="NAME", help=_RECIPES)]
RecipeOrNone = Annotated[
    str | None, typer.Option("--recipe", metavar="NAME", help=f"As a published system cuts them: {_RECIPES}")
]
Layout = Annotated[
    LayoutName,
    typer.Option("--layout", rich_help_panel=_WHAT, help="A published data set as it was unpacked."),
]
Stain = Annotated[
    StainName | None,
    typer.Option("--stain", rich_help_panel=_WHAT, help="Of bci and warwick; IHC if not given."),
]
NoQuPath = Annotated[
    bool,
    typer.Option(
        "--no-qupath",
        rich_help_panel=_RUN,
        help="Of a QuPath project: use what was exported; neither pull nor push.",
    ),
]
Force = Annotated[bool, typer.Option("--force", rich_help_panel=_RUN, help="Redo what is up to date.")]
GeoJson = Annotated[
    bool,
    typer.Option(
        "--geojson", rich_help_panel=_RUN, help="Also write cells.geojson.gz, for dropping onto QuPath."
    ),
]
Workers = Annotated[
    int,
    typer.Option("--workers", min=1, max=256, rich_help_panel=_RUN, help="Images in work at the same time."),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        rich_help_panel=_RUN,
        help="cpu, cuda, cuda:1, mps; without it the fastest there is.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size", min=1, rich_help_panel=_RUN, help="Patches at once; halved where memory is short."
    ),
]
Progress = Annotated[
    ProgressKind,
    typer.Option("--progress", rich_help_panel=_RUN, help="A bar, JSON lines for programs, or nothing."),
]
Debug = Annotated[bool, typer.Option("--debug", rich_help_panel=_RUN, help="Show the traceback of an error.")]
