"""Nucleus detection: the Protocol of all detectors, and the classical detector, which needs no deep network.

The classical detector proposes blobs (`seeds`), outlines each twice (`contours`), drops what is no nucleus (too small,
browner than its surroundings: a DAB clump; grey: a red blood cell), rates the other outlines by small regression trees
(`candidates`, `trees`) and keeps the best of competing ones (`suppression`). All thresholds are relative to the image's
own clear nuclei: counterstains differ by a factor of three between laboratories, and an absolute haematoxylin threshold
that suits one misses nearly all nuclei of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Annotated, Protocol

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.candidates import NUCLEUS_FEATURES, Candidates, mean_edge, nucleus_features
from qupath_her2.cells.nuclei.contours import ContourSettings, outline_seeds
from qupath_her2.cells.nuclei.seeds import SeedSettings, find_seeds
from qupath_her2.cells.nuclei.suppression import keep_best
from qupath_her2.cells.nuclei.trees import Trees, load_trees, predict
from qupath_her2.cells.stain_planes import Planes
from qupath_her2.setting_ranges import Density, Range, Share, check_order, check_settings

__all__ = ["CellDetector", "ClassicalDetector", "DetectionSettings", "Nuclei", "Tile"]


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of an image on the working grid: `rgb` uint8 (H, W, 3), and its stain `planes`."""

    rgb: NDArray[np.uint8]
    planes: Planes


@dataclass(frozen=True, slots=True)
class Nuclei:
    """N nuclei of a tile, as star-shaped contours; polygons or masks are converted to radii around their centroids.

    Attributes
    ----------
    centre
        float64 (N, 2), x, y, pixels of the tile; pixel centres lie at whole numbers.
    radii
        float32 (N, 32), pixels, angles counted from +x towards +y.
    """

    centre: NDArray[np.float64]
    radii: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.centre)


class CellDetector(Protocol):
    """Interface of nucleus detectors: the classical one, StarDist, InstanSeg, Cellpose, or any plug-in."""

    @property
    def name(self) -> str:
        """Name and version, saved with the run."""
        ...

    def prepared(self, samples: Sequence[Tile]) -> CellDetector:
        """Return a detector adapted to an image.

        Parameters
        ----------
        samples
            Evenly spread parts of the image.

        Returns
        -------
        CellDetector
            Used for all tiles of the image; may be the same object.
        """
        ...

    def detect(self, tile: Tile) -> Nuclei:
        """Detect the nuclei of a tile.

        A nucleus must come out the same in every tile that contains it with its surroundings; otherwise cells are lost
        or doubled where tiles meet.

        Parameters
        ----------
        tile
            Core and halo.

        Returns
        -------
        Nuclei
            All nuclei of the tile, those of the halo included.
        """
        ...


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """Criteria for nuclei.

    Attributes
    ----------
    min_area_um2
        Smallest nucleus.
    min_rating
        Lowest rating kept. The trees predict how well an outline fits a nucleus: 0 for an intersection over union of
        0.25 or less, 1 for 0.75 or more. On 26 crops of eight breast fields, each field left out of training, F1 is
        0.839, 0.844 and 0.843 at 0.34, 0.38 and 0.42, with 5.3, 4.5 and 4.0 false cells in stroma per 100; among pale
        crowded nuclei lower values find more.
    full_area_um2, size_growth
        Competing outlines are weighted by ``(area / full_area_um2) ** size_growth``, at most 1, so that part of a
        nucleus wins over the whole only where it fits clearly better.
    min_hematoxylin_share
        Smallest haematoxylin inside, relative to the image's clear nuclei (their median): a hole between fibres or
        a gap in the cytoplasm has an edge too, but no haematoxylin of its own.
    max_dab_step_od, min_brown_od
        An outline is a DAB clump where DAB inside is above `min_brown_od` and exceeds DAB around by more than
        `max_dab_step_od`.
    max_grey_share, min_grey_step_od
        An outline is grey (a red blood cell, which unmixes as both stains) where DAB inside is above this fraction of
        haematoxylin inside (more where the image's own nuclei are grey) and exceeds DAB around by
        more than `min_grey_step_od`.
    competition_um
        Outlines whose centres are farther apart never compete.
    seeds, contours
        Settings of the first two steps.
    """

    min_area_um2: Annotated[float, Range(0.5, 1000, "µm²")] = 8.0
    min_rating: Share = 0.38
    full_area_um2: Annotated[float, Range(1, 2000, "µm²")] = 90.0
    size_growth: Annotated[float, Range(0, 3)] = 0.25
    min_hematoxylin_share: Share = 0.35
    max_dab_step_od: Density = 0.0
    min_brown_od: Density = 0.12
    max_grey_share: Annotated[float, Range(0, 2)] = 0.55
    min_grey_step_od: Density = 0.02
    competition_um: Annotated[float, Range(1, 100, "µm")] = 16.0
    seeds: SeedSettings = field(default_factory=SeedSettings)
    contours: ContourSettings = field(default_factory=ContourSettings)

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "min_area_um2", "full_area_um2")


