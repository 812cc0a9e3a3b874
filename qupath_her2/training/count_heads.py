"""Heads over patch counts: an image's class from the counts of its patch classes (Chauhan et al. 2025, approach 3).

The counts are those of all tissue of a slide, annotated or not, and the class is the slide's own label. One patch
network of four scores thus serves the binary, 3-way and 4-way tasks, as in table 6 of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.learning.inference.predict import predict
from qupath_her2.models.count_heads import count_classes_per_image, fit_count_head, save_count_head
from qupath_her2.patches.cutting.tissue_patches import tissue_patches
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.patches.tasks import TASKS
from qupath_her2.project.exchange.writing import output_errors
from qupath_her2.training.evaluation import agreement_of_images
from qupath_her2.training.image_truth import image_truth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qupath_her2.models.card import ModelCard
    from qupath_her2.models.count_heads import CountKind
    from qupath_her2.models.settings import PredictSettings
    from qupath_her2.patches.settings import PatchSettings
    from qupath_her2.patches.tasks import Task
    from qupath_her2.scoring.agreement.study import Agreement
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["HEADS", "FittedHeads", "SlideCounts", "count_slides", "fit_heads", "head_path", "head_tasks"]

#: Folder of the heads, beside the checkpoint of their network.
HEADS = "heads"


@dataclass(frozen=True, slots=True, eq=False)
class SlideCounts:
    """Patches of each class in each image of a manifest.

    Attributes
    ----------
    counts
        int64 (images, C).
    split
        int8 (images,), index into `patches.manifest.SPLITS`, -1 = not split.
    """

    counts: NDArray[np.int64]
    split: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class FittedHeads:
    """Metrics of the test images, {head: figures}, and a sentence for each head that could not be fitted."""

    figures: dict[str, Agreement]
    left_out: tuple[str, ...] = ()


def head_path(checkpoint: Path, head: str) -> Path:
    """Return the file of a network's head: ``mlp`` for the network's own task, ``mlp-her2-3`` for another."""
    return checkpoint.parent / HEADS / f"{head}.json"


def head_tasks(task: str) -> tuple[str, ...]:
    """Return the tasks of slides that heads over patches of `task` are fitted for, its own first."""
    return (task, "her2-3", "her2-binary") if task == "her2-4" else (task,)


def count_slides(
    model: Any,
    card: ModelCard,
    manifest: PatchManifest,
    patches: PatchSettings,
    settings: PredictSettings | None = None,
    stain_maps: Sequence[DensityMap] | None = None,
) -> SlideCounts:
    """Predict all tissue of the images of a manifest, and count the patches of each class.

    Parameters
    ----------
    model, card
        The trained network.
    manifest
        Its labelled and split patches.
    patches
        How they were cut.
    settings
        Settings of the prediction.
    stain_maps
        One per image; None without stain normalisation.

    Returns
    -------
    SlideCounts
        Zeros for an image without a patch of tissue.
    """
    whole = tissue_patches(manifest, patches)
    with PatchPixels(whole) as pixels:
        found = predict(model, card, whole, pixels, settings, stain_maps=stain_maps)
    counts = count_classes_per_image(whole.image, found.chosen, len(whole.images), len(card.class_names))
    # Split by case, so an image lies in one part as a whole.
    split = np.full(len(whole.images), -1, np.int8)
    split[manifest.image] = manifest.split
    return SlideCounts(counts, split)


def fit_heads(
    found: SlideCounts,
    card: ModelCard,
    manifest: PatchManifest,
    kinds: Sequence[CountKind],
    checkpoint: Path,
) -> FittedHeads:
    """Fit heads on the training and validation images, save them beside the network, and evaluate them on test images.

    The network has seen the training images and chose its best epoch by the validation images, so neither may evaluate
    the heads.

    Parameters
    ----------
    found
        Counts of the images, from `count_slides`.
    card
        Card of the network.
    manifest
        Labelled and split patches, with the labels of the images.
    kinds
        Classifiers to fit.
    checkpoint
        Checkpoint of the network, path without ending.

    Returns
    -------
    FittedHeads
        A head is named ``mlp`` for the network's own task, and ``mlp-her2-3`` for another.
    """
    with output_errors(checkpoint.parent / HEADS):
        (checkpoint.parent / HEADS).mkdir(parents=True, exist_ok=True)
    figures: dict[str, Agreement] = {}
    left_out: list[str] = []
    for name in head_tasks(manifest.task):
        task = TASKS.get(name)
        names = card.class_names if task is None else task.class_names
        truth = image_truth(manifest, range(len(manifest.images)), task).names
        codes = np.array([-1 if one is None else names.index(one) for one in truth], np.int64)
        # An image without patches has no counts, and would look like a class of its own.
        usable = (found.counts.sum(axis=1) > 0) & (codes >= 0)
        learning = np.flatnonzero(usable & (found.split >= 0) & (found.split < 2))
        testing = np.flatnonzero(usable & (found.split == 2))
        if len(np.unique(codes[learning])) < 2:
            left_out.append(
                f"No head for {name}: the {len(learning)} slides to learn from have fewer than two of its classes. "
                "Label more slides in cases.csv; 2+ needs an ISH result."
            )
            continue
        for kind in kinds:
            # A vote can only give a class that patches have.
            if kind == "majority" and not set(names) <= set(card.class_names):
                continue
            head = fit_count_head(
                kind,
                found.counts[learning],
                codes[learning],
                patch_classes=card.class_names,
                slide_classes=names,
            )
            key = kind if name == manifest.task else f"{kind}-{name}"
            save_count_head(head_path(checkpoint, key), head)
            if len(testing):
                figures[key] = _evaluate(head.predict(found.counts[testing]), names, manifest, testing, task)
    return FittedHeads(figures, tuple(left_out))


def _evaluate(
    probabilities: NDArray[np.float32],
    names: Sequence[str],
    manifest: PatchManifest,
    images: NDArray[np.int64],
    task: Task | None,
) -> Agreement:
    answer = [names[code] for code in probabilities.argmax(axis=1).tolist()]
    return agreement_of_images(manifest, images.tolist(), names, answer, probabilities, task)
