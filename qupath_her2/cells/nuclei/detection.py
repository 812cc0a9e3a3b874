"""Finding nuclei: one Protocol for every detector, and the classical one that needs no weights.

The classical detector proposes blobs (`seeds`), outlines each twice (`contours`), rates every outline by small
regression trees (`candidates`, `trees`), lets the best of rivals stand (`suppression`) and drops what is no nucleus:
too small, rated too low, browner than its surroundings (a clump of DAB), or grey (a red cell). Ratings compare with
the image's own clear nuclei: counterstains differ by a factor of three between laboratories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.candidates import NUCLEUS_FEATURES, Candidates, mean_edge, nucleus_features
from qupath_her2.cells.nuclei.contours import ContourSettings, outline_seeds
from qupath_her2.cells.nuclei.seeds import SeedSettings, find_seeds
from qupath_her2.cells.nuclei.suppression import keep_best
from qupath_her2.cells.nuclei.trees import Trees, load_trees, predict
from qupath_her2.cells.stain_planes import Planes

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
    min_area_um2
        Smallest nucleus.
    min_rating
        Lowest rating kept; the trees' guess of how well an outline fits a nucleus, 0 for an intersection
        over union of 0.25 and less, 1 for 0.75 and more.
    full_area_um2, size_growth
        Among rivals ratings count ``(area / full_area_um2) ** size_growth``, at most once:
        a piece of a nucleus must be clearly better than the whole to win.
    min_hematoxylin_share
        Haematoxylin inside, as a share of that of the image's clear nuclei (75th percentile):
        a hole between fibres or a gap in the cytoplasm has an edge too, but no haematoxylin of its own.
    max_dab_step_od
        DAB inside may exceed DAB around by this much; more is a brown clump.
    max_grey_share
        DAB inside as a share of haematoxylin inside, where DAB also exceeds its surroundings: grey
        objects (red cells) unmix as both.
    competition_um
        Contours farther apart never compete.
    """

    min_area_um2: float = 8.0
    min_rating: float = 0.22
    full_area_um2: float = 90.0
    size_growth: float = 0.25
    min_hematoxylin_share: float = 0.35
    max_dab_step_od: float = 0.0
    min_brown_od: float = 0.12
    max_grey_share: float = 0.55
    min_grey_step_od: float = 0.02
    competition_um: float = 16.0
    seeds: SeedSettings = field(default_factory=SeedSettings)
    contours: ContourSettings = field(default_factory=ContourSettings)


TREES_FILE = "nucleus_trees.npz"


@lru_cache(maxsize=1)
def _rating_trees() -> Trees:
    return load_trees(TREES_FILE, ("quality",), NUCLEUS_FEATURES)["quality"]


def _looks_blue(
    hematoxylin: NDArray[np.float32], dab: NDArray[np.float32], s: DetectionSettings
) -> NDArray[np.bool_]:
    """Tell nuclei from brown clumps and grey red cells."""
    dab_inside = dab[:, 0]
    step = dab_inside - dab[:, 1]
    brown = (dab_inside > s.min_brown_od) & (step > s.max_dab_step_od)
    grey = (dab_inside > s.max_grey_share * hematoxylin[:, 0]) & (step > s.min_grey_step_od)
    blue: NDArray[np.bool_] = ~(brown | grey)
    return blue


@dataclass(frozen=True, slots=True)
class ClassicalDetector:
    """The built-in detector.

    `strong_edge_od`, `strong_hematoxylin_od` : the image's own measures of a clear nucleus; those of a usual
    counterstain until `prepared`.
    """

    settings: DetectionSettings = field(default_factory=DetectionSettings)
    strong_edge_od: float = 0.07
    strong_hematoxylin_od: float = 0.12

    @property
    def name(self) -> str:
        """Name and version, saved with the run."""
        return "classical 2"

    def prepared(self, samples: Sequence[Tile]) -> ClassicalDetector:
        """Measure how strongly nuclei stand out in this image.

        Parameters
        ----------
        samples
            Spread over the scored regions; without any, or with nothing clear in them, a usual counterstain is
            taken for granted.
        """
        if not samples:
            return self
        found = [self._outlined(tile) for tile in samples]
        edge = np.concatenate([mean_edge(part) for part in found])
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
        found = self._outlined(tile)
        possible = (found.area_um2 >= s.min_area_um2) & (mean_edge(found) >= s.contours.min_edge_od)
        found = found.take(possible & self.is_blue(found.hematoxylin, found.dab))
        rating = predict(
            _rating_trees(), nucleus_features(found, self.strong_edge_od, self.strong_hematoxylin_od)
        )
        good = rating >= s.min_rating
        found, rating = found.take(good), rating[good]
        size = np.clip(found.area_um2 / s.full_area_um2, 0.1, 1.0) ** np.float32(s.size_growth)
        reach_px = s.competition_um / tile.planes.um_px
        found = found.take(keep_best(found.centre, found.radii, rating * size, reach_px))
        return Nuclei(found.centre, found.radii)

    def is_blue(self, hematoxylin: NDArray[np.float32], dab: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell nuclei from gaps without haematoxylin, brown clumps and grey red cells.

        Parameters
        ----------
        hematoxylin, dab
            float32 (N, 2), mean inside and around, OD.

        Returns
        -------
        NDArray[np.bool_]
            bool (N)
        """
        s = self.settings
        filled = hematoxylin[:, 0] >= s.min_hematoxylin_share * self.strong_hematoxylin_od
        return np.asarray(filled & _looks_blue(hematoxylin, dab, s))

    def _outlined(self, tile: Tile) -> Candidates:
        """Outline every blob of the tile."""
        planes = tile.planes
        seeds, _ = find_seeds(planes.seed, planes.um_px, self.settings.seeds)
        return outline_seeds(planes, seeds, self.settings.contours)
