"""Block matching between two sections, and the affine transform that most matches agree on.

Blocks of the fixed section are searched for around the position predicted by the current transform, by normalised
cross-correlation (Lewis JP. Fast normalized cross-correlation. Vision Interface 1995); RANSAC (Fischler & Bolles 1981,
doi 10.1145/358669.358692) then discards the false matches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.slides.registration.structure import Structure

__all__ = ["Fit", "Matches", "fit_affine", "held_out_residuals_um", "match_blocks"]

#: An affine transform has 6 parameters: 500 blocks determine it amply, more only cost time.
_MAX_BLOCKS = 500
#: Smallest share of tissue in a block on both sections, and smallest SD of its density, for which it can be recognised.
_MIN_TISSUE = 0.4
_MIN_SPREAD = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Matching points on two sections.

    Attributes
    ----------
    fixed_um, moving_um
        float64 (N, 2), x and y of each match on the fixed and on the moving section, µm.
    looked_for
        Number of blocks that were searched for; N of them were found.
    """

    fixed_um: NDArray[np.float64]
    moving_um: NDArray[np.float64]
    looked_for: int

    def __len__(self) -> int:
        return len(self.fixed_um)

    def subset(self, mask: NDArray[np.bool_]) -> Matches:
        """Return the matches for which `mask`, bool (N,), is True."""
        return Matches(self.fixed_um[mask], self.moving_um[mask], self.looked_for)


def match_blocks(
    fixed: Structure,
    moving: Structure,
    matrix: NDArray[np.float64],
    *,
    block_px: int,
    reach_px: int,
    spacing_px: int,
    min_score: float,
) -> Matches:
    """Search for blocks of the fixed section on the moving one.

    Parameters
    ----------
    fixed, moving
        The sections, both at the same pixel size.
    matrix
        float64 (2, 3), current transform from fixed µm to moving µm.
    block_px, reach_px, spacing_px
        Side of a block, largest shift searched for, and distance between blocks; px.
    min_score
        Correlation below which a block counts as not found, -1..1.

    Returns
    -------
    Matches
        The centres of the blocks found, to a fraction of a pixel.
    """
    size_um = fixed.pixel_size_um
    warped, tissue = _warp_to_fixed(moving, matrix, fixed)
    found = []
    corners = _block_corners(fixed, tissue, block_px, reach_px, spacing_px)
    for x, y in corners:
        block = fixed.density[y : y + block_px, x : x + block_px]
        around = warped[y - reach_px : y + block_px + reach_px, x - reach_px : x + block_px + reach_px]
        surface = np.asarray(cv2.matchTemplate(around, block, cv2.TM_CCOEFF_NORMED), np.float32)
        _, score, _, (column, row) = cv2.minMaxLoc(surface)
        # A maximum on the rim is the slope of a peak outside the search window.
        if score < min_score or not (0 < row < 2 * reach_px and 0 < column < 2 * reach_px):
            continue
        shift = np.array([column, row]) - reach_px + _subpixel_offset(surface, row, column)
        found.append((x + block_px / 2, y + block_px / 2, *shift))
    # The reshape keeps four columns even if no block was found.
    table = np.array(found, np.float64).reshape(-1, 4)
    fixed_um = table[:, :2] * size_um
    # The shifts were measured on the warped section: the transform takes the shifted points to the moving slide.
    on_warped_um = fixed_um + table[:, 2:] * size_um
    return Matches(fixed_um, on_warped_um @ matrix[:, :2].T + matrix[:, 2], len(corners))


