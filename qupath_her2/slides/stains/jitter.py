"""HED jitter: random changes of stain strength in training, so that a network does not learn a staining protocol.

Method: Tellez D et al. Whole-slide mitosis detection in H&E breast histology using PHH3 as a reference to train
distilled stain-invariant convolutional networks. IEEE Trans Med Imaging 2018;37:2126-2136,
doi 10.1109/TMI.2018.2820199: each stain s of an image becomes ``alpha s + beta``. Strengths named "light" and "strong"
are those compared in Tellez D et al., Med Image Anal 2019;58:101544, doi 10.1016/j.media.2019.101544.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from qupath_her2.setting_ranges import Range, check_settings
from qupath_her2.slides.stains.density_map import DensityMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HED_STAINS", "HED_WHITE", "JitterSettings", "draw_hed_jitter", "hed_jitter"]

#: Haematoxylin, eosin and DAB as rows of red, green, blue density: Ruifrok & Johnston 2001, as scikit-image has them.
HED_STAINS: NDArray[np.float64] = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
#: White value in the sense of `DensityMap`: a pixel of 255 has density 0 and stays white for any alpha.
HED_WHITE = 256.0


@dataclass(frozen=True, slots=True)
class JitterSettings:
    """Ranges of the jitter.

    Attributes
    ----------
    alpha_range
        Alpha is drawn uniformly from ``1 - alpha_range .. 1 + alpha_range`` for each stain; at 1 a stain
        could vanish.
    beta_range_od
        Beta is drawn uniformly from ``-beta_range_od .. beta_range_od``, OD (log10). The papers give
        their range in the units of one version of scikit-image that no later version shares: ours are densities.

    Raises
    ------
    SettingsError
        If a range is out of bounds.
    """

    alpha_range: Annotated[float, Range(0, 1, is_open="high")] = 0.05
    beta_range_od: Annotated[float, Range(0, 1, "OD", is_open="high")] = 0.01

    def __post_init__(self) -> None:
        check_settings(self)


def draw_hed_jitter(
    rng: np.random.Generator, n: int, settings: JitterSettings | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw alpha and beta for `n` images.

    Parameters
    ----------
    rng
        Random generator; alpha is drawn before beta.
    n
        Number of images.
    settings
        Ranges of the jitter.

    Returns
    -------
    alpha, beta
        float64 (n, 3) for haematoxylin, eosin and DAB; `hed_jitter` takes one row of each.
    """
    s = settings or JitterSettings()
    alpha = rng.uniform(1 - s.alpha_range, 1 + s.alpha_range, (n, 3))
    beta = rng.uniform(-s.beta_range_od, s.beta_range_od, (n, 3))
    return alpha, beta


def hed_jitter(alpha: NDArray[np.float64], beta: NDArray[np.float64]) -> DensityMap:
    """Return the density map that changes the amount s of each stain to ``alpha s + beta``.

    Unmixing, scaling and mixing are linear, so together they are one affine transform of density.

    Parameters
    ----------
    alpha, beta
        float64 (3,) for haematoxylin, eosin and DAB; beta in OD (log10).

    Returns
    -------
    DensityMap
        The transform, for images with the white point 255.
    """
    # HED_STAINS has stains as rows (density = stains @ HED_STAINS), but a density map multiplies from the left.
    mixing = HED_STAINS.T
    matrix = mixing @ np.diag(np.asarray(alpha, np.float64)) @ np.linalg.inv(mixing)
    return DensityMap(matrix, mixing @ np.asarray(beta, np.float64), HED_WHITE, HED_WHITE)
