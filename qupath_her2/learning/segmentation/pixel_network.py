"""A segmenter at work: rows of windows go through the network, and their answers are blended as they come.

What is finished leaves as 8-bit values, and a row of windows is all that is held besides.
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
from qupath_her2.patches.targets.targets import TARGET_CLASSES
from qupath_her2.patches.tasks import SEGMENTATION
from qupath_her2.records import Box

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PixelNetwork", "check_segmenter"]

_BAYESIAN = "bayesian-segnet"


def check_segmenter(card: ModelCard, where: str) -> None:
    """Raise ModelError unless a network names membrane, nucleus and background of images as they are.

    Parameters
    ----------
    card
        Of the network.
    where
        Whose card it is, for the message.
    """
    if card.task != SEGMENTATION.name or card.class_names != TARGET_CLASSES:
        raise ModelError(
            f"{where} cannot find cells: its card says task '{card.task}' with classes "
            f"{', '.join(card.class_names)}; needed is '{SEGMENTATION.name}' with "
            f"{', '.join(TARGET_CLASSES)}. Name the checkpoint of a segmenter: qupath-her2 models PROJECT lists them."
        )
    if card.stain is not None:
        raise ModelError(
            f"{where} was trained on images normalised by {card.stain}; cells are found in images as they are. "
            "Train it without a normalisation."
        )
    if not math.isfinite(card.pixel_size_um):
        raise ModelError(
            f"{where} names no scale (pixel_size_um). Train it on images of one, e.g. 0.25 µm/px."
        )


class PixelNetwork:
    """A segmenter on its device, ready to look at the slides of a batch; one thread at a time.

    Attributes
    ----------
    card
        What it was trained for. lattice : how its windows lie. is_bayesian : it answers as several drawn nets.
    at_once
        Windows in the network together; halved by itself when the device's memory is full, and stays so.
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
        """Move `model`, of `models.load_checkpoint`, to the device.

        Raises
        ------
        ModelError
            The network is no segmenter of membranes and nuclei.
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
        self._lock = threading.Lock()

    def blend(self, rgb: NDArray[np.uint8], box: Box, columns: range, rows: range) -> PixelMap:
        """Ask about all windows of a image and blend their answers.

        Parameters
        ----------
        rgb
            uint8, the ground of all windows of `columns` and `rows`.
        box
            The part wanted, network pixels from the image's corner.
        columns, rows
            Windows of the lattice, see `WindowLattice.covering`.
        """
        import torch

        with self._lock, torch.inference_mode():
            return self._blend(rgb, box, columns, rows)

    def _blend(self, rgb: NDArray[np.uint8], box: Box, columns: range, rows: range) -> PixelMap:
        import torch

        side, stride = self.lattice.side, self.lattice.stride
        left, top = columns.start * stride, rows.start * stride
        n_maps = len(TARGET_CLASSES) + self.is_bayesian
        out = np.empty((n_maps, box.height, box.width), np.uint8)
        weight = torch.from_numpy(self.lattice.weight).to(self._device)
        weight = weight[:, None] * weight[None, :]
        strip = torch.zeros((n_maps, side, rgb.shape[1]), device=self._device)
        shared = side - stride
        for row in rows:
            ground = rgb[row * stride - top : row * stride - top + side]
            # The lower rows of the windows above are the upper rows of these.
            strip = torch.cat((strip[:, stride:], torch.zeros_like(strip[:, shared:])), dim=1)
            windows = [ground[:, c * stride - left : c * stride - left + side] for c in columns]
            for column, answer in zip(columns, self._answers(windows), strict=True):
                x = column * stride - left
                strip[:, :, x : x + side] += answer * weight
            # No window below reaches these rows; of the last row of windows, all that is wanted.
            y = row * stride
            first, last = max(y, box.y), min(y + (side if row == rows[-1] else stride), box.y + box.height)
            if first < last:
                done = strip[:, first - y : last - y, box.x - left : box.x - left + box.width]
                whole = (done * 255 + 0.5).clamp_(0, 255).to(torch.uint8)
                out[:, first - box.y : last - box.y] = whole.cpu().numpy()
        probabilities = np.ascontiguousarray(np.moveaxis(out[: len(TARGET_CLASSES)], 0, -1))
        return PixelMap(probabilities, out[-1] if self.is_bayesian else None)

    def _answers(self, windows: list[NDArray[np.uint8]]) -> Iterator[Tensor]:
        """Yield what the network says of each window, float32 (3, side, side) on the device.

        The fourth map of a Bayesian network is its standard deviation, 1 = the largest there can be.
        """
        import torch

        start = 0
        while start < len(windows):
            stop = min(len(windows), start + self.at_once)
            try:
                found = self._ask(np.stack(windows[start:stop]))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if stop - start == 1:
                    raise ModelError(
                        f"The memory of {self._device} is full with a single window of {self.lattice.side} px in the "
                        'network. Run it with device = "cpu" in her2.toml\'s [predict], or free the memory that '
                        "others use."
                    ) from error
                self.at_once = (stop - start + 1) // 2
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            yield from found
            start = stop

    def _ask(self, windows: NDArray[np.uint8]) -> Tensor:
        """Return what the network says of windows (n, side, side, 3); see `_answers`."""
        import torch

        card, s = self.card, self.settings
        seen = torch.from_numpy(windows).to(self._device).permute(0, 3, 1, 2).float().div_(255)
        mean, std = (torch.tensor(v, device=self._device).view(1, 3, 1, 1) for v in (card.mean, card.std))
        seen = ((seen - mean) / std).contiguous(memory_format=memory_layout(self._device, is_dense=True))
        if not self.is_bayesian:
            return self._softmax(seen)
        from qupath_her2.models.unet_segnet import dropout_sample

        total, squares = torch.zeros(()), torch.zeros(())
        for sample in range(s.samples):
            with dropout_sample(self._model, s.seed + sample):
                said = self._softmax(seen)
            total, squares = total.to(said) + said, squares.to(said) + said**2
        average = total / s.samples
        variance = (squares / s.samples - average**2).mean(dim=1, keepdim=True).clamp_(min=0)
        return torch.cat((average, variance.sqrt() / LARGEST_DEVIATION), dim=1)

    def _softmax(self, seen: Tensor) -> Tensor:
        import torch

        with autocast(self._device, self._half):
            logits = self._model(seen)
        return torch.softmax(logits.float() / self.card.temperature, dim=1)
