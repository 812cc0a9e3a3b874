"""The three approaches of Chauhan et al. 2025 as cells of a comparison: bags, whole images, patch counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from qupath_her2.learning.bags.bag_source import Bags
from qupath_her2.recipes import RECIPES
from qupath_her2.training.bags.bag_figures import bag_figures
from qupath_her2.training.bags.bag_job import BagJob, train_part
from qupath_her2.training.bags.compare import Approach, on_folds_of
from qupath_her2.training.classifier import train_network
from qupath_her2.training.types import TrainJob, Weights

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.config import Settings
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.scoring.agreement.study import Agreement

__all__ = ["bag_approach", "count_approach", "image_approach"]


def bag_approach(job: BagJob, bags: Bags) -> Approach:
    """Return a network on bags as an approach; its folds are trained below the folder of the cell."""

    def run(slides: PatchManifest, out: Path) -> Mapping[str, Agreement]:
        found = train_part(job, slides, out, bags)
        return {job.model: bag_figures(job.manifest, (found,)).parts[0]}

    settings = {"bags": asdict(job.settings.bags), "features": [path.name for path in job.features]}
    encoder = (bags.info.encoder, bags.info.weights_sha256, bags.info.pixel_size_um)
    return Approach(job.model, "features of patches", {**settings, "encoder": encoder}, run)


def image_approach(model: str, settings: Settings, weights: Weights) -> Approach:
    """Return a network on scaled-down images as an approach.

    Parameters
    ----------
    model
        Name of the network.
    settings
        Of the recipe lowres-convnext, overridden by the user's.
    weights
        Initial weights.

    Returns
    -------
    Approach
        One row, named by the network.
    """

    def run(slides: PatchManifest, out: Path) -> Mapping[str, Agreement]:
        side = settings.patches.grid.patch_size_px
        one = replace(slides, patch_size_px=side)
        found = train_network(TrainJob(one, RECIPES["lowres-convnext"], settings, out, model, weights))
        return {} if found.test is None else {model: found.test.images}

    plain = {name: asdict(getattr(settings, name)) for name in ("patches", "train", "predict", "votes")}
    return Approach(model, "whole image, scaled down", {**plain, "weights": str(weights)}, run)


def count_approach(
    model: str, patches: PatchManifest, settings: Settings, weights: Weights, resolution: str, task: str
) -> Approach:
    """Return heads over patch counts at one resolution as an approach.

    Parameters
    ----------
    model
        Network that grades patches.
    patches
        Its labelled patches, split or not.
    settings
        Of the recipe patch-count, overridden by the user's.
    weights
        Initial weights.
    resolution
        ``low``, ``moderate`` or ``high``.
    task
        Task of the slides.

    Returns
    -------
    Approach
        A row for each head that knows the task.
    """

    def run(slides: PatchManifest, out: Path) -> Mapping[str, Agreement]:
        one = on_folds_of(slides, patches)
        found = train_network(TrainJob(one, RECIPES["patch-count"], settings, out, model, weights))
        rows = {}
        for kind in RECIPES["patch-count"].heads:
            key = kind if task == one.task else f"{kind}-{task}"
            if key in found.heads:
                rows[f"{kind}, {resolution}"] = found.heads[key]
        return rows

    scale = f"{settings.patches.grid.target_um_px:g} µm/px"
    plain = {name: asdict(getattr(settings, name)) for name in ("patches", "train", "predict", "votes")}
    return Approach(
        f"counts-{resolution}",
        f"patch counts at {scale}",
        {**plain, "model": model, "weights": str(weights)},
        run,
    )
