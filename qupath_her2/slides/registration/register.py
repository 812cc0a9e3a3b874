"""Registration of the H&E and IHC slides of one case by one affine transform, with its error, or a refusal.

Rotation, translation and mirroring are searched exhaustively on coarse images (`rigid_search`), then refined to an
affine transform on finer ones by block matching (`block_matching`). Serial sections also stretch and fold locally,
which no affine transform describes: the error, measured on blocks held out of the fit, says by how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import RegistrationError
from qupath_her2.slides.registration.block_matching import (
    Fit,
    Matches,
    fit_affine,
    held_out_residuals_um,
    match_blocks,
)
from qupath_her2.slides.registration.record import Registration
from qupath_her2.slides.registration.rigid_search import search_poses
from qupath_her2.slides.registration.structure import Structure, read_structure, shrink_structure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.slides.readers.slide import Slide

__all__ = ["RegistrationSettings", "register_slides"]


@dataclass(frozen=True, slots=True)
class RegistrationSettings:
    """Scales and acceptance limits of the registration.

    Attributes
    ----------
    pixel_size_um
        Finest scale used, µm; coarser for large slides (`longest_px`), never finer than the slides themselves.
    longest_px
        Longest side of the images at the finest scale, px.
    rough_px, search_px
        Longest side at the first refinement and in the exhaustive search, px.
    step_deg, min_overlap
        Settings of the exhaustive search, see `search_poses`.
    hypotheses
        Number of poses that are refined; a nearly symmetric section needs more than one.
    block_px, tolerance_px
        Side of a block, and largest distance of an agreeing block from its predicted position; image px.
    min_score
        Lowest correlation at which a block counts as found.
    min_agreeing, min_agreeing_share
        Fewest blocks that must agree with the transform, and their smallest share of the blocks searched for, 0..1.
        Ten pairs of unrelated drawn tissue reached 0.06 to 0.08; true pairs 1.0, and 0.5 if bent by 40 µm (SD).
    max_error_um
        Largest median error, µm: half a patch of 512 px at 0.25 µm; beyond it, labels fall on the neighbouring patch.
    max_stretch
        Largest relative change of length in any direction; more means that a pixel size is wrong.
    """

    pixel_size_um: float = 1.0
    longest_px: int = 2000
    rough_px: int = 500
    search_px: int = 96
    step_deg: float = 5.0
    min_overlap: float = 0.4
    hypotheses: int = 6
    block_px: int = 48
    tolerance_px: float = 4.0
    min_score: float = 0.3
    min_agreeing: int = 8
    min_agreeing_share: float = 0.2
    max_error_um: float = 64.0
    max_stretch: float = 0.15


def register_slides(
    fixed: Slide,
    moving: Slide,
    *,
    fixed_pixel_size_um: float | None = None,
    moving_pixel_size_um: float | None = None,
    settings: RegistrationSettings | None = None,
) -> Registration:
    """Find the affine transform between two slides of one case.

    Parameters
    ----------
    fixed, moving
        Open images in QuPath's coordinates, each of any stain.
    fixed_pixel_size_um, moving_pixel_size_um
        µm per level-0 px; None takes the file's own.
    settings
        Scales and acceptance limits.

    Returns
    -------
    Registration
        The transform, in level-0 px of both slides, and its error.

    Raises
    ------
    RegistrationError
        If a pixel size or tissue is missing, or no transform was found on which enough blocks agree within the
        allowed error.
    ImageReadError
        If a slide cannot be read.
    """
    s = settings or RegistrationSettings()
    sizes = _pixel_size(fixed, fixed_pixel_size_um), _pixel_size(moving, moving_pixel_size_um)
    longest_um = max(
        max(slide.width, slide.height) * size for slide, size in zip((fixed, moving), sizes, strict=True)
    )
    # Both slides at one scale, the coarser of the two: up-sampling would add no detail to compare.
    scale_um = max(s.pixel_size_um, longest_um / s.longest_px, *sizes)
    pair = read_structure(fixed, sizes[0], scale_um), read_structure(moving, sizes[1], scale_um)
    rough = _rough_fit(pair, longest_um, s)
    matches, fit = _fine_fit(pair, rough, s)
    tolerance_um = s.tolerance_px * scale_um
    agreeing = int(fit.is_inlier.sum()) if fit else 0
    if fit is None or agreeing < s.min_agreeing or agreeing < s.min_agreeing_share * matches.looked_for:
        raise RegistrationError(
            f"'{fixed.path.name}' and '{moving.path.name}' could not be registered: only {agreeing} of "
            f"{matches.looked_for} blocks agree on one transform (needed: at least {s.min_agreeing} and "
            f"{s.min_agreeing_share:.0%}). Check that both slides are of the same case and tissue block and that their "
            "pixel sizes are right, or draw the regions on both slides."
        )
    residuals = held_out_residuals_um(matches, tolerance_um)
    found = _describe(fit, residuals, matches.looked_for, scale_um, (fixed, moving), sizes)
    _check(found, fixed, moving, s)
    return found


def _pixel_size(slide: Slide, given: float | None) -> float:
    size = given or slide.pixel_size_um
    if size is None:
        raise RegistrationError(
            f"Image '{slide.path.name}' has no pixel size, which registration needs. "
            "Set it in QuPath (Image tab → Pixel width) or give it for both slides."
        )
    return size


def _rough_fit(
    pair: tuple[Structure, Structure], longest_um: float, s: RegistrationSettings
) -> NDArray[np.float64]:
    """Return the transform, fixed µm to moving µm, on which most blocks agree at a coarse scale, float64 (2, 3)."""
    coarse = [shrink_structure(one, longest_um / s.search_px) for one in pair]
    poses = search_poses(
        coarse[0], coarse[1], step_deg=s.step_deg, min_overlap=s.min_overlap, keep=s.hypotheses
    )
    fixed, moving = (shrink_structure(one, longest_um / s.rough_px) for one in pair)
    tolerance_um = s.tolerance_px * fixed.pixel_size_um
    best, best_agreeing = poses[0].matrix, -1
    for pose in poses:
        matrix, agreeing = pose.matrix, 0
        # The first pass searches far enough for half an angular step plus two coarse pixels; the second starts from
        # its result. Similarity before affine: six parameters overfit the first, rough matches.
        for reach_px, is_rigid in ((s.block_px // 2, True), (s.block_px // 4, False)):
            matches = match_blocks(
                fixed,
                moving,
                matrix,
                block_px=s.block_px,
                reach_px=reach_px,
                spacing_px=s.block_px // 2,
                min_score=s.min_score,
            )
            fit = fit_affine(matches, tolerance_um, rigid=is_rigid)
            if fit is not None and fit.is_inlier.sum() >= 4:
                matrix, agreeing = fit.matrix, int(fit.is_inlier.sum())
        if agreeing > best_agreeing:
            best, best_agreeing = matrix, agreeing
    return best


def _fine_fit(
    pair: tuple[Structure, Structure], matrix: NDArray[np.float64], s: RegistrationSettings
) -> tuple[Matches, Fit | None]:
    """Return the matches at the finest scale and the transform on which most of them agree.

    Blocks do not overlap: blocks that share pixels would confirm each other when the error is measured.
    """
    tolerance_um = s.tolerance_px * pair[0].pixel_size_um
    fit = None
    for reach_px in (s.block_px // 2, s.block_px // 4):
        matches = match_blocks(
            *pair,
            matrix,
            block_px=s.block_px,
            reach_px=reach_px,
            spacing_px=s.block_px,
            min_score=s.min_score,
        )
        fit = fit_affine(matches, tolerance_um)
        if fit is None:
            break
        # The second pass searches half as far around a better start, which leaves fewer false matches.
        matrix = fit.matrix
    return matches, fit


def _describe(
    fit: Fit,
    residuals: NDArray[np.float64],
    looked_for: int,
    scale_um: float,
    slides: tuple[Slide, Slide],
    sizes: tuple[float, float],
) -> Registration:
    """Convert a fit from µm to level-0 pixels, and decompose it into rotation, mirroring and stretch."""
    linear, shift = fit.matrix[:, :2], fit.matrix[:, 2]
    a, b, c, d = (float(v) for v in (linear * sizes[0] / sizes[1]).ravel())
    # The nearest rotation by SVD (orthogonal Procrustes), after undoing a reflection at the vertical axis.
    is_mirrored = float(np.linalg.det(linear)) < 0
    left, stretches, right = np.linalg.svd(linear @ np.diag([-1.0 if is_mirrored else 1.0, 1.0]))
    turn = left @ right
    middle, high = np.percentile(residuals, [50, 90]) if len(residuals) else (math.inf, math.inf)
    return Registration(
        matrix=(a, b, c, d, float(shift[0]) / sizes[1], float(shift[1]) / sizes[1]),
        fixed_size=(slides[0].width, slides[0].height),
        moving_size=(slides[1].width, slides[1].height),
        fixed_pixel_size_um=sizes[0],
        moving_pixel_size_um=sizes[1],
        error_um=float(middle),
        error_90_um=float(high),
        agreeing=int(fit.is_inlier.sum()),
        looked_for=looked_for,
        rotation_deg=math.degrees(math.atan2(turn[1, 0], turn[0, 0])),
        is_mirrored=is_mirrored,
        stretch=float(np.abs(stretches - 1).max()),
        scale_um=scale_um,
    )


def _check(found: Registration, fixed: Slide, moving: Slide, s: RegistrationSettings) -> None:
    """Raise RegistrationError if stretch or error exceed their limits."""
    names = f"'{fixed.path.name}' and '{moving.path.name}'"
    if found.stretch > s.max_stretch:
        raise RegistrationError(
            f"{names} match only if one is stretched by {found.stretch:.0%}, over the limit of {s.max_stretch:.0%}. "
            f"Check the pixel sizes ({found.fixed_pixel_size_um:g} and {found.moving_pixel_size_um:g} µm)."
        )
    # "not <=" instead of ">": an error of NaN must not pass.
    if not found.error_um <= s.max_error_um:
        raise RegistrationError(
            f"{names} match with a median error of {found.error_um:.0f} µm, over {s.max_error_um:g} µm: regions would "
            "fall on other tissue. Draw the regions on both slides, or choose sections that are closer together."
        )
