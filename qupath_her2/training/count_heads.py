"""Heads over patch counts: an image's class from the counts of its patch classes (Chauhan et al. 2025, approach 3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.learning.inference.predict import predict
from qupath_her2.models.count_heads import count_classes_per_image, fit_count_head, save_count_head
from qupath_her2.patches.manifest import PatchManifest, select
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.project.exchange.writing import output_errors
from qupath_her2.scoring.agreement.study import Agreement
from qupath_her2.training.evaluation import agreement_of_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.models.card import ModelCard
    from qupath_her2.models.count_heads import CountKind
    from qupath_her2.models.settings import PredictSettings
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["HEADS", "fit_heads", "head_path"]

#: Folder of the heads, beside the checkpoint of their network.
HEADS = "heads"


def head_path(checkpoint: Path, kind: str) -> Path:
    """Return the file of a network's head of this kind."""
    return checkpoint.parent / HEADS / f"{kind}.json"


def fit_heads(
    model: Any,
    card: ModelCard,
    manifest: PatchManifest,
    kinds: Sequence[CountKind],
    checkpoint: Path,
    settings: PredictSettings | None = None,
    stain_maps: Sequence[DensityMap] | None = None,
) -> dict[str, Agreement]:
    """Fit heads on the training and validation images, save them beside the network, and evaluate them on test images.

    An image's true class is the most frequent label of its patches. The network has seen the training images and chose
    its best epoch by the validation images, so neither may evaluate the heads.

    Parameters
    ----------
    model, card
        The trained network.
    manifest
        Labelled and split patches.
    kinds
        Classifiers to fit.
    checkpoint
        Checkpoint of the network, path without ending.
    settings
        Settings of the prediction.
    stain_maps
        One per image; None without stain normalisation.

    Returns
    -------
    dict[str, Agreement]
        {kind: metrics of the test images}; empty without test images.
    """
    labelled = select(manifest, (manifest.label >= 0) & (manifest.split >= 0))
    with PatchPixels(labelled) as pixels:
        found = predict(model, card, labelled, pixels, settings, stain_maps=stain_maps)
    n_images, n_classes = len(labelled.images), len(card.class_names)
    counts = count_classes_per_image(labelled.image, found.chosen, n_images, n_classes)
    truth = count_classes_per_image(labelled.image, labelled.label, n_images, n_classes)
    # Split by case, so an image lies in one part as a whole.
    is_test = np.zeros(n_images, bool)
    is_test[labelled.image[labelled.split == 2]] = True
    # An image none of whose patches could be read has no counts, and would look like a class of its own.
    has_patches = counts.sum(axis=1) > 0
    learning, testing = np.flatnonzero(has_patches & ~is_test), np.flatnonzero(has_patches & is_test)
    figures: dict[str, Agreement] = {}
    with output_errors(checkpoint.parent / HEADS):
        (checkpoint.parent / HEADS).mkdir(parents=True, exist_ok=True)
    # Fitted on training and validation images together: heads have no hyperparameter to choose on the latter.
    for kind in kinds:
        head = fit_count_head(
            kind,
            counts[learning],
            truth[learning].argmax(axis=1),
            patch_classes=card.class_names,
            slide_classes=card.class_names,
        )
        save_count_head(head_path(checkpoint, kind), head)
        if len(testing):
            probabilities = head.predict(counts[testing])
            answer = [head.slide_classes[code] for code in probabilities.argmax(axis=1).tolist()]
            figures[kind] = agreement_of_images(
                labelled, testing.tolist(), head.slide_classes, answer, probabilities
            )
    return figures
