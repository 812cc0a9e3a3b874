"""The same small places on two sections, and the affine map that most of them agree on.

Blocks of the fixed section are looked for around where the map so far puts them, by normalised correlation (Lewis
1995); RANSAC (Fischler & Bolles 1981, doi 10.1145/358669.358692) then sets aside those that landed on another place.
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

#: Blocks looked for at most; more cost time and tell nothing new.
_MOST_BLOCKS = 500
#: A block must be this much tissue on both sections, and its density vary by this much, to be recognised.
_LEAST_TISSUE = 0.4
_LEAST_SPREAD = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Pairs of places that show the same.

    Attributes
    ----------
    fixed_um, moving_um
        float64 (N, 2), x and y on both sections, µm.
    looked_for
        Number of blocks that could have been found.
    """

    fixed_um: NDArray[np.float64]
    moving_um: NDArray[np.float64]
    looked_for: int

    def __len__(self) -> int:
        return len(self.fixed_um)

    def part(self, chosen: NDArray[np.bool_]) -> Matches:
        """Return the pairs where `chosen`, bool (N,), is True."""
        return Matches(self.fixed_um[chosen], self.moving_um[chosen], self.looked_for)


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
    """Look for blocks of the fixed section on the moving one.

    Parameters
    ----------
    fixed, moving
        Both at one pixel size.
    matrix
        float64 (2, 3), from fixed µm to moving µm, as known so far.
    block_px, reach_px, spacing_px
        Side of a block, how far it may have moved, distance of blocks; px.
    min_score
        Correlation under which a block was not found.
    """
    size_um = fixed.pixel_size_um
    laid, tissue = _laid(moving, matrix, fixed)
    found = []
    places = _places(fixed, tissue, block_px, reach_px, spacing_px)
    for x, y in places:
        block = fixed.density[y : y + block_px, x : x + block_px]
        around = laid[y - reach_px : y + block_px + reach_px, x - reach_px : x + block_px + reach_px]
        surface = np.asarray(cv2.matchTemplate(around, block, cv2.TM_CCOEFF_NORMED), np.float32)
        _, score, _, (column, row) = cv2.minMaxLoc(surface)
        # A maximum on the rim is the flank of one farther away.
        if score < min_score or not (0 < row < 2 * reach_px and 0 < column < 2 * reach_px):
            continue
        shift = np.array([column, row]) - reach_px + _vertex(surface, row, column)
        found.append((x + block_px / 2, y + block_px / 2, *shift))
    table = np.array(found, np.float64).reshape(-1, 4)
    fixed_um = table[:, :2] * size_um
    on_laid_um = fixed_um + table[:, 2:] * size_um
    return Matches(fixed_um, on_laid_um @ matrix[:, :2].T + matrix[:, 2], len(places))


