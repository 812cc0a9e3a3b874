"""``train --recipe compare-resolution``: every approach on the same cases and folds, one table, one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from qupath_her2.cli.options import ProgressKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qupath_her2.config import Settings
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.scoring.agreement.tables import Table
    from qupath_her2.training.bags.compare import Approach
    from qupath_her2.training.types import Weights

__all__ = ["compare_resolutions"]

_NAMES = ("low", "moderate", "high")
#: Folds of the paper.
_FOLDS = 10


def compare_resolutions(folder: Path, flags: dict[str, Any], progress: ProgressKind) -> int:
    """Train all approaches on the same folds, and print and write the table.

    Parameters
    ----------
    folder
        Project or folder of images.
    flags
        Flags of ``train`` by name.
    progress
        How progress is shown.

    Returns
    -------
    int
        Exit code 0.
    """
    from qupath_her2.cli.bag_training import bag_settings, slide_manifest
    from qupath_her2.cli.patch_cutting import checked_name
    from qupath_her2.cli.tables import say_figures
    from qupath_her2.patches.folds import fold_splits
    from qupath_her2.recipes.compare_resolution import COMPARE_RESOLUTION, REPORTED
    from qupath_her2.runs.plan import exchange_folder
    from qupath_her2.training.bags.compare import compare, comparison_table, write_comparison
    from qupath_her2.training.bags.embed_images import embedded_part, feature_folder

    settings = bag_settings(folder, COMPARE_RESOLUTION, flags)
    her2 = exchange_folder(folder, flags["out"])
    task = settings.patches.task
    name = checked_name(flags["name"]) if flags["name"] else f"compare-resolution-{task}"
    out = her2 / "models" / name
    source, slides = slide_manifest(folder, settings, her2 / "patches" / name, flags, progress)
    place = flags["features"] or feature_folder(her2, settings)
    missed: tuple[str, ...] = ()
    if flags["features"] is None:
        # Before the folds are made: all rows of the table are of the same slides.
        slides, missed = embedded_part(slides, source.images, settings, place)
    splits = fold_splits(slides, flags["folds"] or _FOLDS, settings.patches.seed)
    approaches, uncounted = _approaches(folder, slides, place, settings, her2, flags, progress)
    left_out = [*missed, *uncounted]
    rows = compare(approaches, splits, out, begin=_begin(progress, len(splits)), restart=flags["restart"])
    table = comparison_table(rows, task, REPORTED.get(task, {}))
    write_comparison(out, table, rows)
    _write_page(out, table, slides, left_out, _training_facts(folder, settings, flags))
    for text in left_out:
        typer.echo(text, err=True)
    say_figures(table)
    typer.echo(f"page     {out / 'report.html'}")
    return 0


def _approaches(
    folder: Path,
    slides: PatchManifest,
    place: Path,
    settings: Settings,
    her2: Path,
    flags: dict[str, Any],
    progress: ProgressKind,
) -> tuple[list[Approach], list[str]]:
    """Return the approaches of the table, and a sentence for each that cannot be had here."""
    from qupath_her2.learning.bags.bag_source import Bags
    from qupath_her2.recipes import BAG_RECIPES
    from qupath_her2.training.bags.approaches import bag_approach, image_approach
    from qupath_her2.training.bags.bag_job import BagJob, feature_paths

    paths = feature_paths(slides, place)
    bags = Bags(paths, settings.bags.memory_gb)
    approaches = []
    from qupath_her2.cli.bag_training import bag_settings

    for model in settings.compare.bag_networks:
        recipe = BAG_RECIPES.get(model, BAG_RECIPES["abmil"])
        own = bag_settings(folder, recipe, flags)
        job = BagJob(slides, paths, recipe, own, model, her2, resume=not flags["restart"])
        approaches.append(bag_approach(job, bags))
    weights = _weights(flags["weights"])
    lowres = _network_settings(folder, "lowres-convnext", flags, settings.patches.task)
    approaches += [image_approach(model, lowres, weights) for model in settings.compare.image_networks]
    counts, missing = _count_approaches(folder, settings, flags, weights, her2, progress)
    return [*approaches, *counts], missing


def _count_approaches(
    folder: Path,
    settings: Settings,
    flags: dict[str, Any],
    weights: Weights,
    her2: Path,
    progress: ProgressKind,
) -> tuple[list[Approach], list[str]]:
    from qupath_her2.cli.patch_cutting import cut_source, find_source
    from qupath_her2.errors import PatchError
    from qupath_her2.training.bags.approaches import count_approach

    task, model = settings.patches.task, settings.compare.patch_network
    if not model or not task.startswith("her2"):
        return [], [] if task.startswith("her2") else ["Patch counts: patches are graded for HER2 alone."]
    found, left_out = [], []
    for name, um_px in zip(_NAMES, settings.compare.resolutions_um_px, strict=True):
        own = _network_settings(folder, "patch-count", flags, None, um_px)
        try:
            source = find_source(
                folder,
                own,
                images=tuple(flags["images"] or ()),
                out=flags["out"],
                pixel_size_um=flags["pixel_size_um"],
            )
            patches = cut_source(source, own, her2 / "patches" / f"compare-{name}", progress)
        except PatchError as error:
            left_out.append(f"Patch counts at {um_px:g} µm/px ({name}) are left out: {error}")
            continue
        found.append(count_approach(model, patches, own, weights, name, task))
    return found, left_out


def _network_settings(
    folder: Path, recipe: str, flags: dict[str, Any], task: str | None, um_px: float | None = None
) -> Settings:
    from qupath_her2.recipes import RECIPES
    from qupath_her2.runs.plan import find_settings

    overrides = {
        "patches": {
            "task": task,
            "label_column": flags["label_column"],
            "grid": {"patch_size_px": flags["size"], "target_um_px": um_px},
        },
        "train": {"epochs": flags["epochs"], "device": flags["device"]},
        "predict": {"device": flags["device"], "batch_size": flags["batch_size"]},
    }
    return find_settings(folder, flags["config"], overrides, recipe=RECIPES[recipe])


def _weights(words: str) -> Weights:
    return "pretrained" if words == "pretrained" else "random" if words == "random" else Path(words)


def _begin(progress: ProgressKind, k: int) -> Callable[[str, int, bool], None]:
    from qupath_her2.cli.progress import say_json

    def tell(name: str, number: int, is_there: bool) -> None:
        if progress is ProgressKind.json:
            say_json(event="begin", name=f"{name}, fold {number} of {k}", finished_before=is_there)
        elif progress is not ProgressKind.off:
            typer.echo(f"{name}, fold {number} of {k}{': finished before' if is_there else ''}", err=True)

    return tell


def _training_facts(folder: Path, settings: Settings, flags: dict[str, Any]) -> dict[str, str]:
    """Return what each approach was trained with: figures of few epochs or random weights say little."""
    embed, place, compared = settings.embed, flags["features"], settings.compare
    source = (
        place.name if place else f"{embed.encoder}, {embed.patch_size_px} px at {embed.target_um_px:g} µm/px"
    )
    facts = {"features of patches": f"{source}; epochs: at most {settings.bags.epochs}"}
    parts = {
        "whole images": ("lowres-convnext", settings.patches.task),
        "patch counts": ("patch-count", None),
    }
    for name, (recipe, task) in parts.items():
        own = _network_settings(folder, recipe, flags, task)
        size, epochs = own.patches.grid.patch_size_px, own.train.epochs
        facts[name] = f"{size} px; epochs: at most {epochs}; initial weights: {flags['weights']}"
    if compared.patch_network:
        facts["patch counts"] = f"{compared.patch_network}, {facts['patch counts']}"
    else:
        del facts["patch counts"]
    return facts


def _write_page(
    out: Path, table: Table, slides: PatchManifest, left_out: Sequence[str], training: dict[str, str]
) -> None:
    from qupath_her2.patches.splits import split_warning
    from qupath_her2.provenance import versions
    from qupath_her2.recipes.compare_resolution import COMPARE_RESOLUTION
    from qupath_her2.report.training import Part, write_training_page

    facts = {
        "recipe": f"{COMPARE_RESOLUTION.name}: {COMPARE_RESOLUTION.title}",
        "paper": COMPARE_RESOLUTION.paper,
        "slides": ", ".join(f"{name}: {count:,}" for name, count in slides.label_counts().items()),
        "cases": str(len(set(slides.cases))),
        **training,
    }
    warning = split_warning(slides)
    write_training_page(
        out / "report.html",
        "Low against high resolution",
        facts,
        [Part("Comparison", (), (table,))],
        version=versions()["qupath-her2"],
        warnings=(*([warning] if warning else []), *left_out),
    )
