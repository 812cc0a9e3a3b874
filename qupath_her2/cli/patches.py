"""``patches``: labelled patches of a project, a folder or a published data set, as a manifest."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

__all__ = ["patches"]


class RuleName(str, Enum):
    """When a patch belongs to a region."""

    overlap = "overlap"
    majority = "majority"
    contained = "contained"


class TruthName(str, Enum):
    """Who says what the pixels of a window are."""

    auto = "auto"
    masks = "masks"
    annotations = "annotations"
    cells = "cells"
    results = "results"


class DropName(str, Enum):
    """Which patches are left out by their pixels."""

    none = "none"
    bright = "bright"
    white_black = "white-black"


class SplitName(str, Enum):
    """How patches are put into train, validation and test."""

    auto = "auto"
    by_case = "by-case"
    by_patch = "by-patch"
    as_published = "as-published"
    none = "none"


_WHERE = "Which patches"
_LABEL = "Labels"
_SPLIT = "Train, validation, test"
_RUN = "How to run"


@verb
def patches(
    folder: o.Folder,
    images: o.Images = None,
    out: o.Out = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help="Folder of the result in her2/patches; the task's name if not given.",
        ),
    ] = None,
    recipe: o.RecipeOrNone = None,
    layout: o.Layout = o.LayoutName.project,
    stain: o.Stain = None,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="PX", min=8, rich_help_panel=_WHERE, help="Side of a patch; 512."),
    ] = None,
    um_px: Annotated[
        float | None,
        typer.Option(
            "--um-px",
            metavar="UM",
            rich_help_panel=_WHERE,
            help="Its scale in µm per pixel; 0.25. 0: images as they lie.",
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            "--stride", metavar="PX", min=0, rich_help_panel=_WHERE, help="From patch to patch; their size."
        ),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option(
            "--random",
            metavar="N",
            min=0,
            rich_help_panel=_WHERE,
            help="N random places an image and class, no lattice.",
        ),
    ] = None,
    whole_tissue: Annotated[
        bool,
        typer.Option(
            "--whole-tissue",
            rich_help_panel=_WHERE,
            help="All tissue, labelled as the image, where no region is.",
        ),
    ] = False,
    whole_image: Annotated[
        bool,
        typer.Option(
            "--whole-image", rich_help_panel=_WHERE, help="One patch an image: the image made small."
        ),
    ] = False,
    drop: Annotated[
        DropName | None,
        typer.Option(
            "--drop",
            rich_help_panel=_WHERE,
            help="white-black: over 70 % white or 20 % black; bright: 60 % with grey 180 to 255 (H&E).",
        ),
    ] = None,
    clahe: Annotated[
        bool, typer.Option("--clahe", rich_help_panel=_WHERE, help="Equalise the contrast of each patch.")
    ] = False,
    crop: Annotated[
        int | None,
        typer.Option(
            "--crop",
            metavar="PX",
            min=0,
            rich_help_panel=_WHERE,
            help="Of --recipe her2net: side of the crops that windows are cut from; 2048. 0: whole images.",
        ),
    ] = None,
    pixel_size_um: o.PixelSize = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="TASK",
            rich_help_panel=_LABEL,
            help="her2-4, her2-3, her2-binary, her2-response, er, pr, tumour; segmentation.",
        ),
    ] = None,
    rule: Annotated[
        RuleName | None,
        typer.Option(
            "--rule", rich_help_panel=_LABEL, help="How much of a patch its region must hold; majority."
        ),
    ] = None,
    min_overlap: Annotated[
        float | None,
        typer.Option("--min-overlap", metavar="SHARE", rich_help_panel=_LABEL, help="Of rule overlap; 0.05."),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option(
            "--label-column", metavar="NAME", rich_help_panel=_LABEL, help="Of cases.csv or the metadata."
        ),
    ] = None,
    rest_label: Annotated[
        str | None,
        typer.Option(
            "--rest", metavar="CLASS", rich_help_panel=_LABEL, help="Class of tissue outside all regions."
        ),
    ] = None,
    skip_class: Annotated[
        list[str] | None,
        typer.Option(
            "--skip-class", metavar="NAME", rich_help_panel=_LABEL, help="Annotation class that is no label."
        ),
    ] = None,
    keep_unlabelled: Annotated[
        bool,
        typer.Option(
            "--keep-unlabelled", rich_help_panel=_LABEL, help="Keep patches of unknown class, to predict."
        ),
    ] = False,
    truth: Annotated[
        TruthName | None,
        typer.Option(
            "--truth",
            rich_help_panel=_LABEL,
            help="Of --recipe her2net: whose pixels. auto: a mask, else cells with annotations laid over them.",
        ),
    ] = None,
    split: Annotated[
        SplitName | None,
        typer.Option("--split", rich_help_panel=_SPLIT, help="By case wherever that can be."),
    ] = None,
    shares: Annotated[
        str | None, typer.Option("--shares", metavar="A,B,C", rich_help_panel=_SPLIT, help="0.6,0.2,0.2.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", rich_help_panel=_SPLIT, help="Of the split and random places."),
    ] = None,
    export_jpeg: Annotated[
        bool,
        typer.Option("--export-jpeg", rich_help_panel=_RUN, help="Also write each patch as a JPEG file."),
    ] = False,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Cut labelled patches for training: a table of where they lie, in FOLDER/her2/patches/NAME.

    A patch has its region's class; in a Tumor region, that of the image (column label of cases.csv, or metadata).
    No case is torn apart by the split. Pixels stay in the slides. For her2net every pixel of a window has a class.

    [bold]Examples[/bold]

    qupath-her2 patches study --recipe se-resnet50

    qupath-her2 patches study --task her2-3 --size 512 --um-px 0.25

    qupath-her2 patches cores --whole-tissue --pixel-size-um 0.25 --drop white-black

    qupath-her2 patches study --recipe her2net

    qupath-her2 patches BCI --layout bci --size 256 --stain HE
    """
    from qupath_her2.cli.patch_cutting import cut_and_write, patch_overrides

    overrides = patch_overrides(
        grid={"patch_size_px": size, "target_um_px": um_px, "stride_px": stride},
        rule={"rule": rule, "min_overlap": min_overlap},
        segmentation={"truth": truth, "crop_px": crop},
        drop=drop,
        shares=shares,
        task=task,
        random_per_image=random,
        whole_tissue=whole_tissue or None,
        whole_image=whole_image or None,
        equalise=clahe or None,
        label_column=label_column,
        rest_label=rest_label,
        skip_classes=skip_class,
        keep_unlabelled=keep_unlabelled or None,
        split=split,
        seed=seed,
    )
    return cut_and_write(
        folder,
        overrides,
        layout=layout.value,
        stain=None if stain is None else stain.value,
        images=tuple(images or ()),
        out=out,
        name=name,
        recipe=recipe,
        pixel_size_um=pixel_size_um,
        export_jpeg=export_jpeg,
        config=config,
        progress=progress,
    )
