"""Random streams and random fields that do not depend on the pixel size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["LATTICE_UM", "MARGIN_UM", "sample", "smooth_field", "stream"]

#: Finest lattice of the random fields, µm; finer detail would not survive the blur of the optics.
LATTICE_UM = 0.25
#: Tissue is laid out this far beyond the image, µm, so that cells cut by its edge are like any other.
MARGIN_UM = 24.0

Floats = NDArray[np.float32]


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random stream of one stage; more draws in one stage leave all other stages unchanged."""
    return np.random.default_rng([seed, *name.encode()])


def smooth_field(
    rng: np.random.Generator,
    extent_um: tuple[float, float],
    scale_um: float,
    step_um: float,
    margin_um: float = MARGIN_UM,
) -> Floats:
    """Draw a Gaussian random field of mean 0 and SD 1.

    Parameters
    ----------
    rng
        Random stream of the stage.
    extent_um
        Width and height of the image, without margin, µm.
    scale_um
        Sigma of the smoothing, that is, the correlation length, µm.
    step_um
        Spacing of the returned samples, µm.
    margin_um
        Distance that the samples extend beyond the image, µm, at most `MARGIN_UM`; the field does not depend on it.

    Returns
    -------
    Floats
        float32 (H, W), sample (0, 0) at (-margin_um, -margin_um).
    """
    # A lattice matched to the scale keeps fields of long correlation cheap; 3 samples per sigma lose nothing.
    coarse_um = max(LATTICE_UM, scale_um / 3)
    size = [int(np.ceil((e + 2 * MARGIN_UM) / coarse_um)) + 1 for e in extent_um]
    white = rng.standard_normal((size[1], size[0]), dtype=np.float32)
    smooth = np.asarray(cv2.GaussianBlur(white, (0, 0), scale_um / coarse_um), np.float32)
    smooth = (smooth - smooth.mean()) / max(float(smooth.std()), 1e-9)
    return _resampled(smooth, coarse_um, extent_um, step_um, margin_um)


def _resampled(
    values: Floats, from_um: float, extent_um: tuple[float, float], to_um: float, margin_um: float
) -> Floats:
    """Resample a lattice that starts at the corner of the margin to another spacing and margin."""
    width, height = (round((e + 2 * margin_um) / to_um) for e in extent_um)
    scale, start = to_um / from_um, (MARGIN_UM - margin_um) / from_um
    warp = np.array([[scale, 0, start], [0, scale, start]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(values, warp, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT), np.float32
    )


def sample(values: Floats, xy_um: NDArray[np.floating], step_um: float) -> Floats:
    """Read a field at points.

    Parameters
    ----------
    values
        float32 (H, W), a field with the full margin `MARGIN_UM`.
    xy_um
        (N, 2), points in µm; those beyond the margin read its edge.
    step_um
        Spacing of the field's samples, µm.

    Returns
    -------
    Floats
        float32 (N,), nearest samples.
    """
    column = np.clip(np.rint((xy_um[:, 0] + MARGIN_UM) / step_um).astype(int), 0, values.shape[1] - 1)
    row = np.clip(np.rint((xy_um[:, 1] + MARGIN_UM) / step_um).astype(int), 0, values.shape[0] - 1)
    return np.asarray(values[row, column], np.float32)
