"""Kinds of batches: scoring, predicting with a network, and embedding; settings, output folder and plan of each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from qupath_her2.batch.manifest import is_manifest
from qupath_her2.batch.run_batch import output_folder, plan_batch, plan_embedding
from qupath_her2.errors import SettingsError
from qupath_her2.project.exchange.images import PREDICTIONS
from qupath_her2.recipes import RECIPES
from qupath_her2.runs.cell_sources import cell_source
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.plan import find_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qupath_her2.batch.plan import BatchPlan
    from qupath_her2.config import Settings
    from qupath_her2.runs.options import RunOptions

__all__ = ["Kind", "kind_folder", "kind_settings", "plan_kind"]

#: What is done with each image.
Kind = Literal["score", "predict", "embed"]


def kind_settings(
    source: Path, kind: Kind, *, model: Path | None = None, config: Path | None = None
) -> Settings:
    """Return the settings of a batch; those of a prediction begin with its recipe's.

    Parameters
    ----------
    source
        A QuPath project, a folder of images, or a list of slides.
    kind
        What is done.
    model
        Checkpoint of a prediction, path without ending.
    config
        A settings file; None takes ``her2.toml`` of the folder, if there is one.

    Returns
    -------
    Settings
        Of all rooms.

    Raises
    ------
    SettingsError
        A prediction without a checkpoint, or a settings file that cannot be used.
    """
    from qupath_her2.models.card import read_card

    recipe = RECIPES.get(read_card(_checkpoint(model)).recipe) if kind == "predict" else None
    return find_settings(source.parent if is_manifest(source) else source, config, recipe=recipe)


def _checkpoint(model: Path | None) -> Path:
    if model is None:
        raise SettingsError("--what predict needs a network: pass --model CKPT.")
    return model.absolute()


def kind_folder(source: Path, out: Path | None, kind: Kind, settings: Callable[[], Settings]) -> Path:
    """Return where plan, events and results of a kind of batch are.

    Parameters
    ----------
    source
        As for `kind_settings`.
    out
        The output folder that was named; None takes ``her2`` beside the images.
    kind
        What is done.
    settings
        Returns those of all rooms. Asked for an embedding alone, whose folder has the name of its encoder: a prediction
        is looked at and finished without its checkpoint.

    Returns
    -------
    Path
        The output folder itself, or one in it.
    """
    found = output_folder(source, out)
    if kind == "embed":
        from qupath_her2.training.bags.embed_images import feature_folder

        return feature_folder(found, settings())
    return found / PREDICTIONS if kind == "predict" else found


def plan_kind(
    source: Path,
    kind: Kind,
    options: RunOptions,
    settings: Settings,
    *,
    model: Path | None = None,
    cells: str | None = None,
    threads: int = 1,
    listen: Callable[[str], None] | None = None,
) -> BatchPlan:
    """Plan a batch of any kind, see `plan_batch` and `plan_embedding`.

    Parameters
    ----------
    source, kind
        As for `kind_settings`.
    options
        Of the run; its `out` is the folder from `kind_folder`, and its method is chosen here.
    settings
        Of all rooms.
    model
        As for `kind_settings`.
    cells
        Source of cells for scoring; None takes that of the settings.
    threads
        Slides looked at in parallel.
    listen
        Called with a line of text before a step that takes time.

    Returns
    -------
    BatchPlan
        As saved.

    Raises
    ------
    Her2Error
        No image, ambiguous region files, a list that cannot be used, a folder that cannot be written.
    """
    if kind == "embed":
        return plan_embedding(source, options, settings, threads=threads, listen=listen)
    if kind == "predict":
        options = replace(
            options,
            whole_tissue=options.whole_tissue or settings.patches.whole_image,
            profile=None,
            method=PatchesMethod(_checkpoint(model)),
        )
    else:
        options = replace(options, method=CellsMethod(cell_source(cells or settings.cell_source)))
    return plan_batch(source, options, settings, what=kind, threads=threads, listen=listen)
