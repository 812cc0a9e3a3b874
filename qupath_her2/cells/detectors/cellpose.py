"""Cellpose as cell detector: its default model, shown the haematoxylin of a tile (Pachitariu & Stringer)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from qupath_her2.cells.detectors.label_image import nuclei_from_labels
from qupath_her2.cells.nuclei.detection import Nuclei, Tile

__all__ = ["CellposeDetector"]

#: Percentiles of Cellpose's own normalisation.
_PERCENTILES = (1.0, 99.0)
#: Mean diameter of a tumour nucleus in breast cancer, µm; Cellpose scales images by it.
_NUCLEUS_UM = 9.0


def _pretrained() -> Any:
    from cellpose.models import CellposeModel

    return CellposeModel(gpu=True)


@dataclass(frozen=True, slots=True, eq=False)
class CellposeDetector:
    """Nuclei by Cellpose; weights are downloaded by Cellpose itself at the first use.

    The general model outlines whole cells where it sees membranes, so it is shown the haematoxylin alone.

    Attributes
    ----------
    model
        A `cellpose.models.CellposeModel`.
    limits
        Haematoxylin densities mapped to 0 and 1, from `prepared`.
    """

    model: Any = field(default_factory=_pretrained)
    limits: tuple[float, float] = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Name and version, saved with the run."""
        return f"cellpose {version('cellpose')}"

    def prepared(self, samples: Sequence[Tile]) -> CellposeDetector:
        """Return the detector set to the haematoxylin range of an image."""
        if not samples:
            return self
        values = np.concatenate([sample.planes.hematoxylin.reshape(-1) for sample in samples])
        low, high = (float(value) for value in np.percentile(values, _PERCENTILES))
        return replace(self, limits=(low, max(high, low + 1e-3)))

    def detect(self, tile: Tile) -> Nuclei:
        """Find the nuclei of a tile."""
        low, high = self.limits
        picture = (tile.planes.hematoxylin - np.float32(low)) / np.float32(high - low)
        # Normalised by the range of the image above; Cellpose would do it by that of the tile.
        masks, *_ = self.model.eval(picture, diameter=_NUCLEUS_UM / tile.planes.um_px, normalize=False)
        return nuclei_from_labels(masks)