def _laid(
    moving: Structure, matrix: NDArray[np.float64], fixed: Structure
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return density and tissue of the moving section on the fixed one's pixels."""
    size_um = fixed.pixel_size_um
    # Pixel i has its centre at (i + 0.5) pixel sizes.
    px = np.column_stack([matrix[:, :2], matrix[:, 2] / size_um + matrix[:, :2].sum(axis=1) / 2 - 0.5])
    size = fixed.density.shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    density = cv2.warpAffine(moving.density, px, size, flags=flags)
    tissue = cv2.warpAffine(moving.tissue.astype(np.float32), px, size, flags=flags)
    return cast("NDArray[np.float32]", density), tissue > 0.5


def _places(
    fixed: Structure, laid_tissue: NDArray[np.bool_], block_px: int, reach_px: int, spacing_px: int
) -> list[tuple[int, int]]:
    """Return the top-left corners of the blocks that can be recognised, spread evenly over the tissue."""
    high, wide = fixed.density.shape
    box = (block_px, block_px)
    share = cv2.boxFilter(fixed.tissue.astype(np.float32), -1, box, anchor=(0, 0))
    other = cv2.boxFilter(laid_tissue.astype(np.float32), -1, box, anchor=(0, 0))
    mean = cv2.boxFilter(fixed.density, -1, box, anchor=(0, 0))
    square = cv2.boxFilter(fixed.density**2, -1, box, anchor=(0, 0))
    good = (np.minimum(share, other) >= _LEAST_TISSUE) & (square - mean**2 >= _LEAST_SPREAD**2)
    rows = range(reach_px, high - block_px - reach_px + 1, spacing_px)
    columns = range(reach_px, wide - block_px - reach_px + 1, spacing_px)
    places = [(x, y) for y in rows for x in columns if good[y, x]]
    return places[:: -(-len(places) // _MOST_BLOCKS)] if places else []


def _vertex(surface: NDArray[np.float32], row: int, column: int) -> NDArray[np.float64]:
    """Return the offset (x, y) of the parabola through a maximum and its neighbours, each within half a pixel."""
    centre = float(surface[row, column])
    offsets = []
    for before, after in (
        (surface[row, column - 1], surface[row, column + 1]),
        (surface[row - 1, column], surface[row + 1, column]),
    ):
        bend = float(before) + float(after) - 2 * centre
        offsets.append(0.5 * (float(before) - float(after)) / bend if bend < -1e-9 else 0.0)
    return np.clip(offsets, -0.5, 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """An affine map from fixed µm to moving µm, float64 (2, 3), and which matches agree with it, bool (N,)."""

    matrix: NDArray[np.float64]
    is_inlier: NDArray[np.bool_]


def fit_affine(matches: Matches, tolerance_um: float, *, rigid: bool = False) -> Fit | None:
    """Fit an affine map by RANSAC, refined on those that agree; None where three matches do not determine one.

    Parameters
    ----------
    matches
        The pairs.
    tolerance_um
        How far a match may lie from the map, µm.
    rigid
        Rotation, shift and one scale alone; for few or rough matches.
    """
    if len(matches) < (2 if rigid else 3):
        return None
    estimate = cv2.estimateAffinePartial2D if rigid else cv2.estimateAffine2D
    source, target = matches.fixed_um, matches.moving_um
    if rigid and _is_mirrored(matches):
        # The partial fit knows no mirror image: give it one of the target and turn the result back.
        source, flip = source, np.array([-1.0, 1.0])
        matrix, inlier = estimate(source, target * flip, ransacReprojThreshold=tolerance_um, maxIters=5000)
        matrix = None if matrix is None else matrix * flip[:, None]
    else:
        matrix, inlier = estimate(source, target, ransacReprojThreshold=tolerance_um, maxIters=5000)
    if matrix is None or not np.isfinite(matrix).all():
        return None
    return Fit(np.asarray(matrix, np.float64), np.asarray(inlier).ravel() > 0)


def _is_mirrored(matches: Matches) -> bool:
    around, target = (
        matches.fixed_um - matches.fixed_um.mean(0),
        matches.moving_um - matches.moving_um.mean(0),
    )
    linear = np.linalg.lstsq(around, target, rcond=None)[0]
    return float(np.linalg.det(linear)) < 0


def residuals_um(matches: Matches, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each match lies from the map, on the moving section, µm (N,)."""
    there = matches.fixed_um @ matrix[:, :2].T + matrix[:, 2]
    return cast("NDArray[np.float64]", np.linalg.norm(there - matches.moving_um, axis=1))


def held_out_residuals_um(matches: Matches, tolerance_um: float, folds: int = 5) -> NDArray[np.float64]:
    """Return how far matches lie from a map that was fitted without them, µm.

    Each fold's map is fitted on the other folds. Matches over three tolerances away landed on another place: they are
    no measure of the map, and are left out as the fit leaves them out.
    """
    fold = np.arange(len(matches)) % folds
    residuals = []
    for number in range(folds):
        fit = fit_affine(matches.part(fold != number), tolerance_um)
        if fit is not None:
            far = residuals_um(matches.part(fold == number), fit.matrix)
            residuals.append(far[far <= 3 * tolerance_um])
    return np.concatenate(residuals) if residuals else np.zeros(0)
