"""Curves of a tumour network on patches of drawn tumour against all other tissue: figure 6 of Che et al. 2023.

DOI 10.3390/diagnostics13020263. The truth is what people outlined: a patch is tumour where more than half of it lies in
a *Tumor* region, and non-tumour where it lies in tissue outside, in images with at least one such region.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import PatchError
from qupath_her2.learning.inference.predict import predict
from qupath_her2.learning.metrics.precision_recall import PrecisionRecall, precision_recall
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.patches.cutting.cut_patches import CutContext, cut_patches
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.datasets.sources import Source, SourceImage
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.patches.tasks import TASKS
from qupath_her2.training.stain_normalisation import normalise_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.config import Settings

__all__ = ["TumourFigures", "tumour_figures"]

_TUMOUR, _REST = "tumour", "non-tumour"


@dataclass(frozen=True, slots=True, eq=False)
class TumourFigures:
    """Figures of a tumour network on patches of drawn regions.

    Attributes
    ----------
    curves
        Of the probability of tumour.
    n_images
        Number of images with patches.
    notes
        Sentences on images and patches that were left out.
    """

    curves: PrecisionRecall
    n_images: int
    notes: tuple[str, ...] = ()


def tumour_figures(
    images: Sequence[SourceImage],
    checkpoint: Path,
    settings: Settings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> TumourFigures:
    """Predict all patches of images with drawn tumour, and compare with what was drawn.

    Parameters
    ----------
    images
        Images; those without a *Tumor* region give no patch.
    checkpoint
        Of a network of the task ``tumour``, path without ending.
    settings
        Of the study: regions, tissue, patches and prediction.
    progress
        Called with patches done and in total.

    Returns
    -------
    TumourFigures
        The curves.

    Raises
    ------
    PatchError
        No image has a *Tumor* region, or an annotation class is unknown.
    ModelError
        The checkpoint is damaged.
    """
    model, card = load_checkpoint(checkpoint)
    notes: list[str] = []
    # Labels of images are HER2 scores here, which say nothing about tumour.
    plain = tuple(replace(image, label=None) for image in images)
    chosen = replace(
        settings.patches,
        task=TASKS[_TUMOUR].name,
        grid=GridSettings(card.patch_size_px, card.pixel_size_um),
        rest_label=_REST,
        # All patches and not a sample: what is judged is the map of the whole image.
        random_per_image=0,
        whole_tissue=False,
        label_column="",
        split="none",
    )
    context = CutContext(settings.regions, settings.tissue, listen=notes.append)
    data = normalise_manifest(cut_patches(Source("project", plain), chosen, context), card.stain)
    manifest = data.manifest
    with PatchPixels(manifest) as pixels:
        found = predict(
            model, card, manifest, pixels, settings.predict, stain_maps=data.maps, progress=progress
        )
    probability = found.probabilities[:, card.class_names.index(_TUMOUR)]
    known = np.isfinite(probability)
    if not known.any():
        raise PatchError(f"No patch of these images could be read. The first: {found.unread[0]}")
    if not known.all():
        notes.append(f"{int((~known).sum())} patches could not be read and are left out.")
    truth = manifest.label == manifest.class_names.index(_TUMOUR)
    n_images = len(np.unique(manifest.image[known]))
    return TumourFigures(
        precision_recall(probability[known], truth[known]), n_images, (*data.left_out, *notes)
    )
