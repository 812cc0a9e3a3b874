"""Registration result: the affine transform between two slides with its error, and its JSON form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qupath_her2.errors import RegistrationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Registration", "registration_from_dict", "registration_to_dict"]


@dataclass(frozen=True, slots=True)
class Registration:
    """Affine transform from the fixed slide to the moving one, with its quality.

    Attributes
    ----------
    matrix
        (a, b, c, d, e, f) of ``x' = a x + b y + e``, ``y' = c x + d y + f``, the order of shapely's
        `affine_transform`; from level-0 px of the fixed slide to level-0 px of the moving one, as QuPath shows both.
    fixed_size, moving_size
        Width and height, level-0 px.
    fixed_pixel_size_um, moving_pixel_size_um
        Pixel sizes used for the registration, µm.
    error_um, error_90_um
        Median and 90th percentile of the cross-validated residuals (`held_out_residuals_um`), µm.
    agreeing, looked_for
        Number of blocks that agree with the transform, and of blocks that were searched for.
    rotation_deg
        Rotation of the moving slide against the fixed one, clockwise on the screen, -180..180.
    is_mirrored
        True if the moving slide shows the section from its other side.
    stretch
        Largest relative change of length in any direction: 0.02 is 2 %.
    scale_um
        Pixel size at which the transform was fitted, µm.
    """

    matrix: tuple[float, float, float, float, float, float]
    fixed_size: tuple[int, int]
    moving_size: tuple[int, int]
    fixed_pixel_size_um: float
    moving_pixel_size_um: float
    error_um: float
    error_90_um: float
    agreeing: int
    looked_for: int
    rotation_deg: float
    is_mirrored: bool
    stretch: float
    scale_um: float

    def sentence(self) -> str:
        """Return a summary for the user: rotation, mirroring, error and number of agreeing blocks."""
        side = ", mirrored" if self.is_mirrored else ""
        return (
            f"rotated by {self.rotation_deg:.1f}°{side}; median error {self.error_um:.0f} µm, 90 % within "
            f"{self.error_90_um:.0f} µm; {self.agreeing} of {self.looked_for} blocks agree"
        )


def registration_to_dict(registration: Registration) -> dict[str, Any]:
    """Return a registration as JSON-serialisable values; `registration_from_dict` restores it exactly."""
    values = {name: getattr(registration, name) for name in _FIELDS}
    return {"format": 1, "kind": "registration", **values}


_FIELDS = tuple(Registration.__dataclass_fields__)
#: Fields that are tuples, which JSON turns into lists, with their lengths.
_TUPLES = {"matrix": 6, "fixed_size": 2, "moving_size": 2}


def registration_from_dict(value: Mapping[str, Any]) -> Registration:
    """Restore a registration from the values of `registration_to_dict`.

    Raises
    ------
    RegistrationError
        If the format is another, or a value is missing or of the wrong type.
    """
    if value.get("format") != 1 or value.get("kind") != "registration":
        raise RegistrationError(
            f"Not a registration of format 1 (format {value.get('format')!r}, kind {value.get('kind')!r}). "
            "Register the slides again."
        )
    try:
        fields = {name: value[name] for name in _FIELDS}
        for name, length in _TUPLES.items():
            fields[name] = tuple(fields[name])
            # NaN and infinity pass as JSON numbers in Python; a transform with one would move regions anywhere.
            if len(fields[name]) != length or not all(math.isfinite(number) for number in fields[name]):
                raise ValueError(f"{name} is {fields[name]}")
    except (KeyError, TypeError, ValueError) as error:
        raise RegistrationError(
            f"The registration has a missing or invalid value: {error}. Register the slides again."
        ) from error
    return Registration(**fields)
