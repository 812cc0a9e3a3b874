"""``regions``: lists the annotations of each image and how they are used; transfers them between slides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import EXIT_SOME_FAILED, say_error, verb

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qupath_her2.config import Settings
    from qupath_her2.project.geojson.regions import RegionFile
    from qupath_her2.records import QuarantinedFeature, Region, SlideRef

__all__ = ["regions"]

#: The nuclei of so many images are compared with their pixel size, which takes a second or two for each.
_SCALES_CHECKED = 20
#: Features set aside for one reason are listed one by one up to this number.
_LISTED = 5


@verb
def regions(
    folder: o.Folder,
    images: o.Images = None,
    out: o.Out = None,
    transfer_from: Annotated[
        str | None,
        typer.Option(
            "--transfer-from",
            metavar="IMAGE",
            help="Transfer the regions of this image to the image of --transfer-to, another slide of the same case.",
        ),
    ] = None,
    transfer_to: Annotated[
        str | None,
        typer.Option("--transfer-to", metavar="IMAGE", help="The image that receives the regions."),
    ] = None,
    pixel_size_um: o.PixelSize = None,
    series: o.Series = None,
    plane: o.Plane = None,
    config: o.Config = None,
    debug: o.Debug = False,
) -> int:
    """List the regions of all images, how each is used, and which features are ignored and why.

    Changes nothing. Regions of class Tumor are scored; Stroma, Ignore*, in-situ and control regions are subtracted.
    Regions of class Tumor? are proposals (qupath-her2 propose), and count only once a person has set them to Tumor.
    Of the first 20 images, the size of nuclei is compared with the pixel size.

    With --transfer-from and --transfer-to, register two slides of a case (H&E and IHC) and write the regions of the
    first in the coordinates of the second to FOLDER/her2/registration, with the error in µm and a picture to check.
    Drag its regions.geojson onto the second image in QuPath.

    [bold]Examples[/bold]

    qupath-her2 regions study

    qupath-her2 regions study --transfer-from case07_HE.svs --transfer-to case07_HER2.svs
    """
    from qupath_her2.errors import Her2Error
    from qupath_her2.project.folder import folder_notes, project_folder
    from qupath_her2.runs.plan import exchange_folder, find_settings, select_images

    settings = find_settings(folder, config).with_images(series, plane)
    if transfer_from or transfer_to:
        return _transfer(folder, transfer_from, transfer_to, out, pixel_size_um, settings)
    n_files = n_regions = n_cores = n_set_aside = n_failed = 0
    n_to_measure = _SCALES_CHECKED
    for ref in select_images(folder, tuple(images or ()), out, choice=settings.images):
        if ref.regions_path is None:
            typer.echo(f"{ref.name}: no region file")
            n_to_measure -= _tell_scale(ref, settings, pixel_size_um, (), n_to_measure)
            continue
        try:
            found = _read(ref, settings)
        except Her2Error as error:
            say_error(str(error))
            n_failed += 1
            continue
        n_files += 1
        n_regions += len(found.regions)
        n_cores += len(found.cores) + len(found.missing_cores)
        n_set_aside += len(found.quarantined)
        _tell(ref, found)
        n_to_measure -= _tell_scale(ref, settings, pixel_size_um, found.regions, n_to_measure)
    for note in folder_notes(project_folder(folder), exchange_folder(folder, out)):
        typer.echo(note)
    typer.echo(
        f"{n_files} region files: {n_regions} regions, "
        + (f"{n_cores} TMA cores, " if n_cores else "")
        + f"{n_set_aside} features set aside"
        + (f", {n_failed} files unreadable" if n_failed else "")
    )
    return EXIT_SOME_FAILED if n_failed else 0


def _transfer(
    folder: Path,
    source: str | None,
    target: str | None,
    out: Path | None,
    pixel_size_um: float | None,
    settings: Settings,
) -> int:
    from qupath_her2.errors import SettingsError
    from qupath_her2.runs.plan import exchange_folder, select_images
    from qupath_her2.runs.region_transfer import transfer_between

    if source is None or target is None:
        raise SettingsError("A transfer of regions needs both --transfer-from IMAGE and --transfer-to IMAGE.")
    pair = []
    for pattern in (source, target):
        found = select_images(folder, (pattern,), out, choice=settings.images)
        if len(found) > 1:
            raise SettingsError(
                f"'{pattern}' matches {len(found)} images. Name one: regions are transferred from image to image."
            )
        pair.append(found[0])
    result = transfer_between(
        pair[0],
        pair[1],
        exchange_folder(folder, out),
        class_names=settings.regions,
        pixel_size_um=pixel_size_um,
    )
    typer.echo(f"{pair[0].name} → {pair[1].name}: {result.registration.sentence()}")
    for note in result.notes:
        typer.echo(f"  {note}")
    typer.echo(
        f"{len(result.regions)} regions transferred; check {result.folder / 'check.jpg'} before you use them"
    )
    return 0


def _read(ref: SlideRef, settings: Settings) -> RegionFile:
    from qupath_her2.project.region_formats import read_region_file
    from qupath_her2.slides.readers.view import open_image

    path: Path | None = ref.regions_path
    assert path is not None
    # Region files do not contain the size of their image, against which coordinates are checked.
    with open_image(ref) as slide:
        return read_region_file(path, slide, class_names=settings.regions)


def _tell_scale(
    ref: SlideRef,
    settings: Settings,
    pixel_size_um: float | None,
    regions: Sequence[Region],
    n_to_measure: int,
) -> bool:
    """Say where nuclei do not fit the pixel size; return whether they were measured, while `n_to_measure` lasts."""
    from qupath_her2.errors import Her2Error
    from qupath_her2.runs.scale_doubt import image_scale_sentence

    if n_to_measure <= 0:
        return False
    try:
        doubt = image_scale_sentence(ref, settings, pixel_size_um, regions)
    except Her2Error as error:
        doubt = str(error)
    if doubt is not None:
        typer.echo(f"  {doubt}")
    return True


def _by_reason(quarantined: Sequence[QuarantinedFeature]) -> dict[str, list[QuarantinedFeature]]:
    """Return the features of each reason, in the order in which the reasons first occur."""
    found: dict[str, list[QuarantinedFeature]] = {}
    for feature in quarantined:
        found.setdefault(feature.reason, []).append(feature)
    return found


def _core_lines(found: RegionFile) -> list[str]:
    """Return a line for each TMA core, with the area that is scored in it."""
    from qupath_her2.runs.inputs import core_regions

    is_drawn = any(region.role == "tumour" for region in found.regions)
    areas = {core.uuid: core.geometry.area for core in core_regions(found)}
    lines = []
    for core in (*found.cores, *found.missing_cores):
        if core in found.missing_cores:
            use = "marked missing"
        elif not is_drawn:
            use = "scored as a whole"
        elif core.uuid in areas:
            use = f"tumour in {areas[core.uuid]:,.0f} px²"
        else:
            use = "no tumour region in it"
        name = f"'{core.name}'" if core.name else str(core.uuid)
        lines.append(f"  TMA core {name}, {core.geometry.area:,.0f} px², {use}")
    return lines


def _tell(ref: SlideRef, found: RegionFile) -> None:
    typer.echo(f"{ref.name}:")
    for region in found.regions:
        name = f" '{region.name}'" if region.name else ""
        lock = ", locked" if region.is_locked else ""
        class_name = region.class_name or "no class"
        typer.echo(f"  {region.role:<8} {class_name}{name}, {region.geometry.area:,.0f} px²{lock}")
    for region in found.proposals:
        name = f" '{region.name}'" if region.name else ""
        area = f"{region.geometry.area:,.0f} px²"
        typer.echo(
            f"  proposed {region.class_name}{name}, {area}, not scored unless its class is set to Tumor"
        )
    for line in _core_lines(found):
        typer.echo(line)
    if found.existing_cells is not None:
        typer.echo(f"  {len(found.existing_cells):,} cells (use them with --cells from-regions)")
    for reason, features in _by_reason(found.quarantined).items():
        first = features[0]
        if len(features) <= _LISTED:
            for feature in features:
                typer.echo(f"  set aside: feature {feature.index} ({feature.id or 'no id'}) {reason}")
        else:
            # A file of hundreds of unclassified annotations would push all else off the screen.
            which = f"{len(features)} features, the first is {first.index} ({first.id or 'no id'})"
            typer.echo(f"  set aside: {which}, each {reason}")
    for note in found.notes:
        typer.echo(f"  {note}")