#: Edges of clear nuclei are above this fraction of the 95th percentile of all edges in the image. In stroma most
#: outlines are fibres: the 75th percentile of all of them is 0.4 to 1.1 of the edges of marked nuclei in six real
#: breast fields, the median above this fraction is 0.8 to 1.3 of them.
_CLEAR_EDGE_SHARE = 0.6
#: Edges below this are noise, OD: ten real fields and cores have 0.044 or more, drawn blank glass 0.013.
_PALEST_EDGE_OD = 0.018

#: Least haematoxylin by which DAB is divided for a hue, OD.
_HUE_FROM_OD = 0.03
#: An outline is grey only above this many times the DAB per haematoxylin of the image's clear nuclei. These have 0.1 to
#: 0.4 in eight of ten real fields and cores, red blood cells 0.87; 1.3 where the counterstain is grey, and 1.5 to 1.7
#: under 3+ membranes.
_GREY_MARGIN = 1.6

#: Trained by `tests.quality.nucleus_trees`.
TREES_FILE = "nucleus_trees.npz"


@lru_cache(maxsize=1)
def _rating_trees() -> Trees:
    # Read once per process, not once per tile.
    return load_trees(TREES_FILE, ("quality",), NUCLEUS_FEATURES)["quality"]


def _is_brown(dab: NDArray[np.float32], s: DetectionSettings) -> NDArray[np.bool_]:
    """Return which outlines are DAB clumps."""
    # Compared with the surroundings: a nucleus of a 3+ cell has DAB above and below it, but less than its membrane.
    brown: NDArray[np.bool_] = (dab[:, 0] > s.min_brown_od) & (dab[:, 0] - dab[:, 1] > s.max_dab_step_od)
    return brown


def _is_grey(
    hematoxylin: NDArray[np.float32], dab: NDArray[np.float32], limit: float, s: DetectionSettings
) -> NDArray[np.bool_]:
    """Return which outlines are as grey as red blood cells: more than `limit` DAB per haematoxylin."""
    inside, step = dab[:, 0], dab[:, 0] - dab[:, 1]
    grey: NDArray[np.bool_] = (inside > limit * hematoxylin[:, 0]) & (step > s.min_grey_step_od)
    return grey


