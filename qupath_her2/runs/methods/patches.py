"""The method ``network``: a trained network predicts patches, which vote for the class of each region and image."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.errors import ModelError
from qupath_her2.models.card import ModelCard, identity, read_card
from qupath_her2.models.count_heads import count_classes_per_image
from qupath_her2.patches.cutting.tissue_patches import tissue_patches
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.patches.tasks import SEGMENTATION
from qupath_her2.project.class_names import PATCH_CLASS
from qupath_her2.provenance import object_uuids, sha256_file
from qupath_her2.records import NOT_MEASURED, PatchTable, Refusal, SlideScore
from qupath_her2.runs.methods.image_patches import image_manifest, prediction_settings
from qupath_her2.runs.methods.network import NetworkMethod
from qupath_her2.runs.methods.patch_maps import CamMap, cam_map, overlay_files
from qupath_her2.runs.methods.patch_score import score_of_patches
from qupath_her2.runs.refused_image import empty_table, refused_image
from qupath_her2.runs.types import FinishedImage
from qupath_her2.slides.stains.macenko import macenko_map
from qupath_her2.slides.stains.tissue_sample import fit_slide_macenko, normalisation_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from qupath_her2.config import Settings
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.runs.types import ImageSetup, Progress
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["PatchesMethod", "PredictedPatches", "patch_card", "patch_settings", "predict_patches"]


def patch_card(checkpoint: Path) -> ModelCard:
    """Return the card of a network that classifies patches.

    Raises
    ------
    ModelError
        The card is missing, damaged, or belongs to a segmenter.
    """
    card = read_card(checkpoint)
    if card.task == SEGMENTATION.name:
        raise ModelError(
            f"Network '{checkpoint}' is a segmenter, which does not classify patches. Use it to find cells: "
            f"qupath-her2 run FOLDER --cells {card.model}:{checkpoint}."
        )
    return card


def patch_settings(settings: Settings, card: ModelCard, head: Path | None) -> dict[str, Any]:
    """Return everything the predicted patches depend on besides image and regions.

    Parameters
    ----------
    settings
        Of all rooms.
    card
        Of the network.
    head
        File of a head over patch counts; None without one.

    Returns
    -------
    dict[str, Any]
        Part of the input hash.
    """
    return {
        **identity(card),
        "patches": settings.patches,
        "votes": settings.votes,
        "head": None if head is None else sha256_file(head),
        # Earlier versions gave the head the counts of the tumour regions.
        **({} if head is None else {"counted": "all tissue"}),
        # Only where it is on: opacity and the number of shown patches matter to nothing else.
        **({"cam": settings.cam} if settings.cam.is_on else {}),
    }


@dataclass(frozen=True, slots=True)
class PatchesMethod(NetworkMethod):
    """Classification of patches, regions and images by a trained network.

    Attributes
    ----------
    checkpoint
        Of the network, path without ending.
    head
        File of a head over patch counts, which then classifies the image; None lets the patches vote.
    """

    checkpoint: Path
    head: Path | None = None

    def check(self) -> None:
        """Raise ModelError where the checkpoint is not a classifier's."""
        self.card()

    def card(self, pixel_size_um: float | None = None) -> ModelCard:
        """Return the card of the network, the same for every pixel size."""
        return patch_card(self.checkpoint)

    def measurement_settings(self, settings: Settings, card: ModelCard | None) -> dict[str, Any]:
        """Return everything the predicted patches depend on besides image and regions."""
        return {} if card is None else patch_settings(settings, card, self.head)

    def measure(self, setup: ImageSetup, *, progress: Progress | None, threads: int) -> FinishedImage:
        """Predict the patches of an image's regions; see `Method.measure`.

        Heat maps go with the result, and Grad-CAM where the settings ask for it.

        Raises
        ------
        ModelError
            The checkpoint is damaged, or does not fit the image's pixel size; the message gives the way out.
        """
        start = time.monotonic()
        case, settings = setup.ref.case, setup.settings
        found = predict_patches(self.checkpoint, setup, progress=progress)
        if isinstance(found, Refusal):
            return refused_image(setup.context.refused(found), case, settings.scoring)
        context = setup.context.warned(*found.warnings)
        # The same order as in `image_manifest`, which the table's column `region` indexes.
        regions = tuple(region for region in context.regions if region.role == "tumour")
        # In all tissue, as in the training of the head; where no tumour is drawn, the table has just that.
        counts = None
        if self.head is not None and not setup.inputs.whole_tissue:
            counts = _tissue_counts(setup, found, progress)
        score = score_of_patches(
            settings.votes,
            self.head,
            found.card,
            found.table,
            regions,
            context.by_core,
            context.warnings,
            counts,
        )
        size = (setup.slide.width, setup.slide.height)
        cam = _cam_map(setup, found, score, size, progress) if settings.cam.is_on else None
        return FinishedImage(
            context,
            score,
            empty_table(),
            regions,
            timings_s={"network": round(time.monotonic() - start, 3)},
            extra_files=overlay_files(found.table, size, setup.inputs.pixel_size_um, cam),
            patches=found.table,
        )


@dataclass(frozen=True, slots=True, eq=False)
class PredictedPatches:
    """Patches of one image with what a network predicts for them.

    Attributes
    ----------
    model, card
        The network.
    manifest, stain_maps
        The patches, and the stain normalisation they were read with.
    table
        Class probabilities of each patch.
    warnings
        Sentences on patches that could not be read.
    """

    model: Any
    card: ModelCard
    manifest: PatchManifest
    stain_maps: tuple[DensityMap, ...] | None
    table: PatchTable
    warnings: tuple[str, ...]


