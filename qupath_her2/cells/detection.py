"""Finding nuclei: one Protocol for every detector, and the classical one that needs no weights.

The classical detector proposes blobs (`seeds`), outlines each (`contours`), lets the best of rivals stand
(`suppression`) and drops what is no nucleus: too small, too faint against the image's own nuclei, browner than its
surroundings (a clump of DAB), or grey (a red cell). Thresholds on haematoxylin follow the image: counterstains
differ by a factor of three between laboratories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.contours import Candidates, ContourSettings, outline_seeds
from qupath_her2.cells.planes import Planes
from qupath_her2.cells.seeds import SeedSettings, find_seeds
from qupath_her2.cells.suppression import keep_best

__all__ = ["CellDetector", "ClassicalDetector", "DetectionSettings", "Nuclei", "Tile"]


@dataclass(frozen=True, slots=True)
class Tile:
    """A piece of an image on the working grid: `rgb` uint8 (H, W, 3) and its `planes`."""

    rgb: NDArray[np.uint8]
    planes: Planes


@dataclass(frozen=True, slots=True)
class Nuclei:
    """N nuclei of a tile: `centre` float64 (N, 2) and `radii` float32 (N, 32), pixels of the tile's working grid.

    A detector that gives polygons or masks passes radii measured from their centroids.
    """

    centre: NDArray[np.float64]
    radii: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.centre)


class CellDetector(Protocol):
    """What any nucleus detector offers: classical, InstanSeg, StarDist, Cellpose, or a network of our own."""

    @property
    def name(self) -> str:
        """Name and version, saved with the run."""
        ...

    def prepared(self, samples: Sequence[Tile]) -> CellDetector:
        """Return a detector set to an image, of which `samples` are evenly spread pieces."""
        ...

    def detect(self, tile: Tile) -> Nuclei:
        """Find the nuclei of a tile; the same place must give the same answer in every tile that holds it."""
        ...


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """What counts as a nucleus.

    Attributes
    ----------
    min_area_um2 : smallest nucleus.
    full_area_um2 : contours up to this area are preferred by size when they compete.
    min_edge_share : fall of evidence across the contour, mean over directions, as a share of the image's strong
        nuclei (their 75th percentile); never less than `contours.min_edge_od`.
    min_weak_edge_share : the same share for the weakest quarter of directions against the nucleus's own mean.
    min_hematoxylin_share : haematoxylin inside, as a share of that of the image's strong nuclei (75th percentile):
        a hole between fibres or a gap in the cytoplasm has an edge too, but no haematoxylin of its own.
    max_dab_step_od : DAB inside may exceed DAB around by this much; more is a brown clump.
    max_grey_share : DAB inside as a share of haematoxylin inside, where DAB also exceeds its surroundings: grey
        objects (red cells) unmix as both.
    competition_um : contours farther apart never compete.
    """

    min_area_um2: float = 8.0
    full_area_um2: float = 45.0
    min_edge_share: float = 0.25
    min_weak_edge_share: float = 0.25
    min_hematoxylin_share: float = 0.42
    max_dab_step_od: float = 0.0
    min_brown_od: float = 0.12
    max_grey_share: float = 0.55
    min_grey_step_od: float = 0.02
    competition_um: float = 16.0
    seeds: SeedSettings = field(default_factory=SeedSettings)
    contours: ContourSettings = field(default_factory=ContourSettings)


#: Fall of evidence above this counts as this: a strong DAB ring must not make a poor contour a good one.
_EDGE_LIMIT_OD = 0.15


def _edge_mean(found: Candidates) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = np.minimum(found.edge, _EDGE_LIMIT_OD).mean(1)
    return mean


def _weak_edge(found: Candidates) -> NDArray[np.float32]:
    quarter = found.edge.shape[1] // 4
    weak: NDArray[np.float32] = np.partition(found.edge, quarter, axis=1)[:, quarter]
    return weak


def _looks_blue(found: Candidates, s: DetectionSettings) -> NDArray[np.bool_]:
    """Tell nuclei from brown clumps and grey red cells."""
    dab_inside = found.dab[:, 0]
    step = dab_inside - found.dab[:, 1]
    brown = (dab_inside > s.min_brown_od) & (step > s.max_dab_step_od)
    grey = (dab_inside > s.max_grey_share * found.hematoxylin[:, 0]) & (step > s.min_grey_step_od)
    blue: NDArray[np.bool_] = ~(brown | grey)
    return blue


@dataclass(frozen=True, slots=True)
class ClassicalDetector:
    """The built-in detector.

    `strong_edge_od`, `strong_hematoxylin_od` : the image's own measures of a clear nucleus; 0 until `prepared`.
    """

    settings: DetectionSettings = field(default_factory=DetectionSettings)
    strong_edge_od: float = 0.0
    strong_hematoxylin_od: float = 0.0

    @property
    def name(self) -> str:
        """Name and version, saved with the run."""
        return "classical 1"

    def prepared(self, samples: Sequence[Tile]) -> ClassicalDetector:
        """Measure how strongly nuclei stand out in this image.

        Parameters
        ----------
        samples : spread over the scored regions; without any, absolute limits alone hold.
        """
        if not samples:
            return self
        found = [self._contours(tile) for tile in samples]
        edge = np.concatenate([_edge_mean(part) for part in found])
        hematoxylin = np.concatenate([part.hematoxylin[:, 0] for part in found])
        clear = edge > self.settings.contours.min_edge_od
        if not clear.any():
            return self
        return replace(
            self,
            strong_edge_od=float(np.percentile(edge[clear], 75)),
            strong_hematoxylin_od=float(np.percentile(hematoxylin[clear], 75)),
        )

    def detect(self, tile: Tile) -> Nuclei:
        """Find the nuclei of a tile."""
        s = self.settings
        found = self._contours(tile)
        if len(found) == 0:
            return Nuclei(np.zeros((0, 2)), found.radii)
        edge = _edge_mean(found)
        floor = max(s.contours.min_edge_od, s.min_edge_share * self.strong_edge_od)
        clear = (edge >= floor) & (_weak_edge(found) >= s.min_weak_edge_share * edge)
        blue = found.hematoxylin[:, 0] >= s.min_hematoxylin_share * self.strong_hematoxylin_od
        found = found.take(clear & blue & (found.area_um2 >= s.min_area_um2))
        return Nuclei(found.centre, found.radii)

    def _contours(self, tile: Tile) -> Candidates:
        """Outline every blob of the tile and keep the best of those that claim the same place."""
        s = self.settings
        planes = tile.planes
        seeds, _ = find_seeds(planes.seed, planes.um_px, s.seeds)
        found = outline_seeds(planes, seeds, s.contours)
        found = found.take(_looks_blue(found, s))
        size = np.sqrt(np.clip(found.area_um2 / s.full_area_um2, 0.1, 1.0))
        score = ((_edge_mean(found) + _weak_edge(found)) * size).astype(np.float32)
        return found.take(keep_best(found.centre, found.radii, score, s.competition_um / planes.um_px))