@dataclass(frozen=True, slots=True)
class ClassicalDetector:
    """The built-in detector.

    Attributes
    ----------
    settings
        Criteria for nuclei.
    strong_edge_od, strong_hematoxylin_od
        Edge and haematoxylin of clear nuclei, OD: those of a typical counterstain until `prepared` measures the
        image's.
    nuclear_dab_share
        DAB per haematoxylin of clear nuclei, likewise.
    usual_hematoxylin_od
        75th percentile of the haematoxylin of all outlines, OD: the scale of `is_blue`, for nuclei from elsewhere.
    """

    settings: DetectionSettings = field(default_factory=DetectionSettings)
    strong_edge_od: float = 0.07
    strong_hematoxylin_od: float = 0.12
    nuclear_dab_share: float = 0.25
    usual_hematoxylin_od: float = 0.12

    @property
    def name(self) -> str:
        """Name and version, saved with the run."""
        return "classical 4"

    def prepared(self, samples: Sequence[Tile]) -> ClassicalDetector:
        """Measure how strongly nuclei stand out in an image.

        Parameters
        ----------
        samples
            Tiles spread over the scored regions; without any clear nuclei in them a typical counterstain is assumed.

        Returns
        -------
        ClassicalDetector
            The detector for that image.
        """
        if not samples:
            return self
        found = [self._outlined(tile) for tile in samples]
        edge = np.concatenate([mean_edge(part) for part in found])
        hematoxylin = np.concatenate([part.hematoxylin[:, 0] for part in found])
        dab = np.concatenate([part.dab[:, 0] for part in found])
        # Seeds are generous, so most outlines are noise; only those above the scanner's noise floor are counted.
        visible = edge > self.settings.contours.min_edge_od
        if not visible.any():
            return self
        clear = edge > _CLEAR_EDGE_SHARE * np.percentile(edge[visible], 95)
        # Blank glass: a typical counterstain is assumed, next to which noise is nothing.
        if np.median(edge[clear]) < _PALEST_EDGE_OD:
            return self
        return replace(
            self,
            strong_edge_od=float(np.median(edge[clear])),
            strong_hematoxylin_od=float(np.median(hematoxylin[clear])),
            usual_hematoxylin_od=float(np.percentile(hematoxylin[visible], 75)),
            nuclear_dab_share=float(np.median(dab[clear] / np.maximum(hematoxylin[clear], _HUE_FROM_OD))),
        )

    def detect(self, tile: Tile) -> Nuclei:
        """Detect the nuclei of a tile.

        Parameters
        ----------
        tile
            Core and halo.

        Returns
        -------
        Nuclei
            One contour per nucleus.
        """
        s = self.settings
        found = self._outlined(tile)
        # Cheap criteria first: the trees rate only what is left.
        found = found.take(self.is_possible(found))
        um_px = tile.planes.um_px
        features = nucleus_features(found, self.strong_edge_od, self.strong_hematoxylin_od, um_px)
        rating = predict(_rating_trees(), features)
        good = rating >= s.min_rating
        found, rating = found.take(good), rating[good]
        size = np.clip(found.area_um2 / s.full_area_um2, 0.1, 1.0) ** np.float32(s.size_growth)
        # Last, so that an outline already rejected cannot suppress a true nucleus.
        found = found.take(keep_best(found.centre, found.radii, rating * size, s.competition_um / um_px))
        return Nuclei(found.centre, found.radii)

    def is_possible(self, found: Candidates) -> NDArray[np.bool_]:
        """Return which outlines are large and clear enough for a nucleus, and have its colour."""
        s = self.settings
        seen = (found.area_um2 >= s.min_area_um2) & (mean_edge(found) >= s.contours.min_edge_od)
        # Where the counterstain is grey, nuclei are as grey as red blood cells.
        limit = max(s.max_grey_share, _GREY_MARGIN * self.nuclear_dab_share)
        least = s.min_hematoxylin_share * self.strong_hematoxylin_od
        return np.asarray(seen & self._has_colour(found.hematoxylin, found.dab, least, limit))

    def is_blue(self, hematoxylin: NDArray[np.float32], dab: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which outlines have the colour of a nucleus, not that of a gap, a DAB clump or a red blood cell.

        Parameters
        ----------
        hematoxylin, dab
            float32 (N, 2), mean inside and around, OD.

        Returns
        -------
        NDArray[np.bool_]
            bool (N)
        """
        least = self.settings.min_hematoxylin_share * self.usual_hematoxylin_od
        return self._has_colour(hematoxylin, dab, least, self.settings.max_grey_share)

    def _has_colour(
        self, hematoxylin: NDArray[np.float32], dab: NDArray[np.float32], least: float, limit: float
    ) -> NDArray[np.bool_]:
        """Return which outlines hold the `least` haematoxylin and are neither brown nor, with `limit`, grey."""
        s = self.settings
        filled = hematoxylin[:, 0] >= least
        return np.asarray(filled & ~(_is_brown(dab, s) | _is_grey(hematoxylin, dab, limit, s)))

    def _outlined(self, tile: Tile) -> Candidates:
        """Return the outlined blobs of a tile, nuclei or not."""
        planes = tile.planes
        seeds, _ = find_seeds(planes.seed, planes.um_px, self.settings.seeds)
        return outline_seeds(planes, seeds, self.settings.contours)
