"""Trained networks shipped with the package: weights and card as package data, under the package's licence.

`unet` comes at two scales, for slides scanned at 40x and at 20x. Both were trained on synthetic fields only, by
``python -m tests.quality.shipped_unet``, the first from random weights, the second from those of the first: they
contain no patient data and nobody else's weights.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["SHIPPED", "shipped_checkpoint", "shipped_checkpoints"]

#: Models that can be used without a checkpoint of one's own, and their checkpoints, from the finest scale.
_CHECKPOINTS = {"unet": ("unet", "unet-0.5")}

#: Names of these models.
SHIPPED = tuple(_CHECKPOINTS)


def shipped_checkpoints(model: str) -> tuple[Path, ...]:
    """Return the paths, without suffix, of the checkpoints of a model that is shipped with the package.

    Parameters
    ----------
    model
        One of `SHIPPED`.

    Returns
    -------
    tuple[Path, ...]
        One for each scale, from the smallest pixels to the largest.

    Raises
    ------
    ValueError
        No trained network of this name is shipped.

    Examples
    --------
    >>> [path.name for path in shipped_checkpoints("unet")]
    ['unet', 'unet-0.5']
    """
    if model not in SHIPPED:
        raise ValueError(f"No trained '{model}' comes with the package; there are {', '.join(SHIPPED)}.")
    return tuple(Path(__file__).parent / "data" / name for name in _CHECKPOINTS[model])


def shipped_checkpoint(model: str) -> Path:
    """Return the checkpoint of the smallest pixels, the one that further training starts from.

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
    return shipped_checkpoints(model)[0]
