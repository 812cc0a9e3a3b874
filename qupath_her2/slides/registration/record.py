"""The map between two registered slides, as a record that is stored beside them."""

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
    """An affine map from the fixed slide to the moving one, and how good it is.

    Attributes
    ----------
    matrix
        (a, b, c, d, e, f) of ``x' = a x + b y + e``, ``y' = c x + d y + f``, the order of shapely's
        `affine_transform`; from level-0 px of the fixed slide to level-0 px of the moving one, as QuPath shows both.
    fixed_size, moving_size
        Width and height, level-0 px.
    fixed_pixel_size_um, moving_pixel_size_um
        As used.
    error_um, error_90_um
        Median and 90th percentile of how far places lie from a map fitted without them, µm.
    agreeing, looked_for
        Blocks that agree with the map, and blocks on tissue of both slides.
    rotation_deg
        Of the moving slide against the fixed one, clockwise as seen, -180..180.
    is_mirrored
        Whether the moving slide shows the other side of the section.
    stretch
        Largest change of length in any direction, as a share.
    scale_um
        Pixel size at which the map was fitted, µm.
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
        """Return what people read: turn, side, error and how much it rests on."""
        side = ", mirrored" if self.is_mirrored else ""
        return (
            f"turned by {self.rotation_deg:.1f}°{side}, error {self.error_um:.0f} µm (90 % under "
            f"{self.error_90_um:.0f} µm) at {self.agreeing} of {self.looked_for} places"
        )


def registration_to_dict(registration: Registration) -> dict[str, Any]:
    """Return a registration as JSON-able values; `registration_from_dict` reads it back exactly."""
    values = {name: getattr(registration, name) for name in _FIELDS}
    return {"format": 1, "kind": "registration", **values}


_FIELDS = tuple(Registration.__dataclass_fields__)
_PAIRS = {"matrix": 6, "fixed_size": 2, "moving_size": 2}


def registration_from_dict(value: Mapping[str, Any]) -> Registration:
    """Read what `registration_to_dict` wrote.

    Raises
    ------
    RegistrationError
        When it is something else, or a value is missing or of another kind.
    """
    if value.get("format") != 1 or value.get("kind") != "registration":
        raise RegistrationError(
            f"This is no registration of format 1 (format {value.get('format')!r}, kind {value.get('kind')!r}). "
            "Register the slides again."
        )
    try:
        fields = {name: value[name] for name in _FIELDS}
        for name, length in _PAIRS.items():
            fields[name] = tuple(fields[name])
            if len(fields[name]) != length or not all(math.isfinite(number) for number in fields[name]):
                raise ValueError(f"{name} is {fields[name]}")
    except (KeyError, TypeError, ValueError) as error:
        raise RegistrationError(
            f"A registration lacks a value or holds a wrong one: {error}. Register the slides again."
        ) from error
    return Registration(**fields)
