"""InstanSeg as cell detector: the pretrained model ``brightfield_nuclei`` (Goldsborough et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from qupath_her2.cells.detectors.intensity import intensity_range, scaled
from qupath_her2.cells.detectors.label_image import nuclei_from_labels
from qupath_her2.cells.nuclei.detection import Nuclei, Tile

__all__ = ["InstanSegDetector"]

_MODEL = "brightfield_nuclei"
#: Percentiles of InstanSeg's own `percentile_normalize`.
_PERCENTILES = (0.1, 99.9)


def _pretrained() -> Any:
    from instanseg import InstanSeg

    return InstanSeg(_MODEL, verbosity=0)


@dataclass(frozen=True, slots=True, eq=False)
class InstanSegDetector:
    """Nuclei by InstanSeg; weights are downloaded by InstanSeg itself at the first use.

    Attributes
    ----------
    model
        An `instanseg.InstanSeg`, which rescales to its own pixel size.
    limits
        RGB values mapped to 0 and 1, from `prepared`.
    """

    model: Any = field(default_factory=_pretrained)
    limits: tuple[float, float] = (0.0, 255.0)

    @property
    def name(self) -> str:
        """Name and version, saved with the run."""
        return f"instanseg {version('instanseg-torch')} {_MODEL}"

    def prepared(self, samples: Sequence[Tile]) -> InstanSegDetector:
        """Return the detector set to the intensity range of an image."""
        return replace(self, limits=intensity_range(samples, *_PERCENTILES))

    def detect(self, tile: Tile) -> Nuclei:
        """Find the nuclei of a tile."""
        picture = np.ascontiguousarray(scaled(tile.rgb, self.limits).transpose(2, 0, 1))
        # Normalised above by the range of the image; InstanSeg would do it by that of the tile.
        labels = self.model.eval_small_image(
            picture, tile.planes.um_px, normalise=False, return_image_tensor=False, target="nuclei"
        )
        return nuclei_from_labels(np.asarray(labels.cpu()).reshape(tile.rgb.shape[:2]).astype(np.int32))
