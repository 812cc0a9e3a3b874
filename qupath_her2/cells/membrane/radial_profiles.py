"""Radial DAB profiles: the membrane of a cell, read along 36 rays across its outline.

Each ray is searched from 1.25 µm inside to 1.75 µm outside the outline for its DAB maximum, which is compared with the
lowest level on either side within 3 µm. Completeness counts sectors, not pixels, so a thick stretch of membrane is not
more complete than a thin one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.rays import place_samples, ray_offsets, read_samples
from qupath_her2.cells.nuclei.star_contours import FAST_MATH, radius_at
from qupath_her2.cells.stain_planes import Plane, Planes
from qupath_her2.setting_ranges import Range, check_settings

__all__ = ["RadialProfiles", "RadialProfileSettings", "measure_radial_profiles", "row_mean"]

#: Number of readings per ray, in the order of the fields of `RadialProfiles`.
N_READINGS = 8

#: Rays of a cell have a multiple of this many samples, those of its longest sector.
_GROUP = 8


@dataclass(frozen=True, slots=True)
class RadialProfileSettings:
    """Search ranges along a ray, µm.

    Attributes
    ----------
    inside_um, outside_um
        Search range for the membrane, inwards and outwards of the outline.
    base_um
        Search range for the base level, to either side of the maximum.
    nucleus_gap_um, membrane_gap_um
        Margins that separate the cytoplasm from the nuclear contour and from the outline: blur carries nuclear and
        membrane stain this far.
    """

    inside_um: Annotated[float, Range(0, 10, "µm")] = 1.25
    outside_um: Annotated[float, Range(0, 10, "µm")] = 1.75
    base_um: Annotated[float, Range(0, 20, "µm")] = 3.0
    nucleus_gap_um: Annotated[float, Range(0, 10, "µm")] = 0.5
    membrane_gap_um: Annotated[float, Range(0, 10, "µm")] = 1.25

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class RadialProfiles:
    """Readings of N cells along 36 rays (sectors), each float32 (N, 36).

    Attributes
    ----------
    peak_od
        Largest DAB optical density across the outline.
    inner_od, outer_od
        Lowest DAB within `base_um` of the maximum, on the cell's side and beyond, OD.
    width_um
        Full width at half maximum of the membrane, perpendicular to it; NaN where the ray shows no ridge.
    offset_um
        Distance of the maximum from the outline, outwards positive.
    cytoplasm_od
        Mean DAB between nucleus and membrane, OD; NaN where they touch.
    nucleus_od
        Mean DAB of the nucleus, OD; NaN without nucleus.
    mass_od_um
        DAB above the line from inner to outer level, integrated across the membrane, OD times µm. Blur lowers a peak
        and widens it, but leaves this integral unchanged.
    """

    peak_od: NDArray[np.float32]
    inner_od: NDArray[np.float32]
    outer_od: NDArray[np.float32]
    width_um: NDArray[np.float32]
    offset_um: NDArray[np.float32]
    cytoplasm_od: NDArray[np.float32]
    nucleus_od: NDArray[np.float32]
    mass_od_um: NDArray[np.float32]


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _half_width(profile: NDArray[np.float32], top: int, base: float, direction: int) -> float:
    """Return the distance from `top` to where the profile is half-way down to `base`, in samples; -1 if never."""
    half = (profile[top] + base) / 2
    r = top + direction
    while 0 <= r < len(profile):
        if profile[r] < half:
            # Linear interpolation between the last sample above half height and the first below.
            fall = profile[r - direction] - profile[r]
            return float(abs(r - top) - (half - profile[r]) / max(fall, 1e-6))
        r += direction
    return -1.0


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _ray(
    profile: NDArray[np.float32],
    nucleus_px: float,
    radius_px: float,
    step: float,
    px: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Read the DAB along one ray into `out`; distances in px and readings in the order of `RadialProfiles`."""
    inside, outside, base, nucleus_gap, membrane_gap = px[0], px[1], px[2], px[3], px[4]
    n = len(profile)
    first = max(int((radius_px - inside) / step + 0.5), 0)
    last = min(int((radius_px + outside) / step + 0.5), n - 1)
    top = first
    for r in range(first, last + 1):
        if profile[r] > profile[top]:
            top = r
    # The base is the lowest point on either side, not a fixed distance: the next cell's membrane may lie within reach
    # and must not count as background.
    reach = int(base / step + 0.5)
    inner, outer, first_base, last_base = profile[top], profile[top], top, top
    for r in range(top - 1, max(top - reach, 0) - 1, -1):
        if profile[r] < inner:
            inner, first_base = profile[r], r
    for r in range(top + 1, min(top + reach, n - 1) + 1):
        if profile[r] < outer:
            outer, last_base = profile[r], r
    # Half height above the higher side: measured from the lower one, a stained cytoplasm would widen every membrane.
    level = max(inner, outer)
    left, right = _half_width(profile, top, level, -1), _half_width(profile, top, level, 1)
    out[0], out[1], out[2] = profile[top], inner, outer
    out[3] = (left + right) * step if left >= 0 and right >= 0 and profile[top] > level else np.nan
    out[4] = top * step - radius_px
    # Subtracting the line between both levels keeps a sloping background (cytoplasm on one side) out of the mass.
    mass = 0.0
    for r in range(first_base + 1, last_base):
        along = (r - first_base) / (last_base - first_base)
        mass += max(profile[r] - inner - along * (outer - inner), 0.0)
    out[7] = mass * step
    total, count = 0.0, 0
    begin = int((nucleus_px + nucleus_gap) / step + 1.0)
    end = int((radius_px - membrane_gap) / step)
    for r in range(max(begin, 0), min(end, n - 1) + 1):
        total += profile[r]
        count += 1
    out[5] = total / count if count > 0 else np.nan
    # Nuclear samples weigh by their radius (area of an annulus); the outer fifth is left to blur from the rim.
    total, count = 0.0, 0
    for r in range(1, min(int(0.8 * nucleus_px / step), n - 1) + 1):
        total += profile[r] * r
        count += r
    out[6] = total / count if count > 0 else np.nan


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _samples(radius_px: float, px: NDArray[np.float32], step: float) -> int:
    """Return the number of samples of a ray that reaches beyond an outline of that radius."""
    return int((radius_px + px[1] + px[2]) / step) + 2


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _read_rays(
    dab: Plane,
    centres: NDArray[np.float64],
    nuclei: NDArray[np.float32],
    radii: NDArray[np.float32],
    step: float,
    px: NDArray[np.float32],
    um_px: float,
    found: NDArray[np.float32],
) -> None:
    """Fill the readings of all rays of all cells, (readings, N, sectors)."""
    n, n_sectors = radii.shape
    out = np.empty(N_READINGS, np.float32)
    # Work space for the longest ray; a cell uses the part it needs.
    longest = float(radii.max()) if n else 0.0
    groups = _samples(longest, px, step) // _GROUP + 1
    distances = (np.arange(groups * _GROUP) * step).astype(np.float32)
    offsets = [ray_offsets(distances[: (k + 1) * _GROUP], n_sectors) for k in range(groups)]
    size = n_sectors * len(distances)
    index, profiles = np.empty(size, np.int32), np.empty(size, np.float32)
    u, v = np.empty(size, np.float32), np.empty(size, np.float32)
    for k in range(n):
        group = _samples(radii[k].max(), px, step) // _GROUP
        used = (group + 1) * _GROUP
        part = slice(n_sectors * used)
        place_samples(
            dab.shape, (centres[k, 0], centres[k, 1]), offsets[group], index[part], u[part], v[part]
        )
        read_samples(dab.reshape(-1), dab.shape[1], index[part], u[part], v[part], profiles)
        for a in range(n_sectors):
            nucleus = radius_at(nuclei[k], a / n_sectors)
            profile = profiles[a * used : a * used + _samples(radii[k, a], px, step)]
            _ray(profile, nucleus, radii[k, a], step, px, out)
            # A ray that crosses the membrane obliquely sees it wider by 1 / cos of the angle, which follows from how
            # fast the radius changes: dr/dangle, by central difference.
            slope = (radii[k, (a + 1) % n_sectors] - radii[k, a - 1]) * n_sectors / (4 * math.pi)
            upright = radii[k, a] / math.sqrt(radii[k, a] ** 2 + slope * slope)
            out[3] *= upright * um_px
            out[4] *= um_px
            out[7] *= upright * um_px
            for m in range(N_READINGS):
                found[m, k, a] = out[m]


