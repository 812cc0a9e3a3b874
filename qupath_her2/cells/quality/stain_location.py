"""Location of the stain: whether DAB outlines cells, fills them, or is a faint background of the tissue.

Each stained cell is asked two questions along its 36 rays. Is it outlined: do rays stand out, side by side and at the
same place, from the cytoplasm on their own side and from whatever lies beyond? And is its cytoplasm paler: less than
half as dark as its membrane? Both compare places in one cell, so neither strength of stain nor pixel size moves them
much, and shares of cells are not diluted by stroma. Rays on which the nucleus touches the membrane are left out: a pale
nucleus in a stained cytoplasm looks like the inner side of a membrane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.radial_profiles import RadialProfiles, row_mean
from qupath_her2.cells.quality.settings import QualitySettings
from qupath_her2.records import Refusal

__all__ = ["N_PLACES", "StainPattern", "check_pattern", "stain_pattern", "stain_places"]

#: A ray stands out where its maximum exceeds both sides by this fraction of itself: the grain of a diffuse cytoplasm
#: varies by about 0.15 (drawn) of its level, the membranes of 1+ cells exceed it by a third or more.
_STANDS_OUT = 0.3
#: Neighbouring rays belong to one line where their maxima lie within this distance, µm, along rays 10 degrees apart.
_SAME_LINE_UM = 0.5
#: A cell is outlined where this fraction of its stained rays belong to lines: incomplete membranes, and edges shared
#: with a cell whose side is no paler, leave gaps.
_OUTLINED_FROM = 0.3
#: Fewest stained rays on which the cytoplasm can be seen.
_FEWEST_RAYS = 5
#: Edge blur, µm, up to which lines are as clear as they get, and from which only the strongest stand out.
_CLEAR_UM, _SOFT_UM = 0.45, 0.62
#: (membrane - cytoplasm) / (membrane + cytoplasm) of a cytoplasm less than half as dark as the membrane.
_PALER_FROM = 0.35


#: Columns of `stain_places`.
N_PLACES = 5


@dataclass(frozen=True, slots=True)
class StainPattern:
    """Pattern of the stained cells of an image.

    Attributes
    ----------
    n_stained
        Stained cells.
    stained_share
        Their share of all cells, 0..1.
    outlined_share
        Share of the stained cells that a line of DAB outlines, 0..1; NaN where it cannot be seen in any.
    paler_share
        Share of them whose cytoplasm is paler than their membrane, 0..1; NaN likewise.
    membrane_od
        Median DAB of their membranes, OD.
    """

    n_stained: int
    stained_share: float
    outlined_share: float
    paler_share: float
    membrane_od: float


def stain_places(profiles: RadialProfiles, stained_od: float) -> NDArray[np.float32]:
    """Measure where the DAB of each cell lies.

    Parameters
    ----------
    profiles
        Radial profiles of N cells along their own outlines, not those of other programs.
    stained_od
        DAB from which a ray is stained, OD.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, 5): DAB of membrane, cytoplasm (NaN where nucleus and membrane touch on every ray), cytoplasm or
        what stands in for it, and nucleus, OD; fraction of the stained rays that belong to lines, NaN with too few.
    """
    # Upper quartile over sectors: an incomplete membrane counts by its stained part.
    membrane = np.percentile(profiles.peak_od, 75, axis=1) if len(profiles.peak_od) else np.zeros(0)
    cytoplasm = row_mean(profiles.cytoplasm_od)
    # Where nucleus and membrane touch on every ray, the level inside the membrane stands in for the cytoplasm.
    filled = np.where(np.isnan(cytoplasm), row_mean(profiles.inner_od), cytoplasm)
    nucleus = np.nan_to_num(row_mean(profiles.nucleus_od))
    lines = _line_share(profiles, stained_od)
    return np.stack([membrane, cytoplasm, filled, nucleus, lines], 1).astype(np.float32)


def stain_pattern(places: NDArray[np.float32], s: QualitySettings) -> StainPattern:
    """Return the pattern of the stained cells of an image.

    Parameters
    ----------
    places
        float32 (N, 5), from `stain_places`.
    s
        Gives the DAB from which a cell is stained.

    Returns
    -------
    StainPattern
        Of the cells whose membrane, cytoplasm or nucleus is stained.
    """
    membrane, cytoplasm, filled, nucleus, lines = places.T
    stained = np.maximum(membrane, np.maximum(filled, nucleus)) > s.positive_od
    if not stained.any():
        return StainPattern(0, 0.0, float("nan"), float("nan"), float("nan"))
    contrast = (membrane - cytoplasm)[stained] / (membrane + np.maximum(cytoplasm, 0))[stained]
    return StainPattern(
        int(stained.sum()),
        float(stained.mean()),
        _share(lines[stained], _OUTLINED_FROM),
        _share(contrast, _PALER_FROM),
        float(np.median(membrane[stained])),
    )


def _share(values: NDArray[np.floating], least: float) -> float:
    known = values[np.isfinite(values)]
    return float((known > least).mean()) if len(known) else float("nan")


def _line_share(profiles: RadialProfiles, stained_od: float) -> NDArray[np.float64]:
    """Return the fraction of the stained rays of each cell that belong to lines; NaN with too few."""
    peak, outer, cytoplasm = profiles.peak_od, profiles.outer_od, profiles.cytoplasm_od
    offset = profiles.offset_um
    seen = (peak > stained_od) & np.isfinite(cytoplasm)
    above = peak - np.maximum(np.nan_to_num(cytoplasm), outer)
    stands_out = seen & (above > _STANDS_OUT * peak)
    near = np.abs(np.roll(offset, -1, axis=1) - offset) < _SAME_LINE_UM
    linked = stands_out & np.roll(stands_out, -1, axis=1) & near
    # A ray belongs to a line with the one before it or the one after it.
    in_line = (linked | np.roll(linked, 1, axis=1)).sum(1)
    rays = seen.sum(1)
    return np.where(rays >= _FEWEST_RAYS, in_line / np.maximum(rays, 1), np.nan)


def check_pattern(pattern: StainPattern, edge_blur_um: float, s: QualitySettings) -> Refusal | None:
    """Return a refusal where DAB does not outline the stained cells; else None.

    Parameters
    ----------
    pattern
        From `stain_pattern`.
    edge_blur_um
        Median blur of the edges of the image, µm; NaN where it has none.
    s
        Limits.

    Returns
    -------
    Refusal | None
        With the code ``background_stain`` or ``not_membrane``.
    """
    if pattern.n_stained < s.min_positive_cells or pattern.stained_share < s.min_positive_share:
        return None
    # Blur fills the space between a membrane and a nucleus: lines of the same membranes are fewer in soft pictures.
    softness = (
        0.0 if np.isnan(edge_blur_um) else float(np.interp(edge_blur_um, (_CLEAR_UM, _SOFT_UM), (0, 1)))
    )
    least = s.min_outlined_share + softness * (s.min_outlined_share_soft - s.min_outlined_share)
    least_paler = s.min_paler_share * least / s.min_outlined_share
    # Comparisons with NaN are false: where no cytoplasm can be seen, nothing speaks against membranes.
    is_filled = pattern.outlined_share < least
    is_doubtful = pattern.outlined_share < least + s.doubtful_margin and pattern.paler_share < least_paler
    if not is_filled and not is_doubtful:
        return None
    shares = (
        f"a membrane stands out as a line in {pattern.outlined_share:.0%} of {pattern.n_stained:,} stained cells "
        f"(limit {least:.0%}), and the cytoplasm is clearly paler than it in {pattern.paler_share:.0%}"
    )
    if not is_filled:
        shares += f" (limit {least_paler:.0%} where lines are few)"
    if pattern.membrane_od < s.faint_od:
        return Refusal(
            "background_stain",
            f"the only brown is a faint background of {pattern.membrane_od:.2f} OD: {shares}. Draw a Tumor region "
            "where there is tumour; if there is none, this image shows nothing to score.",
        )
    return Refusal("not_membrane", f"not a membrane stain: DAB fills the cytoplasm; {shares}.")
