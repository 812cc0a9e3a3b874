"""``patches``: labelled patches of a project, a folder or a published data set, as a manifest."""

from __future__ import annotations

from qupath_her2.cli import options as o
from qupath_her2.cli import patch_options as p
from qupath_her2.cli.verb import verb

__all__ = ["patches"]


@verb
def patches(
    folder: o.Folder,
    images: o.Images = None,
    out: o.Out = None,
    name: p.Name = None,
    recipe: p.RecipeOrNone = None,
    layout: p.Layout = p.LayoutName.project,
    stain: p.Stain = None,
    size: p.Size = None,
    um_px: p.UmPx = None,
    stride: p.Stride = None,
    random: p.Random = None,
    whole_tissue: p.WholeTissue = False,
    whole_image: p.WholeImage = False,
    drop: p.Drop = None,
    clahe: p.Clahe = False,
    crop: p.Crop = None,
    pixel_size_um: o.PixelSize = None,
    series: o.Series = None,
    plane: o.Plane = None,
    task: p.Task = None,
    rule: p.Rule = None,
    min_overlap: p.MinOverlap = None,
    label_column: p.LabelColumn = None,
    rest_label: p.Rest = None,
    skip_class: p.SkipClass = None,
    keep_unlabelled: p.KeepUnlabelled = False,
    truth: p.Truth = None,
    split: p.Split = None,
    shares: p.Shares = None,
    seed: p.Seed = None,
    export_jpeg: p.ExportJpeg = False,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Cut labelled patches for training, and list them in FOLDER/her2/patches/NAME.

    The list says where each patch lies, its class and its part of the split; pixels stay in the slides. A patch
    takes the class of the region it lies in. In a Tumor region it takes the label of the image: column 'label' of
    cases.csv, or the image metadata. The split keeps all patches of a case together. For her2net, every pixel of
    a window has a class of its own.

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
        series=series,
        plane=plane,
        export_jpeg=export_jpeg,
        config=config,
        progress=progress,
    )
