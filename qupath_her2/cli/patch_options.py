"""Options that cut, label and split patches: all of ``patches``, and those that ``train`` shares with it."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

__all__ = [
    "Clahe",
    "Crop",
    "Drop",
    "DropName",
    "ExportJpeg",
    "KeepUnlabelled",
    "LabelColumn",
    "Layout",
    "LayoutName",
    "MinOverlap",
    "Name",
    "Random",
    "Recipe",
    "RecipeOrNone",
    "Rest",
    "Rule",
    "RuleName",
    "Seed",
    "Shares",
    "Size",
    "SkipClass",
    "Split",
    "SplitName",
    "Stain",
    "StainName",
    "Stride",
    "Task",
    "Truth",
    "TruthName",
    "UmPx",
    "WholeImage",
    "WholeTissue",
]


class LayoutName(str, Enum):
    """Folder layout of the images: a project or plain folder, or a published data set."""

    project = "project"
    bci = "bci"
    her2_ihc_40x = "her2-ihc-40x"
    warwick = "warwick"
    yale = "yale"
    herohe = "herohe"


class StainName(str, Enum):
    """Stain to use of a data set that holds two."""

    HE = "HE"
    IHC = "IHC"


class RuleName(str, Enum):
    """Rule by which a patch takes the class of a region."""

    overlap = "overlap"
    majority = "majority"
    contained = "contained"


class TruthName(str, Enum):
    """Source of the class of each pixel, for segmentation."""

    auto = "auto"
    masks = "masks"
    annotations = "annotations"
    cells = "cells"
    results = "results"


class DropName(str, Enum):
    """Rules that discard patches by their pixels."""

    none = "none"
    bright = "bright"
    white_black = "white-black"


class SplitName(str, Enum):
    """How patches are divided into training, validation and test."""

    auto = "auto"
    by_case = "by-case"
    by_patch = "by-patch"
    as_published = "as-published"
    none = "none"


# Headings of the groups of options in --help.
_WHICH = "Which patches"
_LABEL = "Labels"
_SPLIT = "Training, validation, test"

_RECIPES = "convoher2, se-resnet50, her2net, tumour-resnet34, lowres-convnext, patch-count."
Recipe = Annotated[
    str,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help=f"Published system to train: {_RECIPES} On features of slides: clam-sb, clam-mb, dtfd-afs, abmil. All on "
        "the same folds: compare-resolution. tumour-finder: the finder of run --find-tumour and propose, with "
        "--from-review.",
    ),
]
RecipeOrNone = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME", help=f"Cut patches as a published system does: {_RECIPES}"),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name", metavar="NAME", help="Folder of the patches in her2/patches. Default: the recipe or task."
    ),
]
Layout = Annotated[
    LayoutName,
    typer.Option(
        "--layout", rich_help_panel=_WHICH, help="Read FOLDER as a published data set, as it was unpacked."
    ),
]
Stain = Annotated[
    StainName | None,
    typer.Option("--stain", rich_help_panel=_WHICH, help="With --layout bci or warwick. Default: IHC."),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        metavar="PX",
        min=8,
        rich_help_panel=_WHICH,
        help="Side of a patch in pixels. Default: the recipe's, else 512.",
    ),
]
UmPx = Annotated[
    float | None,
    typer.Option(
        "--um-px",
        metavar="UM",
        rich_help_panel=_WHICH,
        help="Scale of the patches in µm per pixel; 0 keeps each image's own pixels. Default: the recipe's, else 0.25.",
    ),
]
Stride = Annotated[
    int | None,
    typer.Option(
        "--stride",
        metavar="PX",
        min=0,
        rich_help_panel=_WHICH,
        help="Distance between neighbouring patches in pixels. Default: the patch size (no overlap).",
    ),
]
Random = Annotated[
    int | None,
    typer.Option(
        "--random",
        metavar="N",
        min=0,
        rich_help_panel=_WHICH,
        help="Cut N patches per image and class at random positions instead of on a grid.",
    ),
]
WholeTissue = Annotated[
    bool,
    typer.Option(
        "--whole-tissue",
        rich_help_panel=_WHICH,
        help="In images without regions, cut all tissue and give it the label of the image.",
    ),
]
WholeImage = Annotated[
    bool,
    typer.Option(
        "--whole-image", rich_help_panel=_WHICH, help="One patch per image: the whole image, scaled down."
    ),
]
Drop = Annotated[
    DropName | None,
    typer.Option(
        "--drop",
        rich_help_panel=_WHICH,
        help="Discard patches by their pixels. white-black: over 70 % white or over 20 % black; "
        "bright: 60 % or more with grey values 180 to 255 (for H&E).",
    ),
]
Clahe = Annotated[
    bool,
    typer.Option("--clahe", rich_help_panel=_WHICH, help="Equalise the contrast of each patch (CLAHE)."),
]
Crop = Annotated[
    int | None,
    typer.Option(
        "--crop",
        metavar="PX",
        min=0,
        rich_help_panel=_WHICH,
        help="With --recipe her2net: side of the crops that windows are cut from; 0 takes whole images. "
        "Default: 2048.",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="TASK",
        rich_help_panel=_LABEL,
        help="Classes to tell apart: her2-4, her2-3, her2-binary, her2-response, er, pr, tumour, segmentation. "
        "Default: the recipe's, else her2-4.",
    ),
]
Rule = Annotated[
    RuleName | None,
    typer.Option(
        "--rule",
        rich_help_panel=_LABEL,
        help="How much of a patch must lie in a region to take its class: a minimum share (--min-overlap), "
        "more than half, or all. Default: majority.",
    ),
]
MinOverlap = Annotated[
    float | None,
    typer.Option(
        "--min-overlap",
        metavar="SHARE",
        rich_help_panel=_LABEL,
        help="With --rule overlap: minimum share of the patch, 0 to 1. Default: 0.05.",
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label-column",
        metavar="NAME",
        rich_help_panel=_LABEL,
        help="Column of cases.csv, or key of the image metadata, that holds the label of an image.",
    ),
]
Rest = Annotated[
    str | None,
    typer.Option(
        "--rest", metavar="CLASS", rich_help_panel=_LABEL, help="Class of the tissue outside all regions."
    ),
]
SkipClass = Annotated[
    list[str] | None,
    typer.Option(
        "--skip-class",
        metavar="NAME",
        rich_help_panel=_LABEL,
        help="Annotation class to ignore because it is no label. Can be given more than once.",
    ),
]
KeepUnlabelled = Annotated[
    bool,
    typer.Option(
        "--keep-unlabelled",
        rich_help_panel=_LABEL,
        help="Keep patches of unknown class, to predict them later.",
    ),
]
Truth = Annotated[
    TruthName | None,
    typer.Option(
        "--truth",
        rich_help_panel=_LABEL,
        help="With --recipe her2net: what gives each pixel its class. auto: the image's mask if there is one, "
        "else its cells, with annotations drawn over them.",
    ),
]
Split = Annotated[
    SplitName | None,
    typer.Option(
        "--split",
        rich_help_panel=_SPLIT,
        help="auto: as the data set was published, where that keeps known cases apart, else by case. by-patch puts "
        "patches of one case on both sides and leaks.",
    ),
]
Shares = Annotated[
    str | None,
    typer.Option(
        "--shares",
        metavar="A,B,C",
        rich_help_panel=_SPLIT,
        help="Shares of training, validation and test. Default: the recipe's, else 0.6,0.2,0.2.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", rich_help_panel=_SPLIT, help="Seed of the split and of random positions."
    ),
]
ExportJpeg = Annotated[
    bool,
    typer.Option("--export-jpeg", help="Also write each patch as a JPEG file."),
]