def measure_radial_profiles(
    planes: Planes,
    centres: NDArray[np.float64],
    nuclei: NDArray[np.float32],
    radii: NDArray[np.float32],
    settings: RadialProfileSettings | None = None,
) -> RadialProfiles:
    """Read the DAB profile of every cell along rays from its nuclear centre.

    Parameters
    ----------
    planes
        Stain planes of the tile.
    centres
        float64 (N, 2), x, y, pixels of the tile.
    nuclei
        float32 (N, A), nuclear radii, pixels; 0 where a cell has no nucleus.
    radii
        float32 (N, 36), cell radii, pixels.
    settings
        Search ranges.

    Returns
    -------
    RadialProfiles
        Readings of the N cells.
    """
    s = settings or RadialProfileSettings()
    reaches_um = (s.inside_um, s.outside_um, s.base_um, s.nucleus_gap_um, s.membrane_gap_um)
    px = np.array([reach / planes.um_px for reach in reaches_um], np.float32)
    # Half a pixel: the planes are blurred by more than that, so finer steps show nothing new.
    step = 0.5
    found = np.empty((N_READINGS, *radii.shape), np.float32)
    _read_rays(planes.dab, centres, nuclei, radii, step, px, planes.um_px, found)
    return RadialProfiles(*found)


def row_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of each row of (N, A) ignoring NaN, float32 (N); NaN for a row of NaN only, without a warning."""
    counts = (~np.isnan(values)).sum(1)
    totals = np.nan_to_num(values).sum(1)
    mean: NDArray[np.float32] = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan).astype(
        np.float32
    )
    return mean
