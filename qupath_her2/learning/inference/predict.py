"""Prediction: threads read, the device normalises and computes, results stay there until a slide ends.

Nothing waits for anything it does not need: pixels go to the GPU as 8-bit values through page-locked memory on a
stream of their own, the next slide is being read while the last patches of this one are in the network, and the
processor hears from the GPU only to keep it from running too far ahead.
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
from qupath_her2.learning.dataset import PatchReader, Preparation, batch_rows, read_batches
from qupath_her2.learning.device import choose_device, describe_device, half_dtype, memory_layout
from qupath_her2.learning.inference.forward import Forward
from qupath_her2.learning.inference.pipeline import DeviceClock, DeviceResults, upload_batches
from qupath_her2.models.card import ModelCard, check_patch_scale
from qupath_her2.models.optional import need
from qupath_her2.models.settings import PredictSettings
from qupath_her2.patches.pixels.patch_pixels import reading_order

if TYPE_CHECKING:
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["NO_CLASS", "Prediction", "choose_classes", "predict"]

#: Class index of a patch that was not read, or of which the network is not sure enough.
NO_CLASS = -1


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a network says of N patches.

    Attributes
    ----------
    probabilities
        float32 (N, C), in the order of the manifest; NaN where the patch could not be read.
    chosen
        int16 (N), index of the class; `NO_CLASS` where not read, or less probable than the card asks for.
    unread_rows
        int64 (k,), the patches that could not be read, ascending; `unread` says why, one sentence each.
    batch_size
        Patches in the network at once, in the end.
    device
        Where it ran.
    seconds
        From the first reading to the last result.
    busy_share
        Of that time in which the GPU was computing, 0..1; NaN on a processor.
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
    """Return the class probabilities of every patch of a manifest.

    Parameters
    ----------
    model, card
        Of `models.load_checkpoint`; the model is moved to the device.
    manifest
        Patches, labelled or not; one image or many.
    pixels
        Its reader.
    settings
        See `PredictSettings`.
    stain_maps
        For each image the map of the normalisation that the card names, if it names one.
    progress
        Called with patches done and in all; may raise KeyboardInterrupt to cancel.

    Returns
    -------
    Prediction
        The same whatever the number of threads. Halves, another batch size or another device change the last
        digits.

    Raises
    ------
    ModelError
        The card disagrees with the patches' scale, size or stain normalisation, or with the network.
    MissingExtraError
        torch is not installed.
    """
    need("torch")
    import torch

    s = settings or PredictSettings()
    _check(model, card, manifest, stain_maps)
    device = choose_device(s.device)
    begun = time.monotonic()
    model.to(device, memory_format=memory_layout(device, is_dense=False)).eval()
    forward = Forward(
        torch.compile(model) if s.is_compiled else model,
        Preparation(manifest, card.mean, card.std, stain_maps=stain_maps),
        device,
        half_dtype(device, s.precision),
        s.batch_size,
        pad=s.is_compiled,
    )
    # Slide by slide and tile by tile, whatever the manifest's order; results are put back by row.
    order = reading_order(manifest)
    results = DeviceResults(manifest.image, device)
    clock = DeviceClock(device)
    unread: dict[int, str] = {}
    done = 0
    batches = read_batches(
        pixels, batch_rows(order, s.batch_size), manifest.patch_size_px, s.read, pinned=device.type == "cuda"
    )
    with torch.inference_mode(), contextlib.closing(batches):
        for batch, patches in upload_batches(batches, device):
            unread |= {error.row: str(error) for error in batch.unread}
            if len(batch.rows):
                with clock.measured():
                    logits = forward(patches, batch.rows)
                    results.add(batch.rows, torch.softmax(logits / card.temperature, 1))
            done += len(batch.rows) + len(batch.unread)
            if progress is not None:
                progress(done, len(manifest))
        probabilities = results.collected(len(manifest), len(card.class_names))
    seconds = time.monotonic() - begun
    unread_rows = np.array(sorted(unread), np.int64)
    return Prediction(
        probabilities,
        choose_classes(probabilities, card.abstain_below),
        unread_rows,
        tuple(unread[row] for row in unread_rows.tolist()),
        forward.at_once,
        describe_device(device),
        seconds,
        clock.busy_s() / seconds if seconds > 0 else math.nan,
    )


def choose_classes(probabilities: NDArray[np.float32], abstain_below: float = 0.0) -> NDArray[np.int16]:
    """Return the most probable class of each patch.

    Parameters
    ----------
    probabilities
        float (N, C); a row of NaN was not read.
    abstain_below
        A class less probable than this is not named.

    Returns
    -------
    NDArray[np.int16]
        int16 (N), `NO_CLASS` where none is named; of equal classes the first.
    """
    known = np.isfinite(probabilities.sum(axis=1))
    filled = np.where(known[:, None], probabilities, -1.0)
    named = known & (filled.max(axis=1, initial=-1.0) >= abstain_below)
    return np.where(named, filled.argmax(axis=1), NO_CLASS).astype(np.int16)


def _check(
    model: Any, card: ModelCard, manifest: PatchManifest, stain_maps: Sequence[DensityMap] | None
) -> None:
    where = manifest.images[0].name if len(manifest.images) == 1 else f"{len(manifest.images)} images"
    check_patch_scale(card, manifest.pixel_size_um, manifest.patch_size_px, where=where)
    if (card.stain is None) != (stain_maps is None):
        wanted = f"patches normalised by {card.stain}" if card.stain else "patches as they are"
        given = "normalised" if stain_maps is not None else "as they are"
        raise ModelError(
            f"{where}: model '{card.model}' was trained on {wanted}, and these are {given}. "
            + ("Pass stain_maps, one an image." if card.stain else "Leave stain_maps out, or train again.")
        )
    if model.n_classes != len(card.class_names):
        raise ModelError(
            f"The card names {len(card.class_names)} classes and the network has {model.n_classes}. "
            "Load both from one checkpoint."
        )