def _warp_to_fixed(
    moving: Structure, matrix: NDArray[np.float64], fixed: Structure
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Resample density and tissue mask of the moving section onto the fixed section's pixels."""
    size_um = fixed.pixel_size_um
    # OpenCV counts from pixel centres, µm from the image's corner: pixel i has its centre at (i + 0.5) pixel sizes.
    px = np.column_stack([matrix[:, :2], matrix[:, 2] / size_um + matrix[:, :2].sum(axis=1) / 2 - 0.5])
    size = fixed.density.shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    density = cv2.warpAffine(moving.density, px, size, flags=flags)
    tissue = cv2.warpAffine(moving.tissue.astype(np.float32), px, size, flags=flags)
    return cast("NDArray[np.float32]", density), tissue > 0.5


def _block_corners(
    fixed: Structure, warped_tissue: NDArray[np.bool_], block_px: int, reach_px: int, spacing_px: int
) -> list[tuple[int, int]]:
    """Return the top-left corners (x, y) of blocks with enough tissue and texture, spread evenly over the tissue."""
    high, wide = fixed.density.shape
    box = (block_px, block_px)
    # Anchored at (0, 0), entry (row, column) describes the block that starts there.
    share = cv2.boxFilter(fixed.tissue.astype(np.float32), -1, box, anchor=(0, 0))
    other = cv2.boxFilter(warped_tissue.astype(np.float32), -1, box, anchor=(0, 0))
    mean = cv2.boxFilter(fixed.density, -1, box, anchor=(0, 0))
    square = cv2.boxFilter(fixed.density**2, -1, box, anchor=(0, 0))
    good = (np.minimum(share, other) >= _MIN_TISSUE) & (square - mean**2 >= _MIN_SPREAD**2)
    # A margin of the search distance: every search window lies within the image.
    rows = range(reach_px, high - block_px - reach_px + 1, spacing_px)
    columns = range(reach_px, wide - block_px - reach_px + 1, spacing_px)
    corners = [(x, y) for y in rows for x in columns if good[y, x]]
    return corners[:: -(-len(corners) // _MAX_BLOCKS)] if corners else []


def _subpixel_offset(surface: NDArray[np.float32], row: int, column: int) -> NDArray[np.float64]:
    """Return the offset (x, y), px, of the vertex of the parabola through a maximum and its neighbours."""
    centre = float(surface[row, column])
    offsets = []
    for before, after in (
        (surface[row, column - 1], surface[row, column + 1]),
        (surface[row - 1, column], surface[row + 1, column]),
    ):
        # Second difference: zero on a plateau, where the parabola has no vertex.
        bend = float(before) + float(after) - 2 * centre
        offsets.append(0.5 * (float(before) - float(after)) / bend if bend < -1e-9 else 0.0)
    return np.clip(offsets, -0.5, 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """Result of `fit_affine`.

    Attributes
    ----------
    matrix
        float64 (2, 3), affine transform from fixed µm to moving µm.
    is_inlier
        bool (N,), True for matches that agree with the transform.
    """

    matrix: NDArray[np.float64]
    is_inlier: NDArray[np.bool_]


def fit_affine(matches: Matches, tolerance_um: float, *, rigid: bool = False) -> Fit | None:
    """Fit an affine transform by RANSAC, refined on its inliers.

    Parameters
    ----------
    matches
        Matching points.
    tolerance_um
        Largest distance of an inlier from its predicted position, µm.
    rigid
        Fit rotation, translation and a single scale only, for few or rough matches.

    Returns
    -------
    Fit | None
        None if the matches do not determine a transform (fewer than 3, or 2 if `rigid`; or collinear).
    """
    if len(matches) < (2 if rigid else 3):
        return None
    estimate = cv2.estimateAffinePartial2D if rigid else cv2.estimateAffine2D
    source, target = matches.fixed_um, matches.moving_um
    if rigid and _is_mirrored(matches):
        # OpenCV's similarity fit excludes reflections: fit to the mirrored target, then mirror the result back.
        flip = np.array([-1.0, 1.0])
        matrix, inlier = estimate(source, target * flip, ransacReprojThreshold=tolerance_um, maxIters=5000)
        matrix = None if matrix is None else matrix * flip[:, None]
    else:
        matrix, inlier = estimate(source, target, ransacReprojThreshold=tolerance_um, maxIters=5000)
    if matrix is None or not np.isfinite(matrix).all():
        return None
    return Fit(np.asarray(matrix, np.float64), np.asarray(inlier).ravel() > 0)


def _is_mirrored(matches: Matches) -> bool:
    """Return whether a least-squares affine fit has a negative determinant, that is, contains a reflection."""
    around, target = (
        matches.fixed_um - matches.fixed_um.mean(0),
        matches.moving_um - matches.moving_um.mean(0),
    )
    linear = np.linalg.lstsq(around, target, rcond=None)[0]
    return float(np.linalg.det(linear)) < 0


def residuals_um(matches: Matches, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each match from its predicted position on the moving section, float64 (N,), µm."""
    there = matches.fixed_um @ matrix[:, :2].T + matrix[:, 2]
    return cast("NDArray[np.float64]", np.linalg.norm(there - matches.moving_um, axis=1))


def held_out_residuals_um(matches: Matches, tolerance_um: float, folds: int = 5) -> NDArray[np.float64]:
    """Return cross-validated residuals: distances of matches from a transform that was fitted without them.

    Residuals over three times the tolerance are false matches. They say nothing about the transform and are left out,
    as RANSAC leaves them out of the fit.

    Parameters
    ----------
    matches
        Matching points.
    tolerance_um
        Largest distance of an inlier, µm.
    folds
        Number of parts; each is held out once.

    Returns
    -------
    NDArray[np.float64]
        float64 (K,), K <= N, µm; empty if no fold could be fitted.
    """
    # Every fifth match, not consecutive ones: matches are in raster order, so each fold covers the whole section.
    fold = np.arange(len(matches)) % folds
    residuals = []
    for number in range(folds):
        fit = fit_affine(matches.subset(fold != number), tolerance_um)
        if fit is not None:
            distance = residuals_um(matches.subset(fold == number), fit.matrix)
            residuals.append(distance[distance <= 3 * tolerance_um])
    return np.concatenate(residuals) if residuals else np.zeros(0)
