"""Pixel network: runs a segmenter over rows of windows and blends their outputs.

Finished rows of pixels are stored as 8-bit values; besides them, only one row of windows is kept in memory.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ModelError
from qupath_her2.learning.device import autocast, choose_device, half_dtype, is_out_of_memory, memory_layout
from qupath_her2.learning.segmentation.windows import WindowLattice, window_lattice
from qupath_her2.models.card import ModelCard
from qupath_her2.models.optional import need
from qupath_her2.models.pixel_map import LARGEST_DEVIATION, PixelMap
from qupath_her2.models.settings import Precision, SegmentSettings
from qupath_her2.patches.targets.targets import TARGET_CLASSES, TUMOUR_TARGET_CLASSES
from qupath_her2.patches.tasks import SEGMENTATION
from qupath_her2.records import Box

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PixelNetwork", "check_segmenter"]

_BAYESIAN = "bayesian-segnet"


def check_segmenter(card: ModelCard, where: str) -> None:
    """Check that a network segments membrane, nucleus and background in images without stain normalisation.

    Parameters
    ----------
    card
        Card of the network.
    where
        Origin of the card, for the message.

    Raises
    ------
    ModelError
        Task, classes, stain normalisation or scale do not allow it to find cells.
    """
    if card.task != SEGMENTATION.name or card.class_names not in (TARGET_CLASSES, TUMOUR_TARGET_CLASSES):
        raise ModelError(
            f"{where} cannot find cells: its card says task '{card.task}' with classes "
            f"{', '.join(card.class_names)}; needed is '{SEGMENTATION.name}' with "
            f"{', '.join(TARGET_CLASSES)}, with or without {TUMOUR_TARGET_CLASSES[-1]}. Name the checkpoint of a "
            "segmenter: qupath-her2 models PROJECT lists them."
        )
    if card.stain is not None:
        raise ModelError(
            f"{where} was trained on images normalised by {card.stain}, but cells are found in images without stain "
            "normalisation. Train it without."
        )
    if not math.isfinite(card.pixel_size_um):
        raise ModelError(
            f"{where} states no scale (pixel_size_um). Train it on images of one scale, e.g. 0.25 µm/px."
        )


class PixelNetwork:
    """A segmenter on its device, shared by all slides of a batch; threads use it one at a time.

    Attributes
    ----------
    card
        Its card.
    lattice
        Lattice of its windows.
    is_bayesian
        Its output is the mean over several dropout samples.
    at_once
        Windows per forward pass; halved automatically, and permanently, when the device's memory is full.
    """

    def __init__(
        self,
        model: Any,
        card: ModelCard,
        settings: SegmentSettings | None = None,
        *,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> None:
        """Move `model`, from `models.load_checkpoint`, to the device.

        Raises
        ------
        ModelError
            The network is not a segmenter of membranes and nuclei.
        MissingExtraError
            torch is not installed.
        """
        need("torch")
        check_segmenter(card, f"Model '{card.model}'")
        self.card = card
        self.settings = settings or SegmentSettings()
        self.lattice: WindowLattice = window_lattice(card.patch_size_px, self.settings)
        self.is_bayesian = card.model == _BAYESIAN
        self.at_once = self.settings.batch_size
        self._device = choose_device(device)
        self._half = half_dtype(self._device, precision)
        self._model = model.to(self._device, memory_format=memory_layout(self._device, is_dense=True)).eval()
        # Slides are scored by several threads, but one network fills the device by itself.
        self._lock = threading.Lock()

    def blend(self, rgb: NDArray[np.uint8], box: Box, columns: range, rows: range) -> PixelMap:
        """Run the network on a rectangle of windows and blend their outputs.

        Parameters
        ----------
        rgb
            uint8 (H, W, 3) RGB, the area of all windows of `columns` and `rows`.
        box
            The part to return, network pixels from the image's corner.
        columns, rows
            Numbers of the windows, see `WindowLattice.covering`.

        Returns
        -------
        PixelMap
            Class probabilities of `box`.
        """
        import torch

        with self._lock, torch.inference_mode():
            return self._blend(rgb, box, columns, rows)

    def _blend(self, rgb: NDArray[np.uint8], box: Box, columns: range, rows: range) -> PixelMap:
        import torch

        side, stride = self.lattice.side, self.lattice.stride
        left, top = columns.start * stride, rows.start * stride
        n_classes = len(self.card.class_names)
        n_maps = n_classes + self.is_bayesian
        out = np.empty((n_maps, box.height, box.width), np.uint8)
        weight = torch.from_numpy(self.lattice.weight).to(self._device)
        # The product of weights that add up to 1 along each axis adds up to 1 in the plane.
        weight = weight[:, None] * weight[None, :]
        strip = torch.zeros((n_maps, side, rgb.shape[1]), device=self._device)
        shared = side - stride
        for row in rows:
            area = rgb[row * stride - top : row * stride - top + side]
            # The strip moves down: the lower part of the windows above overlaps the upper part of these.
            strip = torch.cat((strip[:, stride:], torch.zeros_like(strip[:, shared:])), dim=1)
            windows = [area[:, c * stride - left : c * stride - left + side] for c in columns]
            for column, output in zip(columns, self._outputs(windows), strict=True):
                x = column * stride - left
                strip[:, :, x : x + side] += output * weight
            # These rows are complete, as no window below reaches them; of the last windows, all rows are.
            y = row * stride
            first, last = max(y, box.y), min(y + (side if row == rows[-1] else stride), box.y + box.height)
            if first < last:
                done = strip[:, first - y : last - y, box.x - left : box.x - left + box.width]
                # Rounded to nearest; a sum of weights may exceed 1 by a last digit.
                whole = (done * 255 + 0.5).clamp_(0, 255).to(torch.uint8)
                out[:, first - box.y : last - box.y] = whole.cpu().numpy()
        probabilities = np.ascontiguousarray(np.moveaxis(out[:n_classes], 0, -1))
        return PixelMap(probabilities, out[-1] if self.is_bayesian else None)

    def _outputs(self, windows: list[NDArray[np.uint8]]) -> Iterator[Tensor]:
        """Yield the class probabilities of each window, float32 (C, side, side) on the device.

        The last map of a Bayesian network, after those of the classes, is its standard deviation, as a share of
        `LARGEST_DEVIATION`.
        """
        import torch

        start = 0
        while start < len(windows):
            stop = min(len(windows), start + self.at_once)
            try:
                found = self._forward(np.stack(windows[start:stop]))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if stop - start == 1:
                    raise ModelError(
                        f"The memory of {self._device} is full with a single window of {self.lattice.side} px in the "
                        'network. Run it with device = "cpu" in her2.toml\'s [predict], or free memory used by other '
                        "programs."
                    ) from error
                self.at_once = (stop - start + 1) // 2
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            yield from found
            start = stop

    def _forward(self, windows: NDArray[np.uint8]) -> Tensor:
        """Return the maps of windows, uint8 (n, side, side, 3); see `_outputs`."""
        import torch

        card, s = self.card, self.settings
        seen = torch.from_numpy(windows).to(self._device).permute(0, 3, 1, 2).float().div_(255)
        mean, std = (torch.tensor(v, device=self._device).view(1, 3, 1, 1) for v in (card.mean, card.std))
        seen = ((seen - mean) / std).contiguous(memory_format=memory_layout(self._device, is_dense=True))
        if not self.is_bayesian:
            return self._softmax(seen)
        from qupath_her2.models.unet_segnet import dropout_sample

        # Sums instead of a stack: memory does not grow with the number of samples.
        total, squares = torch.zeros(()), torch.zeros(())
        for sample in range(s.samples):
            with dropout_sample(self._model, s.seed + sample):
                sampled = self._softmax(seen)
            total, squares = total.to(sampled) + sampled, squares.to(sampled) + sampled**2
        average = total / s.samples
        # Differences of rounded sums can be slightly negative.
        variance = (squares / s.samples - average**2).mean(dim=1, keepdim=True).clamp_(min=0)
        return torch.cat((average, variance.sqrt() / LARGEST_DEVIATION), dim=1)

    def _softmax(self, seen: Tensor) -> Tensor:
        import torch

        with autocast(self._device, self._half):
            logits = self._model(seen)
        return torch.softmax(logits.float() / self.card.temperature, dim=1)
