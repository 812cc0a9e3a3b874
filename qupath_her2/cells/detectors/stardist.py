"""StarDist as cell detector: the pretrained model ``2D_versatile_he`` (Schmidt et al., MICCAI 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from qupath_her2.cells.detectors.intensity import intensity_range, scaled
from qupath_her2.cells.detectors.label_image import nuclei_from_labels
from qupath_her2.cells.nuclei.detection import Nuclei, Tile

__all__ = ["StarDistDetector"]

_MODEL = "2D_versatile_he"
#: Pixel size that the model was trained at: 20x images of MoNuSeg and TNBC at about 0.5 µm/px.
_MODEL_UM_PX = 0.5
#: Percentiles of StarDist's own examples.
_PERCENTILES = (1.0, 99.8)


def _pretrained() -> Any:
    from stardist.models import StarDist2D

    return StarDist2D.from_pretrained(_MODEL)


@dataclass(frozen=True, slots=True, eq=False)
class StarDistDetector:
    """Nuclei by StarDist; weights are downloaded by StarDist itself at the first use.

    Attributes
    ----------
    model
        A `stardist.models.StarDist2D`.
    limits
        RGB values mapped to 0 and 1, from `prepared`.
    """

    model: Any = field(default_factory=_pretrained)
    limits: tuple[float, float] = (0.0, 255.0)

    @property
    def name(self) -> str:
        """Name and version, saved with the run."""
        return f"stardist {version('stardist')} {_MODEL}"

    def prepared(self, samples: Sequence[Tile]) -> StarDistDetector:
        """Return the detector set to the intensity range of an image."""
        return replace(self, limits=intensity_range(samples, *_PERCENTILES))

    def detect(self, tile: Tile) -> Nuclei:
        """Find the nuclei of a tile."""
        labels, _ = self.model.predict_instances(
            scaled(tile.rgb, self.limits), scale=tile.planes.um_px / _MODEL_UM_PX
        )
        return nuclei_from_labels(labels)
