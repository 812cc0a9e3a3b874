"""The trained networks that come with the package: weights and card as package data, licence that of the package.

`unet` was grown on drawn fields alone, by ``python -m tests.quality.shipped_unet``; no tissue and nobody's weights
are in it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["SHIPPED", "shipped_checkpoint"]

#: Models that need no checkpoint of the user's.
SHIPPED = ("unet",)


def shipped_checkpoint(model: str) -> Path:
    """Return the checkpoint that comes with the package, path without ending.

    Parameters
    ----------
    model
        One of `SHIPPED`.

    Examples
    --------
    >>> shipped_checkpoint("unet").name
    'unet'
    """
    if model not in SHIPPED:
        raise ValueError(f"No trained '{model}' comes with the package; there are {', '.join(SHIPPED)}.")
    return Path(__file__).parent / "data" / model
