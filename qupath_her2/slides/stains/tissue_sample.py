"""Sampling of tissue pixels for stain fitting, and look-up of normalisation references."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from qupath_her2.errors import SettingsError
from qupath_her2.slides.readers.slide import Slide, open_slide, read_scaled
from qupath_her2.slides.stains.macenko import MacenkoSettings, fit_macenko
from qupath_her2.slides.stains.macenko_references import MACENKO_REFERENCES, StainProfile, profile_from_dict
from qupath_her2.slides.tissue import Tissue, find_tissue

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "SampleSettings",
    "find_reference",
    "fit_slide_macenko",
    "normalisation_reference",
    "sample_tissue_pixels",
]


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """Number, size and scale of the sampled windows.

    Attributes
    ----------
    windows
        Number of windows, spread evenly over the tissue.
    window_px
        Side of a window, pixels at the scale of reading.
    pixel_size_um
        Pixel size at which windows are read, µm. Coarser pixels mix the stains, which moves the vectors together.
    """

    windows: int = 64
    window_px: int = 64
    pixel_size_um: float = 0.5


def sample_tissue_pixels(
    slide: Slide,
    *,
    pixel_size_um: float | None = None,
    tissue: Tissue | None = None,
    settings: SampleSettings | None = None,
) -> NDArray[np.uint8]:
    """Sample tissue pixels of a slide; the same pixels at every call.

    Parameters
    ----------
    slide
        An open image.
    pixel_size_um
        µm per level-0 px; None takes the file's own. Without either, level 0 is read as it is.
    tissue
        Tissue mask of the slide; None computes it.
    settings
        Number, size and scale of the windows.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (N, 3), RGB, N up to ``windows * window_px ** 2``; (0, 3) if there is no tissue.

    Raises
    ------
    ImageReadError
        If the file cannot be read.
    """
    s = settings or SampleSettings()
    found = tissue or find_tissue(slide, pixel_size_um=pixel_size_um)
    size_um = pixel_size_um or slide.pixel_size_um
    # `read_scaled` accepts multiples of 1/8 only.
    downsample = max(1.0, round(8 * s.pixel_size_um / size_um) / 8) if size_um else 1.0
    inside = np.flatnonzero(found.mask)
    if len(inside) == 0:
        return np.empty((0, 3), np.uint8)
    # Evenly spaced ranks of the tissue pixels instead of random draws: reproducible, and no part is missed.
    chosen = inside[np.linspace(0, len(inside) - 1, min(s.windows, len(inside))).astype(np.int64)]
    rows, columns = np.divmod(chosen, found.mask.shape[1])
    half = s.window_px * downsample / 2
    parts = []
    for row, column in zip(rows, columns, strict=True):
        # Windows are centred on their mask pixel; near the edge of the tissue only the part on tissue is kept.
        x, y = (round((float(place) + 0.5) * found.downsample - half) for place in (column, row))
        window = read_scaled(slide, x, y, s.window_px, s.window_px, downsample)
        parts.append(window[_mask_window(found, x, y, downsample, s.window_px)])
    return np.concatenate(parts)


def _mask_window(tissue: Tissue, x: int, y: int, downsample: float, side_px: int) -> NDArray[np.bool_]:
    """Return the tissue mask resampled to the pixels of a window, bool (side, side)."""
    centres = (np.arange(side_px) + 0.5) * downsample
    columns, rows = (np.floor((start + centres) / tissue.downsample).astype(np.int64) for start in (x, y))
    high, wide = tissue.mask.shape
    # Windows may reach beyond the image, where the clipped look-up would repeat the mask's edge.
    within = ((rows >= 0) & (rows < high))[:, None] & ((columns >= 0) & (columns < wide))[None]
    mask = tissue.mask[rows.clip(0, high - 1)[:, None], columns.clip(0, wide - 1)[None]]
    return cast("NDArray[np.bool_]", mask & within)


def fit_slide_macenko(
    slide: Slide,
    *,
    pixel_size_um: float | None = None,
    tissue: Tissue | None = None,
    image_type: str | None = None,
    settings: MacenkoSettings | None = None,
    sample: SampleSettings | None = None,
    force: bool = False,
) -> StainProfile:
    """Fit colour and strength of haematoxylin and eosin of a slide.

    Parameters
    ----------
    slide
        An open image.
    pixel_size_um
        µm per level-0 px; None takes the file's own.
    tissue
        Tissue mask of the slide; None computes it.
    image_type
        QuPath's image type; None if unknown.
    settings
        Cut-offs of the fit.
    sample
        Number, size and scale of the sampled windows.
    force
        Accept IHC slides too.

    Returns
    -------
    StainProfile
        Stain vectors and maximum amounts, OD (log10).

    Raises
    ------
    SettingsError
        If the slide is IHC and `force` is not set, or shows too little stain or only one stain.
    ImageReadError
        If the file cannot be read.
    """
    pixels = sample_tissue_pixels(slide, pixel_size_um=pixel_size_um, tissue=tissue, settings=sample)
    return fit_macenko(
        pixels, name=f"'{slide.path.name}'", image_type=image_type, settings=settings, force=force
    )


def find_reference(name: str | Path, *, settings: MacenkoSettings | None = None) -> StainProfile:
    """Return the reference `name`: a built-in one, a stored profile (``.json``), or the fit of an H&E image.

    Parameters
    ----------
    name
        Name of a built-in reference, or path of a profile or image.
    settings
        Cut-offs of the fit, used for images only.

    Returns
    -------
    StainProfile
        The reference profile.

    Raises
    ------
    SettingsError
        If it is none of the three, or the image does not show two stains.
    ImageReadError
        If the image cannot be read.
    """
    if str(name) in MACENKO_REFERENCES:
        return MACENKO_REFERENCES[str(name)]
    path = Path(name)
    if not path.is_file():
        raise SettingsError(
            f"Stain reference '{name}' is neither a file nor a built-in reference ({', '.join(MACENKO_REFERENCES)}). "
            "Check the path, or use a built-in one."
        )
    if path.suffix.lower() != ".json":
        with open_slide(path) as slide:
            return fit_slide_macenko(slide, settings=settings)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"Stain reference '{path}' cannot be read as JSON: {error}. Fit the profile again."
        ) from error
    if not isinstance(value, dict):
        raise SettingsError(f"Stain reference '{path}' is not a stain profile. Fit the profile again.")
    return profile_from_dict(value)


def normalisation_reference(spec: str) -> StainProfile:
    """Return the reference of a stain normalisation given as in recipes and model cards, ``macenko:<reference>``.

    Raises
    ------
    SettingsError
        If the method is another, or the reference does not exist.
    """
    kind, _, name = spec.partition(":")
    if kind != "macenko" or not name:
        raise SettingsError(
            f"Unknown stain normalisation {spec!r}. This version supports macenko:REFERENCE; to use a network trained "
            "with another normalisation, install the version that trained it."
        )
    return find_reference(name)
