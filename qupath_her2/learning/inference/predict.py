"""Prediction of patches: threads read, the device normalises and computes, results stay there until a slide is done.

All stages overlap: 8-bit pixels are copied to the GPU through page-locked memory on a separate stream, the next slide
is read while the network processes the last patches of this one, and the CPU waits for the GPU only to bound its
queue.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ModelError
from qupath_her2.learning.dataset import PatchReader, batch_rows, read_batches
from qupath_her2.learning.device import choose_device, describe_device, half_dtype, memory_layout
from qupath_her2.learning.inference.forward import Forward
from qupath_her2.learning.inference.pipeline import DeviceClock, DeviceResults, upload_batches
from qupath_her2.learning.preprocessing import Preparation
from qupath_her2.models.card import ModelCard, check_patch_scale
from qupath_her2.models.optional import need
from qupath_her2.models.settings import PredictSettings
from qupath_her2.patches.pixels.patch_pixels import reading_order

if TYPE_CHECKING:
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["NO_CLASS", "Prediction", "choose_classes", "predict"]

#: Class index of a patch that could not be read, or whose probabilities are too low for a class.
NO_CLASS = -1


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Predictions for N patches.

    Attributes
    ----------
    probabilities
        float32 (N, C), in the order of the manifest; NaN where the patch could not be read.
    chosen
        int16 (N), class index; `NO_CLASS` where the patch could not be read, or below the card's `abstain_below`.
    unread_rows
        int64 (k,), rows of the patches that could not be read, ascending.
    unread
        The reason for each of them, one sentence.
    batch_size
        Patches per forward pass at the end, after any halving.
    device
        Name of the device.
    seconds
        Time from the first read to the last result.
    busy_share
        Share of that time in which the GPU was computing, 0..1; NaN on a CPU.
    """

    probabilities: NDArray[np.float32]
    chosen: NDArray[np.int16]
    unread_rows: NDArray[np.int64]
    unread: tuple[str, ...]
    batch_size: int
    device: str
    seconds: float
    busy_share: float


def predict(
    model: Any,
    card: ModelCard,
    manifest: PatchManifest,
    pixels: PatchReader,
    settings: PredictSettings | None = None,
    *,
    stain_maps: Sequence[DensityMap] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """Predict the class probabilities of every patch of a manifest.

    Parameters
    ----------
    model, card
        From `models.load_checkpoint`; the model is moved to the device.
    manifest, pixels
        Patches of one or more images, labelled or not, and their reader.
    settings
        Settings; None takes the defaults.
    stain_maps
        For each image, the map of the stain normalisation that the card names, if it names one.
    progress
        Called with (patches done, patches); may raise KeyboardInterrupt to cancel.

    Returns
    -------
    Prediction
        The same for any number of threads. 16-bit types, another batch size or another device change the last digits.

    Raises
    ------
    ModelError
        The card does not fit the patches' scale, size or stain normalisation, or not the network.
    MissingExtraError
        torch is not installed.
    """
    need("torch")
    import torch

    s = settings or PredictSettings()
    _check(model, card, manifest, stain_maps)
    started, device = time.monotonic(), choose_device(s.device)
    model.to(device, memory_format=memory_layout(device, is_dense=False)).eval()
    forward = Forward(
        torch.compile(model) if s.is_compiled else model,
        Preparation(manifest, card.mean, card.std, stain_maps=stain_maps),
        device,
        half_dtype(device, s.precision),
        s.batch_size,
        pad=s.is_compiled,
    )
    # Slide by slide and tile by tile, whatever the manifest's order; results are stored by row.
    order = reading_order(manifest)
    results, clock = DeviceResults(manifest.image, device), DeviceClock(device)
    unread: dict[int, str] = {}
    done = 0
    is_gpu = device.type == "cuda"
    batches = read_batches(
        pixels, batch_rows(order, s.batch_size), manifest.patch_size_px, s.read, pinned=is_gpu
    )
    with torch.inference_mode(), contextlib.closing(batches):
        for batch, patches in upload_batches(batches, device):
            unread |= {error.row: str(error) for error in batch.unread}
            if len(batch.rows):
                with clock.measured():
                    logits = forward(patches, batch.rows)
                    results.add(batch.rows, torch.softmax(logits / card.temperature, 1))
            # Unreadable patches count as done, or the progress would never be complete.
            done += len(batch.rows) + len(batch.unread)
            if progress is not None:
                progress(done, len(manifest))
        probabilities = results.collected(len(manifest), len(card.class_names))
    seconds = time.monotonic() - started
    busy_share = clock.busy_s() / seconds if seconds > 0 else math.nan
    chosen = choose_classes(probabilities, card.abstain_below)
    rows = np.array(sorted(unread), np.int64)
    reasons = tuple(unread[row] for row in rows.tolist())
    name = describe_device(device)
    return Prediction(probabilities, chosen, rows, reasons, forward.at_once, name, seconds, busy_share)


def choose_classes(probabilities: NDArray[np.float32], abstain_below: float = 0.0) -> NDArray[np.int16]:
    """Return the most probable class of each patch.

    Parameters
    ----------
    probabilities
        float (N, C); rows of NaN are patches that could not be read.
    abstain_below
        Smallest probability of a class to be assigned, 0..1.

    Returns
    -------
    NDArray[np.int16]
        int16 (N), `NO_CLASS` where no class is assigned; the first of equally probable classes.
    """
    # A sum is NaN if any of its terms is; argmax of a row of NaN would be class 0.
    known = np.isfinite(probabilities.sum(axis=1))
    filled = np.where(known[:, None], probabilities, -1.0)
    named = known & (filled.max(axis=1, initial=-1.0) >= abstain_below)
    return np.where(named, filled.argmax(axis=1), NO_CLASS).astype(np.int16)


def _check(
    model: Any, card: ModelCard, manifest: PatchManifest, stain_maps: Sequence[DensityMap] | None
) -> None:
    where = manifest.images[0].name if len(manifest.images) == 1 else f"{len(manifest.images)} images"
    check_patch_scale(card, manifest.pixel_size_um, manifest.patch_size_px, where=where)
    # A missing or superfluous normalisation raises no error by itself, but shifts every probability.
    if (card.stain is None) != (stain_maps is None):
        wanted = (
            f"patches normalised by {card.stain}" if card.stain else "patches without stain normalisation"
        )
        given = "are normalised" if stain_maps is not None else "are not"
        raise ModelError(
            f"{where}: model '{card.model}' was trained on {wanted}, but these {given}. "
            + ("Pass stain_maps, one per image." if card.stain else "Leave stain_maps out, or train again.")
        )
    if model.n_classes != len(card.class_names):
        raise ModelError(
            f"The card names {len(card.class_names)} classes, but the network has {model.n_classes}. "
            "Load both from the same checkpoint."
        )
