"""Trained networks shipped with the package: weights and card as package data, under the package's licence.

`unet` was trained from random weights on synthetic fields only, by ``python -m tests.quality.shipped_unet``: it
contains no patient data and nobody else's weights.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["SHIPPED", "shipped_checkpoint"]

#: Models that can be used without a checkpoint of one's own.
SHIPPED = ("unet",)


def shipped_checkpoint(model: str) -> Path:
    """Return the path, without suffix, of a checkpoint that is shipped with the package.

    Parameters
    ----------
    model
        One of `SHIPPED`.

    Raises
    ------
    ValueError
        No trained network of this name is shipped.

    Examples
    --------
    >>> shipped_checkpoint("unet").name
    'unet'
    """
    if model not in SHIPPED:
        raise ValueError(f"No trained '{model}' comes with the package; there are {', '.join(SHIPPED)}.")
    return Path(__file__).parent / "data" / model
