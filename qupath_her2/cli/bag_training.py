"""``train`` for recipes on features of slides: embed what is missing, train one split or folds, print the figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.patch_options import LayoutName

if TYPE_CHECKING:
    from collections.abc import Callable

    from qupath_her2.config import Settings
    from qupath_her2.learning.bags.train_bags import BagEpoch
    from qupath_her2.patches.datasets.sources import Source
    from qupath_her2.recipes.recipe import BagRecipe
    from qupath_her2.training.bags.bag_figures import BagFigures
    from qupath_her2.training.bags.bag_job import BagJob

__all__ = ["bag_settings", "is_bag_recipe", "slide_manifest", "train_bag_recipe"]

#: Flags of ``train`` that say nothing to a network on bags, with the values that mean "not given".
_OTHERS: dict[str, Any] = {
    "patches": None, "whole_tissue": False, "drop": None, "skip_class": None, "weights": "pretrained", "width": None,
    "normalise": None, "rivals": False, "study": None, "from_review": False,
}  # fmt: skip


def is_bag_recipe(name: str, features: Path | None) -> bool:
    """Return whether a recipe learns from features; SettingsError for ``--features`` with one that does not."""
    from qupath_her2.errors import SettingsError
    from qupath_her2.recipes import BAG_RECIPES

    if name in BAG_RECIPES:
        return True
    if features is not None:
        raise SettingsError(f"--features needs one of the recipes {', '.join(BAG_RECIPES)}. Leave it out.")
    return False


def train_bag_recipe(*, folder: Path, recipe: str, progress: ProgressKind, **flags: Any) -> int:
    """Train a recipe on features of slides.

    Parameters
    ----------
    folder
        Project or folder of images.
    recipe
        Key of `recipes.BAG_RECIPES`.
    progress
        How progress is shown.
    **flags
        The other flags of ``train`` by name.

    Returns
    -------
    int
        Exit code 0.
    """
    from qupath_her2.cli.comparison import compare_resolutions
    from qupath_her2.cli.patch_cutting import checked_name
    from qupath_her2.recipes import BAG_RECIPES
    from qupath_her2.runs.plan import exchange_folder
    from qupath_her2.training.bags.bag_figures import cross_validate_bags, train_one_split

    _refuse(recipe, flags)
    if recipe == "compare-resolution":
        return compare_resolutions(folder, flags, progress)
    chosen = BAG_RECIPES[recipe]
    settings = bag_settings(folder, chosen, flags)
    her2 = exchange_folder(folder, flags["out"])
    parts = [recipe, flags["model"], flags["task"], "control" if flags["shuffle_labels"] else None]
    name = checked_name(flags["name"]) if flags["name"] else "-".join(part for part in parts if part)
    job = _job(folder, chosen, settings, her2, her2 / "models" / name, flags, progress)
    show = _epochs(progress)
    figures: BagFigures | None
    if flags["folds"] is None:
        figures = train_one_split(job, progress=show)
    else:
        k = flags["folds"]
        begin = _begin(progress, k)
        figures = cross_validate_bags(job, k, on_fold=begin, progress=show)
    _say(job, figures, progress)
    return 0


def _refuse(recipe: str, flags: dict[str, Any]) -> None:
    from qupath_her2.errors import SettingsError

    others = _OTHERS
    if recipe == "compare-resolution":
        # Its networks on images start from weights; it has networks and control of its own.
        others = {name: usual for name, usual in _OTHERS.items() if name != "weights"}
        others |= {"model": None, "shuffle_labels": False}
    given = [f"--{name.replace('_', '-')}" for name, usual in others.items() if flags[name] != usual]
    if flags["layout"] is not LayoutName.project:
        given.append("--layout")
    if given:
        raise SettingsError(
            f"Recipe '{recipe}' learns from features of whole slides: {', '.join(given)} would change nothing. Leave "
            "it out."
        )


def bag_settings(folder: Path, recipe: BagRecipe, flags: dict[str, Any]) -> Settings:
    """Return the settings of a recipe on features.

    Parameters
    ----------
    folder
        Project or folder of images.
    recipe
        The recipe.
    flags
        Flags of ``train`` by name.

    Returns
    -------
    Settings
        Of all rooms.
    """
    from qupath_her2.cli.patch_cutting import patch_overrides
    from qupath_her2.runs.plan import find_settings

    overrides: dict[str, Any] = {
        "bags": {"epochs": flags["epochs"], "learning_rate": flags["learning_rate"]},
        "embed": {"patch_size_px": flags["size"], "target_um_px": flags["um_px"]},
        "predict": {"device": flags["device"], "batch_size": flags["batch_size"]},
        **patch_overrides(
            drop=None,
            shares=flags["shares"],
            task=flags["task"],
            label_column=flags["label_column"],
            split=flags["split"],
        ),
    }
    return find_settings(folder, flags["config"], overrides, recipe=recipe)


def _job(
    folder: Path,
    recipe: BagRecipe,
    settings: Settings,
    her2: Path,
    out: Path,
    flags: dict[str, Any],
    progress: ProgressKind,
) -> BagJob:
    from qupath_her2.errors import SettingsError
    from qupath_her2.models.bag_specs import BAG_MODELS
    from qupath_her2.training.bags.bag_job import BagJob, feature_paths
    from qupath_her2.training.bags.embed_images import embedded_part, feature_folder

    model = flags["model"] or recipe.model
    if model not in BAG_MODELS:
        raise SettingsError(f"--model {model!r} is no network on bags. There are {', '.join(BAG_MODELS)}.")
    source, manifest = slide_manifest(folder, settings, her2 / "patches" / out.name, flags, progress)
    place = flags["features"] or feature_folder(her2, settings)
    if flags["features"] is None:
        manifest, left_out = embedded_part(manifest, source.images, settings, place)
        for text in left_out:
            typer.echo(text, err=True)
    return BagJob(
        manifest,
        feature_paths(manifest, place),
        recipe,
        settings,
        model,
        out,
        is_control=flags["shuffle_labels"],
        resume=not flags["restart"],
    )


def slide_manifest(
    folder: Path, settings: Settings, target: Path, flags: dict[str, Any], progress: ProgressKind
) -> tuple[Source, Any]:
    """Return the images of a project, and a manifest with a row for each labelled slide, split by case.

    Parameters
    ----------
    folder
        Project or folder of images.
    settings
        Task, label column and split.
    target
        Folder of the manifest.
    flags
        ``images``, ``out`` and ``pixel_size_um``.
    progress
        How progress is shown.

    Returns
    -------
    tuple[Source, PatchManifest]
        The manifest is also written to `target`.
    """
    from qupath_her2.cli.patch_cutting import cut_source, find_source

    source = find_source(
        folder,
        settings,
        images=tuple(flags["images"] or ()),
        out=flags["out"],
        pixel_size_um=flags["pixel_size_um"],
    )
    return source, cut_source(source, settings, target, progress)


def _begin(progress: ProgressKind, k: int) -> Callable[[int], None]:
    from qupath_her2.cli.progress import say_json

    def tell(number: int) -> None:
        if progress is ProgressKind.json:
            say_json(event="begin", name=f"fold {number} of {k}")
        elif progress is not ProgressKind.off:
            typer.echo(f"fold {number} of {k}", err=True)

    return tell


def _epochs(progress: ProgressKind) -> Callable[[BagEpoch, int], None] | None:
    from qupath_her2.cli.progress import say_json

    if progress is ProgressKind.json:
        return lambda one, total: say_json(
            event="epoch", epoch=one.epoch, epochs=total, train_loss=one.train_loss, loss=one.loss
        )
    return None


def _say(job: BagJob, figures: BagFigures | None, progress: ProgressKind) -> None:
    """Print the figures of the test slides, every warning once, and the paths."""
    from qupath_her2.cli.progress import say_json
    from qupath_her2.cli.tables import say_figures
    from qupath_her2.scoring.agreement.tables import agreement_tables, fold_table
    from qupath_her2.training.bags.bag_figures import interval_table

    if progress is ProgressKind.json:
        values = {} if figures is None else {name: one.value for name, one in figures.intervals.items()}
        say_json(event="trained", folder=str(job.out), figures=values)
        return
    if figures is None:
        typer.echo("No labelled test slides: how well it does on unseen cases is unknown.")
    else:
        say_figures(fold_table(figures.folds) if figures.folds else agreement_tables(figures.parts[0])[0])
        say_figures(interval_table(figures.intervals, sum(len(one.rows) for one in figures.predictions)))
        n_there = sum(one.was_there for one in figures.predictions)
        if n_there:
            typer.echo(
                f"{n_there} of {len(figures.predictions)} trainings were finished before and read back"
            )
    typer.echo(f"{'control trained on shuffled labels; ' if job.is_control else ''}research use only")
    typer.echo(f"network  {job.out}")
