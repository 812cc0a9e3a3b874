"""Evaluation of segmenters on labelled windows, overall and per HER2 score, and their speed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError
from qupath_her2.learning.dataset import PatchReader, TargetReader, batch_rows, read_batches
from qupath_her2.learning.device import autocast, choose_device, half_dtype, memory_layout
from qupath_her2.learning.inference.forward import Forward
from qupath_her2.learning.metrics.pixel_counts import PixelTally
from qupath_her2.learning.preprocessing import Preparation
from qupath_her2.learning.train.pixel_losses import UNKNOWN
from qupath_her2.models.card import ModelCard, check_patch_scale
from qupath_her2.models.settings import PredictSettings

if TYPE_CHECKING:
    from qupath_her2.patches.manifest import PatchManifest

__all__ = ["MONTE_CARLO_SAMPLES", "logit_function", "sample_pixels", "seconds_per_crop", "tally_pixels"]

#: Dropout samples per prediction of Bayesian SegNet; its authors find little gain beyond 6 (figure 3 there).
MONTE_CARLO_SAMPLES = 8
#: Side of the crops that times refer to, px: the images of Saha & Chakraborty 2018.
_CROP_PX = 2048


def logit_function(model: Any, samples: int = MONTE_CARLO_SAMPLES) -> Callable[[Any], Any]:
    """Return the function from normalised windows to logits, as the network is meant to be used.

    For ``bayesian-segnet`` that is the logarithm of the mean probability over `samples` dropout samples
    (`models.unet_segnet.monte_carlo_dropout`), for all others the network itself.
    """
    if model.model_name != "bayesian-segnet":
        answer: Callable[[Any], Any] = model
        return answer
    from qupath_her2.models.unet_segnet import monte_carlo_dropout

    def log_mean_probability(patches: Any) -> Any:
        mean, _ = monte_carlo_dropout(model, patches, samples)
        # The softmax of log probabilities gives them back, so that callers treat all networks alike.
        return mean.clamp(min=1e-8).log()

    return log_mean_probability


def tally_pixels(
    model: Any,
    card: ModelCard,
    manifest: PatchManifest,
    pixels: PatchReader,
    targets: TargetReader,
    settings: PredictSettings | None = None,
    *,
    scores: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> PixelTally:
    """Run a segmenter on labelled windows and count its predictions.

    Parameters
    ----------
    model, card
        The network, set to evaluation mode on the device of `settings`, and its card.
    manifest, pixels, targets
        The windows, their reader and their pixel classes, row by row.
    settings
        Device, precision, batch size.
    scores
        HER2 score of each image of the manifest, the groups of the tally; None makes one group.
    progress
        Called with (windows done, windows).

    Returns
    -------
    PixelTally
        Pixels by true and predicted class.

    Raises
    ------
    TrainingError
        There are windows, but none could be read.
    ModelError
        The scale or size of the windows is not the network's.
    """
    tally = PixelTally(card.class_names)
    groups = [""] * len(manifest.images) if scores is None else scores
    done = 0
    for rows, truth, found in _predictions(model, card, manifest, pixels, targets, settings, None):
        for row, known, probabilities in zip(rows.tolist(), truth, found, strict=True):
            tally.add(known, probabilities, group=groups[manifest.image[row]])
        done += len(rows)
        if progress is not None:
            progress(done, len(manifest))
    return tally


def sample_pixels(
    model: Any,
    card: ModelCard,
    manifest: PatchManifest,
    pixels: PatchReader,
    targets: TargetReader,
    settings: PredictSettings | None = None,
    *,
    rows: NDArray[np.int64],
    most: int = 200_000,
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Return a segmenter's probabilities at labelled pixels, evenly sampled from windows, for `fit_temperature`.

    Parameters
    ----------
    model, card, manifest, pixels, targets, settings
        See `tally_pixels`.
    rows
        int64 (n,), the windows to sample.
    most
        Approximate number of pixels.

    Returns
    -------
    probabilities
        float32 (m, C), 0..1.
    labels
        int16 (m,), true classes.
    """
    # Every k-th pixel over all windows: a fixed number per window would favour sparsely labelled ones.
    known_px = int(targets.pixel_counts()[rows].sum())
    step = max(1, known_px // most)
    probabilities, labels = [], []
    for _, truth, found in _predictions(model, card, manifest, pixels, targets, settings, rows):
        is_known = truth != UNKNOWN
        probabilities.append(found.transpose(0, 2, 3, 1)[is_known][::step])
        labels.append(truth[is_known][::step].astype(np.int16))
    return np.concatenate(probabilities), np.concatenate(labels)


def _predictions(
    model: Any,
    card: ModelCard,
    manifest: PatchManifest,
    pixels: PatchReader,
    targets: TargetReader,
    settings: PredictSettings | None,
    rows: NDArray[np.int64] | None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.float32]]]:
    """Yield rows, their targets (n, S, S) and probabilities (n, C, S, S); TrainingError where none could be read."""
    import torch

    s = settings or PredictSettings()
    check_patch_scale(card, manifest.pixel_size_um, manifest.patch_size_px, where="the windows")
    device = choose_device(s.device)
    model.to(device, memory_format=memory_layout(device, is_dense=True)).eval()
    prepare = Preparation(manifest, card.mean, card.std)
    forward = Forward(logit_function(model), prepare, device, half_dtype(device, s.precision), s.batch_size)
    wanted = np.arange(len(manifest)) if rows is None else rows
    reading = read_batches(
        pixels, batch_rows(wanted, s.batch_size), manifest.patch_size_px, s.read, targets=targets
    )
    n_read, reason = 0, ""
    with contextlib.closing(reading):
        for number, batch in enumerate(reading):
            reason = reason or next((str(error) for error in batch.unread), "")
            if len(batch.rows) == 0 or batch.targets is None:
                continue
            n_read += len(batch.rows)
            with torch.inference_mode(), torch.random.fork_rng():
                # Dropout samples must be the same in every call.
                torch.manual_seed(number)
                logits = forward(batch.patches.to(device), batch.rows) / card.temperature
                found = torch.softmax(logits, 1).cpu().numpy()
            yield batch.rows, batch.targets.numpy(), found
    if len(wanted) and n_read == 0:
        raise TrainingError(f"None of the {len(wanted)} windows could be read. The first: {reason}")


def seconds_per_crop(
    model: Any, side_px: int, settings: PredictSettings | None = None, *, windows: int = 8
) -> float:
    """Measure the time a network needs for 2048 x 2048 px, without reading, cutting and counting.

    Parameters
    ----------
    model
        The network.
    side_px
        Side of its windows, px.
    settings
        Device, precision, batch size.
    windows
        Number of windows to measure, after one batch to warm up.

    Returns
    -------
    float
        Seconds.
    """
    import torch

    s = settings or PredictSettings()
    device = choose_device(s.device)
    model.to(device, memory_format=memory_layout(device, is_dense=True)).eval()
    logits_of = logit_function(model)
    at_once = min(windows, s.batch_size)
    patches = torch.zeros((at_once, 3, side_px, side_px), device=device)

    def synchronised_time() -> float:
        # A GPU returns from a call before it has computed anything.
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    with torch.inference_mode(), autocast(device, half_dtype(device, s.precision)):
        logits_of(patches)
        started = synchronised_time()
        for _ in range(max(1, windows // at_once)):
            logits_of(patches)
        seconds = synchronised_time() - started
    n = at_once * max(1, windows // at_once)
    return float(seconds / n * (_CROP_PX / side_px) ** 2)
