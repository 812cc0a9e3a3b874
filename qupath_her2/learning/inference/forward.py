"""Forward pass of a trained network: in 16-bit precision, in parts that fit into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ModelError
from qupath_her2.learning.device import autocast, is_out_of_memory
from qupath_her2.learning.preprocessing import Preparation

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Forward"]


@dataclass(slots=True, eq=False)
class Forward:
    """A network ready for prediction.

    Attributes
    ----------
    net
        The network, in evaluation mode, on the device.
    prepare
        Preprocessing of 8-bit patches.
    device, half
        Device, and 16-bit type of the arithmetic (None: float32).
    at_once
        Patches per forward pass; halved automatically, and permanently, when the memory is full.
    pad
        Fill the last part of a batch up to `at_once` with blank patches, for compiled networks.
    """

    net: Any
    prepare: Preparation
    device: torch.device
    half: torch.dtype | None
    at_once: int
    pad: bool = False

    def __call__(self, patches: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return the logits of patches.

        Parameters
        ----------
        patches
            uint8 (n, side, side, 3) RGB, on the device.
        rows
            int64 (n,), their rows in the manifest.

        Returns
        -------
        Tensor
            float32 (n, C), or (n, C, side, side) for segmenters, on the device.

        Raises
        ------
        ModelError
            A single patch exceeds the device's memory.
        """
        import torch

        done: list[Tensor] = []
        start = 0
        while start < len(rows):
            stop = min(len(rows), start + self.at_once)
            try:
                done.append(self._part(patches[start:stop], rows[start:stop]))
                start = stop
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if self.at_once == 1:
                    raise ModelError(
                        f"The memory of {self.device} is full with a single patch of {patches.shape[1]} px in the "
                        "network. Run it with device cpu, or free memory used by other programs."
                    ) from error
                self.at_once = (min(self.at_once, stop - start) + 1) // 2
                # torch keeps the blocks of the larger attempt; they would be missing for the smaller one.
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
        return torch.cat(done)

    def _part(self, patches: Tensor, rows: NDArray[np.int64]) -> Tensor:
        import torch

        n = len(rows)
        # A compiled network is compiled anew, for minutes, when the shape of its input changes.
        if self.pad and n < self.at_once:
            blank = patches.new_zeros((self.at_once - n, *patches.shape[1:]))
            patches, rows = (
                torch.cat([patches, blank]),
                np.append(rows, np.repeat(rows[:1], self.at_once - n)),
            )
        seen = self.prepare(patches, rows)
        with autocast(self.device, self.half):
            logits: Tensor = self.net(seen)
        return logits[:n].float()
