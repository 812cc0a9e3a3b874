"""Stain-independent image of a slide for registration: density of red light on tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from qupath_her2.errors import RegistrationError
from qupath_her2.slides.stains.vectors import optical_density
from qupath_her2.slides.tissue import find_tissue, read_thumbnail

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.slides.readers.slide import Slide

__all__ = ["Structure", "read_structure", "shrink_structure"]


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """Image of a slide that is similar in different stains.

    Attributes
    ----------
    density
        float32 (H, W), 0 on glass, about 0.3 on pale and 1 on dark tissue.
    tissue
        bool (H, W), True on tissue.
    pixel_size_um
        Pixel size of both, µm; the left edge of column j lies ``j * pixel_size_um`` from the slide's left edge.
    """

    density: NDArray[np.float32]
    tissue: NDArray[np.bool_]
    pixel_size_um: float


def read_structure(slide: Slide, slide_pixel_size_um: float, pixel_size_um: float) -> Structure:
    """Read the density of red light of a slide, on tissue.

    Haematoxylin, which H&E and IHC share, absorbs red light; eosin hardly absorbs it, and DAB least of the three
    channels. So the red channel looks much the same in both stains.

    Parameters
    ----------
    slide
        An open image.
    slide_pixel_size_um
        µm per level-0 px.
    pixel_size_um
        Pixel size of the result, µm; at least that of the slide.

    Returns
    -------
    Structure
        The whole slide.

    Raises
    ------
    RegistrationError
        If no tissue is found.
    ImageReadError
        If the file cannot be read.
    """
    tissue = find_tissue(slide, pixel_size_um=slide_pixel_size_um)
    if not tissue.mask.any():
        raise RegistrationError(
            f"No tissue was found in '{slide.path.name}', so there is nothing to register. Check that it is the right "
            "slide and that it is not overexposed."
        )
    thumbnail, downsample = read_thumbnail(slide, max(1, int(pixel_size_um / slide_pixel_size_um)))
    factor = downsample * slide_pixel_size_um / pixel_size_um
    red = np.maximum(optical_density(thumbnail, tissue.background_rgb)[..., 0], 0)
    red = _resample(red, factor, slide, slide_pixel_size_um / pixel_size_um)
    mask = cv2.resize(tissue.mask.astype(np.uint8), red.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    # A speck of tissue may vanish when the mask is shrunk.
    if not mask.any():
        mask[...] = True
    # The 95th percentile as full scale makes strong and weak staining comparable.
    dark = max(float(np.percentile(red[mask], 95)), 0.02)
    # The offset of 0.3 sets pale tissue apart from glass: the outline contributes half of what identifies a section.
    density = np.where(mask, 0.3 + 0.7 * np.minimum(red / dark, 1.2), 0)
    return Structure(density.astype(np.float32), mask, pixel_size_um)


def _resample(image: NDArray[np.float32], factor: float, slide: Slide, scale: float) -> NDArray[np.float32]:
    """Shrink a thumbnail by `factor` <= 1 onto the grid of the requested pixel size, aligned at the top-left corner."""
    wide, high = max(1, round(slide.width * scale)), max(1, round(slide.height * scale))
    if factor < 1:
        # Low-pass before sampling, against aliasing.
        sigma = 0.45 * (1 / factor - 1)
        image = cast("NDArray[np.float32]", cv2.GaussianBlur(image, (0, 0), max(sigma, 0.05)))
    # The centre of output pixel i lies at index (i + 0.5) / factor - 0.5 of the thumbnail.
    shift = 0.5 / factor - 0.5
    matrix = np.array([[1 / factor, 0, shift], [0, 1 / factor, shift]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, matrix, (wide, high), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return cast("NDArray[np.float32]", warped)


def shrink_structure(structure: Structure, pixel_size_um: float) -> Structure:
    """Return the structure area-averaged to a coarser pixel size; unchanged if it is coarse enough already."""
    factor = pixel_size_um / structure.pixel_size_um
    if factor <= 1:
        return structure
    high, wide = (max(1, int(n / factor)) for n in structure.density.shape)
    # Rounding the size would stretch the image by part of a pixel: crop the remainder instead.
    rows, columns = round(high * factor), round(wide * factor)
    density = cv2.resize(structure.density[:rows, :columns], (wide, high), interpolation=cv2.INTER_AREA)
    share = cv2.resize(
        structure.tissue[:rows, :columns].astype(np.float32), (wide, high), interpolation=cv2.INTER_AREA
    )
    return Structure(cast("NDArray[np.float32]", density), share > 0.5, pixel_size_um)
