"""Patch cutting for ``patches`` and ``train``: flags become settings, then a manifest and a closing line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import typer

from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.progress import progress_bar, say_json, wants_bar
from qupath_her2.cli.verb import EXIT_SOME_FAILED
from qupath_her2.config import Settings
from qupath_her2.errors import SettingsError
from qupath_her2.patches.cutting.cut_patches import CutContext, cut_patches
from qupath_her2.patches.cutting.cut_windows import cut_windows
from qupath_her2.patches.cutting.drop import DROP_RULES
from qupath_her2.patches.datasets.loaders import load_layout
from qupath_her2.patches.datasets.sources import Source, project_source
from qupath_her2.patches.export import export_jpegs
from qupath_her2.patches.manifest import SPLITS, PatchManifest, write_manifest
from qupath_her2.patches.splits import split_warning
from qupath_her2.patches.targets.stored_targets import read_targets, write_targets
from qupath_her2.patches.tasks import SEGMENTATION, find_task
from qupath_her2.recipes import find_recipe
from qupath_her2.runs.plan import exchange_folder, find_settings, select_images
from qupath_her2.slides.readers.base import checked_pixel_size

__all__ = ["checked_name", "cut_and_write", "cut_source", "find_source", "patch_overrides"]

# Names that every file system takes: no separators, no leading dot, nothing that Windows forbids.
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,60}")
Tell = Callable[[int, int, str], None]


def checked_name(name: str) -> str:
    """Return `name` if it can name a folder; raises SettingsError for a path, which would lead elsewhere."""
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"--name {name!r} cannot be a folder name: use letters, digits, . _ + and - only."
        )
    return name


def patch_overrides(*, drop: Any, shares: str | None, **flags: Any) -> dict[str, Any]:
    """Return the flags as the table ``[patches]`` of ``her2.toml``; flags that are None change nothing.

    Parameters
    ----------
    drop
        Name of a set of drop rules (an enumeration of `DROP_RULES`), or None.
    shares
        Shares of training, validation and test as text, ``0.6,0.2,0.2``, or None.
    **flags
        Other settings of `PatchSettings` by name, nested tables as dictionaries.

    Returns
    -------
    dict
        ``{"patches": {...}}``, for `config.load_settings`.

    Raises
    ------
    SettingsError
        If `shares` are not numbers.
    """
    table = _plain(flags)
    if drop is not None:
        table["drop"] = asdict(DROP_RULES[drop.value])
    if shares is not None:
        try:
            table["shares"] = [float(part) for part in shares.split(",")]
        except ValueError as error:
            raise SettingsError(
                f"--shares {shares!r} is not a list of numbers. Write e.g. 0.6,0.2,0.2."
            ) from error
    return {"patches": table}


def _plain(flags: dict[str, Any]) -> dict[str, Any]:
    nested = {name: _plain(value) if isinstance(value, dict) else value for name, value in flags.items()}
    return {name: getattr(value, "value", value) for name, value in nested.items() if value is not None}


def cut_and_write(
    folder: Path,
    overrides: dict[str, Any],
    *,
    layout: str,
    stain: str | None,
    images: tuple[str, ...],
    out: Path | None,
    name: str | None,
    recipe: str | None,
    pixel_size_um: float | None,
    series: int | None,
    plane: int | None,
    export_jpeg: bool,
    config: Path | None,
    progress: ProgressKind,
) -> int:
    """Cut the patches of a folder, write their manifest, and print what was cut.

    Parameters
    ----------
    folder
        Project, folder of images, or published data set.
    overrides
        Settings of the flags, from `patch_overrides`.
    layout
        ``project`` or the name of a published data set.
    stain
        ``HE`` or ``IHC`` of a data set that holds both.
    images
        Names or patterns; empty takes all.
    out
        Exchange folder; None takes ``her2`` in the folder.
    name
        Folder of the patches below ``patches``; None takes the recipe or the task.
    recipe
        Name of the recipe whose settings are the defaults.
    pixel_size_um
        Pixel size of all images, µm.
    series, plane
        Picture and plane of files with several; None leaves them to the settings.
    export_jpeg
        Also write each patch as a JPEG file.
    config
        Settings file.
    progress
        How progress is shown.

    Returns
    -------
    int
        Exit code: 0, or 3 if an image could not be read.
    """
    settings = find_settings(
        folder, config, overrides, recipe=None if recipe is None else find_recipe(recipe)
    ).with_images(series, plane)
    name = checked_name(name or recipe or settings.patches.task)
    source = find_source(
        folder, settings, layout=layout, stain=stain, images=images, out=out, pixel_size_um=pixel_size_um
    )
    target = exchange_folder(folder, out) / "patches" / name
    her2 = exchange_folder(folder, out) if layout == "project" else None
    manifest = cut_source(source, settings, target, progress, her2=her2)
    # Unreadable images do not stop the others, as in scoring; the exit code tells.
    n_unread = manifest.dropped.get("image: cannot be read", 0)
    if export_jpeg:
        with _progress(progress, "JPEG") as tell:
            _, problems = export_jpegs(manifest, target / "jpeg", progress=lambda done, n: tell(done, n, ""))
        n_unread += len(problems)
    _close(manifest, target, source, is_json=progress is ProgressKind.json)
    return EXIT_SOME_FAILED if n_unread else 0


def cut_source(
    source: Source, settings: Settings, target: Path, progress: ProgressKind, *, her2: Path | None = None
) -> PatchManifest:
    """Cut the patches of a source, report progress and what was dropped, and write the manifest.

    For task ``segmentation`` the targets (the class of every pixel) are written too.

    Parameters
    ----------
    source
        Images and their labels, from `find_source`.
    settings
        Settings of all steps.
    target
        Folder of the manifest; replaced if it exists.
    progress
        How progress is shown.
    her2
        Exchange folder with results and pulled cells, for segmentation targets; None for data sets.

    Returns
    -------
    PatchManifest
        As written to `target`.
    """
    is_quiet = progress in (ProgressKind.json, ProgressKind.off)
    listen = None if is_quiet else lambda text: typer.echo(text, err=True)
    with _progress(progress, "patches") as tell:
        context = CutContext(settings.regions, settings.tissue, listen=listen, progress=tell)
        if settings.patches.task == SEGMENTATION.name:
            manifest, targets = cut_windows(source, settings.patches, context, her2=her2)
            # Before the manifest, which marks the folder as complete.
            write_targets(target, targets)
        else:
            manifest = cut_patches(source, settings.patches, context)
    write_manifest(target, manifest)
    return manifest


def find_source(
    folder: Path,
    settings: Settings,
    *,
    layout: str = "project",
    stain: str | None = None,
    images: tuple[str, ...] = (),
    out: Path | None = None,
    pixel_size_um: float | None = None,
) -> Source:
    """Find the images that patches are cut from.

    Parameters
    ----------
    folder
        Project, folder of images, or published data set.
    settings
        Settings of all steps.
    layout
        ``project`` or the name of a published data set.
    stain
        ``HE`` or ``IHC`` of a data set that holds both.
    images
        Names or patterns; empty takes all.
    out
        Exchange folder; None takes ``her2`` in the folder.
    pixel_size_um
        Pixel size of all images, µm.

    Returns
    -------
    Source
        Images with their labels and cases.

    Raises
    ------
    Her2Error
        If there are no images, or flags exclude each other.
    """
    chosen = settings.patches
    if layout == "project":
        if stain is not None:
            raise SettingsError(
                "--stain needs --layout bci or warwick. In a project, select images with --images."
            )
        return project_source(
            folder,
            task=find_task(chosen.task),
            refs=select_images(folder, images, out, choice=settings.images),
            her2=exchange_folder(folder, out),
            label_column=chosen.label_column,
            pixel_size_um=pixel_size_um,
        )
    if images:
        raise SettingsError(
            f"--images selects from projects and folders, not with --layout {layout}. Leave it out."
        )
    if settings.images.series is not None or settings.images.plane is not None:
        raise SettingsError(
            f"--series and --plane choose in projects and folders, not with --layout {layout}. Leave them out."
        )
    source = load_layout(layout, folder, cast('Literal["HE", "IHC"] | None', stain))
    if checked_pixel_size(pixel_size_um) is None:
        return source
    # Published images are PNG or JPEG files without a pixel size, or crops that lost theirs.
    sized = tuple(replace(image, pixel_size_um=pixel_size_um) for image in source.images)
    return replace(source, images=sized)


@contextmanager
def _progress(kind: ProgressKind, what: str) -> Iterator[Tell]:
    """Yield a function that shows progress: as a bar on a terminal, as JSON lines, or not at all."""
    if kind is ProgressKind.json:
        yield lambda done, total, name: say_json(event=what, done=done, total=total, name=name)
        return
    if not wants_bar(kind):
        yield lambda done, total, name: None
        return
    with progress_bar("count", after="name") as bar:
        task = bar.add_task(f"{what:<7}", total=None, count="", name="")
        yield lambda done, total, name: bar.update(
            task, completed=done, total=total, count=f"{done}/{total}", name=name
        )


def _close(manifest: PatchManifest, target: Path, source: Source, *, is_json: bool) -> None:
    # In segmentation a window has no label of its own: its pixels are counted instead.
    is_dense = manifest.task == SEGMENTATION.name
    counts = _pixel_counts(manifest, target) if is_dense else manifest.label_counts()
    unlabelled = int((manifest.label < 0).sum())
    splits = {name: int((manifest.split == code).sum()) for code, name in enumerate(SPLITS)}
    # Images of unknown case do not count as cases: they may come from one patient.
    cases = len({image.case for image in manifest.images} - {None})
    warnings = [text for text in (*source.notes, split_warning(manifest)) if text]
    if is_json:
        say_json(
            event="done",
            folder=str(target),
            patches=len(manifest),
            images=len(manifest.images),
            cases=cases,
            **{"pixels" if is_dense else "labels": counts},
            splits=splits,
            dropped=manifest.dropped,
            warnings=warnings,
        )
        return
    for warning in warnings:
        typer.echo(warning, err=True)
    classes = ", ".join(f"{name}: {count:,}" for name, count in counts.items())
    parts = ", ".join(f"{name} {count:,}" for name, count in splits.items())
    is_split = bool(np.any(manifest.split >= 0))
    how = manifest.settings["split"]["kind"]
    rule = manifest.settings["split"].get("validation")
    dropped = ", ".join(f"{cause} {count:,}" for cause, count in manifest.dropped.items())
    typer.echo(
        f"{len(manifest):,} patches of {len(manifest.images):,} images and {cases:,} known cases in {target}"
    )
    typer.echo(
        f"  {'pixels of ' if is_dense else ''}{classes}"
        + (f", no label: {unlabelled:,}" if unlabelled else "")
    )
    typer.echo(f"  {parts} ({how})" if is_split else "  not split")
    if rule:
        typer.echo(f"  validation: {rule}")
    if dropped:
        typer.echo(f"  left out: {dropped}")


def _pixel_counts(manifest: PatchManifest, target: Path) -> dict[str, int]:
    counts = read_targets(target, manifest).counts.sum(0)
    return dict(zip(manifest.class_names, counts.tolist(), strict=True))
