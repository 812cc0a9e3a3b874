"""How well a segmenter names the pixels of labelled windows, all together and by score; and how fast it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError
from qupath_her2.learning.dataset import PatchReader, Preparation, TargetReader, batch_rows, read_batches
from qupath_her2.learning.device import autocast, choose_device, half_dtype, memory_layout
from qupath_her2.learning.inference.forward import Forward
from qupath_her2.learning.metrics.pixel_counts import PixelTally
from qupath_her2.learning.train.pixel_losses import UNKNOWN
from qupath_her2.models.card import ModelCard, check_patch_scale
from qupath_her2.models.settings import PredictSettings

if TYPE_CHECKING:
    from qupath_her2.patches.manifest import PatchManifest

__all__ = ["MONTE_CARLO_SAMPLES", "logit_function", "sample_pixels", "seconds_per_crop", "tally_pixels"]

#: Nets drawn by dropout for one answer of Bayesian SegNet; its authors find little gain beyond 6 (figure 3 there).
MONTE_CARLO_SAMPLES = 8
#: Side of the crops that the time is given for, px: the images of Saha & Chakraborty 2018.
_CROP_PX = 2048


def logit_function(model: Any, samples: int = MONTE_CARLO_SAMPLES) -> Callable[[Any], Any]:
    """Return what turns normalised patches into logits as the network is meant to be asked.

    Of ``bayesian-segnet`` that is the logarithm of the mean probability of `samples` nets drawn by dropout
    (`models.unet_segnet.monte_carlo_dropout`); of all others the network itself.
    """
    if model.model_name != "bayesian-segnet":
        answer: Callable[[Any], Any] = model
        return answer
    from qupath_her2.models.unet_segnet import monte_carlo_dropout

    def mean_of_nets(patches: Any) -> Any:
        mean, _ = monte_carlo_dropout(model, patches, samples)
        return mean.clamp(min=1e-8).log()

    return mean_of_nets


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
    """Ask a segmenter about labelled windows and count what it says.

    Parameters
    ----------
    model, card
        The network; put into evaluation mode on the device of `settings`.
    manifest, pixels, targets
        The windows, row by row alike.
    settings
        Device, precision, windows at once.
    scores
        HER2 score of each image of the manifest, the groups of the tally; None makes one group.
    progress
        Called with (windows done, windows).

    Raises
    ------
    TrainingError
        There are windows and none of them could be read.
    ModelError
        The windows are of another scale or size than the network's.
    """
    tally = PixelTally(card.class_names)
    groups = [""] * len(manifest.images) if scores is None else scores
    done = 0
    for rows, truth, found in _named(model, card, manifest, pixels, targets, settings, None):
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
    """Return what a segmenter says of known pixels, evenly taken from windows, for `fit_temperature`.

    Parameters
    ----------
    model, card, manifest, pixels, targets, settings
        See `tally_pixels`.
    rows
        int64 (n,), the windows to look at.
    most
        About as many pixels.

    Returns
    -------
    tuple[NDArray[np.float32], NDArray[np.int16]]
        float32 (m, C) and int16 (m,)
    """
    known_px = int(targets.pixel_counts()[rows].sum())
    step = max(1, known_px // most)
    probabilities, labels = [], []
    for _, truth, found in _named(model, card, manifest, pixels, targets, settings, rows):
        is_known = truth != UNKNOWN
        probabilities.append(found.transpose(0, 2, 3, 1)[is_known][::step])
        labels.append(truth[is_known][::step].astype(np.int16))
    return np.concatenate(probabilities), np.concatenate(labels)


def _named(
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
                # Nets drawn by dropout are the same each time.
                torch.manual_seed(number)
                logits = forward(batch.patches.to(device), batch.rows) / card.temperature
                found = torch.softmax(logits, 1).cpu().numpy()
            yield batch.rows, batch.targets.numpy(), found
    if len(wanted) and n_read == 0:
        raise TrainingError(f"None of the {len(wanted)} windows could be read. The first: {reason}")


def seconds_per_crop(
    model: Any, side_px: int, settings: PredictSettings | None = None, *, windows: int = 8
) -> float:
    """Return the seconds a network takes for 2048 x 2048 px in windows of `side_px`, from `windows` of them.

    Reading, cutting and counting are not in it. One batch goes ahead unmeasured.
    """
    import torch

    s = settings or PredictSettings()
    device = choose_device(s.device)
    model.to(device, memory_format=memory_layout(device, is_dense=True)).eval()
    ask = logit_function(model)
    at_once = min(windows, s.batch_size)
    patches = torch.zeros((at_once, 3, side_px, side_px), device=device)

    def waited() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    with torch.inference_mode(), autocast(device, half_dtype(device, s.precision)):
        ask(patches)
        begun = waited()
        for _ in range(max(1, windows // at_once)):
            ask(patches)
        seconds = waited() - begun
    n = at_once * max(1, windows // at_once)
    return float(seconds / n * (_CROP_PX / side_px) ** 2)