def predict_patches(
    checkpoint: Path, setup: ImageSetup, *, progress: Progress | None
) -> PredictedPatches | Refusal:
    """Predict the patches of an image; a refusal where the rules leave no patch.

    Parameters
    ----------
    checkpoint
        Of the network, path without ending.
    setup
        The image; its card is the network's.
    progress
        Called with patches done and in total.

    Returns
    -------
    PredictedPatches | Refusal
        The refusal counts the causes by which patches were dropped.

    Raises
    ------
    ModelError
        The checkpoint is damaged.
    PatchError
        The image's pixels are coarser than the network's.
    """
    from qupath_her2.learning.inference.predict import predict

    # A method with a checkpoint always has a card among its inputs.
    assert setup.inputs.card is not None
    model, card = _loaded(checkpoint, setup.inputs.card.weights_sha256)
    manifest, owner = image_manifest(setup, card)
    if len(manifest) == 0:
        return _no_patches(manifest)
    stain_maps = _stain_maps(setup, card)
    # Read through a manifest, so that cutting, resizing and CLAHE are those of the training.
    with PatchPixels(manifest) as pixels:
        found = predict(
            model,
            card,
            manifest,
            pixels,
            setup.settings.predict,
            stain_maps=stain_maps,
            progress=_without_cells(progress),
        )
    table = _table(manifest, owner, card, found.probabilities, found.chosen, setup.inputs.hash)
    return PredictedPatches(model, card, manifest, stain_maps, table, _unread(found.unread))


def _tissue_counts(
    setup: ImageSetup, found: PredictedPatches, progress: Progress | None
) -> NDArray[np.int64]:
    """Return the patches of each class in all tissue of the image, int64 (C,)."""
    from qupath_her2.learning.inference.predict import predict

    how = prediction_settings(setup.settings.patches, found.card)
    whole = tissue_patches(found.manifest, how, setup.settings.tissue)
    with PatchPixels(whole) as pixels:
        said = predict(
            found.model,
            found.card,
            whole,
            pixels,
            setup.settings.predict,
            stain_maps=found.stain_maps,
            progress=_without_cells(progress),
        )
    counts: NDArray[np.int64] = count_classes_per_image(
        whole.image, said.chosen, 1, len(found.card.class_names)
    )[0]
    return counts


def _without_cells(progress: Progress | None) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(done, total, 0)


def _cam_map(
    setup: ImageSetup,
    found: PredictedPatches,
    score: SlideScore,
    size: tuple[int, int],
    progress: Progress | None,
) -> CamMap | None:
    """Return the Grad-CAM map of the image's class; None where no patch could be read."""
    probabilities = found.table.probabilities
    if not np.isfinite(probabilities).any():
        return None
    with PatchPixels(found.manifest) as pixels:
        return cam_map(
            found.model,
            found.card,
            found.manifest,
            pixels,
            probabilities,
            _cam_class(score, found.card, probabilities),
            size,
            setup.settings.cam,
            stain_maps=found.stain_maps,
            progress=_without_cells(progress),
        )


@functools.lru_cache(maxsize=1)
def _loaded(checkpoint: Path, weights_sha256: str) -> tuple[Any, ModelCard]:
    """Load a network once for all images of a process; the hash notices new weights under the same file name."""
    from qupath_her2.models.checkpoint import load_checkpoint

    return load_checkpoint(checkpoint)


def _no_patches(manifest: PatchManifest) -> Refusal:
    causes = (
        ", ".join(f"{count} {cause}" for cause, count in manifest.dropped.items())
        or "the regions are too small"
    )
    return Refusal("no_patches", f"no patch of {manifest.patch_size_px} px is left in the regions: {causes}")


def _unread(problems: Sequence[str]) -> tuple[str, ...]:
    if not problems:
        return ()
    n = len(problems)
    return (
        f"{n} patch{'' if n == 1 else 'es'} could not be read and {'has' if n == 1 else 'have'} no class. "
        f"The first: {problems[0]}",
    )


def _stain_maps(setup: ImageSetup, card: ModelCard) -> tuple[DensityMap, ...] | None:
    """Return the stain normalisation that the network was trained with, fitted to this slide."""
    if card.stain is None:
        return None
    # Fitted to the tissue of the whole slide, as in training, not to the regions that happen to be drawn.
    reference = normalisation_reference(card.stain)
    profile = fit_slide_macenko(
        setup.slide,
        pixel_size_um=setup.inputs.pixel_size_um,
        tissue=setup.tissue,
        image_type=setup.ref.image_type,
    )
    return (macenko_map(profile, reference),)


def _table(
    manifest: PatchManifest,
    owner: NDArray[np.int32],
    card: ModelCard,
    probabilities: NDArray[np.float32],
    chosen: NDArray[np.int16],
    run_hash: str,
) -> PatchTable:
    return PatchTable(
        # From the input hash and a running number, so that the same inputs give the same UUIDs and a push finds them.
        uuid=object_uuids(run_hash, len(manifest)),
        box_xywh=manifest.box_xywh,
        region=owner,
        # Softmax in half precision may end a hair above 1.
        probabilities=np.clip(probabilities, 0, 1),
        patch_class=np.where(chosen < 0, NOT_MEASURED, chosen).astype(np.uint8),
        # Prefixed, or QuPath would take a predicted patch of class "3+" for one of its own scored cells.
        class_names=tuple(PATCH_CLASS + name for name in card.class_names),
    )


def _cam_class(score: SlideScore, card: ModelCard, probabilities: NDArray[np.float32]) -> int:
    """Return the index of the class that Grad-CAM explains: the image's, else the most probable one."""
    # TMA cores leave the slide without a class of its own.
    named = None if score.prediction is None else score.prediction.class_name
    if named in card.class_names:
        return card.class_names.index(named)
    return int(np.nanmean(probabilities, axis=0).argmax())
