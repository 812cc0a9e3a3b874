"""Tissue pixels of a slide, to fit its stains on; and the reference that slides are brought to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from qupath_her2.errors import SettingsError
from qupath_her2.slides.readers.slide import Slide, open_slide, read_scaled
from qupath_her2.slides.stains.he_profiles import MACENKO_REFERENCES, StainProfile, profile_from_dict
from qupath_her2.slides.stains.macenko import MacenkoSettings, fit_macenko
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
    """How much of a slide is looked at.

    Attributes
    ----------
    windows
        Number of windows, spread evenly over the tissue.
    window_px
        Side of a window, pixels as read.
    pixel_size_um
        Scale at which windows are read, µm. Coarser pixels mix the stains, and their colours draw near.
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
    """Return pixels of the tissue, the same ones at every call.

    Parameters
    ----------
    slide
        An open image.
    pixel_size_um
        µm per level-0 px; the file's own where not given. Without either, level 0 is read as it is.
    tissue
        Where it lies, found where not given.
    settings
        How many.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (N, 3), N up to ``windows * window_px ** 2``; (0, 3) without any tissue.
    """
    s = settings or SampleSettings()
    found = tissue or find_tissue(slide, pixel_size_um=pixel_size_um)
    size_um = pixel_size_um or slide.pixel_size_um
    # `read_scaled` takes eighths.
    downsample = max(1.0, round(8 * s.pixel_size_um / size_um) / 8) if size_um else 1.0
    inside = np.flatnonzero(found.mask)
    if len(inside) == 0:
        return np.empty((0, 3), np.uint8)
    chosen = inside[np.linspace(0, len(inside) - 1, min(s.windows, len(inside))).astype(np.int64)]
    rows, columns = np.divmod(chosen, found.mask.shape[1])
    half = s.window_px * downsample / 2
    parts = []
    for row, column in zip(rows, columns, strict=True):
        x, y = (round((float(place) + 0.5) * found.downsample - half) for place in (column, row))
        window = read_scaled(slide, x, y, s.window_px, s.window_px, downsample)
        parts.append(window[_mask_window(found, x, y, downsample, s.window_px)])
    return np.concatenate(parts)


def _mask_window(tissue: Tissue, x: int, y: int, downsample: float, side_px: int) -> NDArray[np.bool_]:
    """Return the tissue mask at the pixels of a window, bool (side, side)."""
    centres = (np.arange(side_px) + 0.5) * downsample
    columns, rows = (np.floor((start + centres) / tissue.downsample).astype(np.int64) for start in (x, y))
    high, wide = tissue.mask.shape
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
    """Find colour and strength of the stains of a slide; arguments and errors as those of its two steps."""
    pixels = sample_tissue_pixels(slide, pixel_size_um=pixel_size_um, tissue=tissue, settings=sample)
    return fit_macenko(
        pixels, name=f"'{slide.path.name}'", image_type=image_type, settings=settings, force=force
    )


def find_reference(name: str | Path, *, settings: MacenkoSettings | None = None) -> StainProfile:
    """Return the reference called `name`: a built-in one, a stored profile (``.json``) or an H&E image to fit.

    Raises
    ------
    SettingsError
        When it is none of the three, or the image does not show two stains.
    ImageReadError
        When the image cannot be read.
    """
    if str(name) in MACENKO_REFERENCES:
        return MACENKO_REFERENCES[str(name)]
    path = Path(name)
    if not path.is_file():
        raise SettingsError(
            f"Stain reference '{name}' is neither a file nor a built-in reference ({', '.join(MACENKO_REFERENCES)})."
        )
    if path.suffix.lower() != ".json":
        with open_slide(path) as slide:
            return fit_slide_macenko(slide, settings=settings)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"Stain reference '{path}' cannot be read as JSON: {error}. Fit it again."
        ) from error
    if not isinstance(value, dict):
        raise SettingsError(f"Stain reference '{path}' holds no stain profile. Fit it again.")
    return profile_from_dict(value)


def normalisation_reference(words: str) -> StainProfile:
    """Return the reference of a normalisation as a recipe or a model card names it, ``macenko:<reference>``.

    Raises
    ------
    SettingsError
        It is another kind of normalisation, or no such reference is there.
    """
    kind, _, name = words.partition(":")
    if kind != "macenko" or not name:
        raise SettingsError(
            f"Unknown stain normalisation {words!r}. This version knows macenko:REFERENCE; a network trained with "
            "another one needs the version that trained it."
        )
    return find_reference(name)
