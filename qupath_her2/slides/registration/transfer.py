"""Transfer of regions between two registered slides, in either direction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import numpy as np
from shapely import MultiPolygon, Polygon, box, make_valid
from shapely.affinity import affine_transform

from qupath_her2.errors import RegistrationError
from qupath_her2.slides.tissue_outlines import polygon_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.records import Region
    from qupath_her2.slides.registration.record import Registration

__all__ = ["Direction", "inverse_matrix", "transfer_geometry", "transfer_regions"]

Direction: TypeAlias = Literal["to moving", "to fixed"]
_Area: TypeAlias = "Polygon | MultiPolygon"


def inverse_matrix(registration: Registration) -> tuple[float, float, float, float, float, float]:
    """Return the transform from level-0 px of the moving slide to those of the fixed one, in the order of `matrix`."""
    a, b, c, d, e, f = registration.matrix
    # Inverted as a homogeneous 3 x 3 matrix, which yields the inverse translation too.
    back = np.linalg.inv(np.array([[a, b, e], [c, d, f], [0, 0, 1]]))
    (a, b, e), (c, d, f) = ((float(v) for v in row) for row in back[:2])
    return a, b, c, d, e, f


def transfer_geometry(geometry: _Area, registration: Registration, direction: Direction) -> _Area:
    """Transform an outline to the other slide; holes and parts are kept, nothing is clipped.

    Parameters
    ----------
    geometry
        Outline in level-0 px of the slide it was drawn on.
    registration
        Result of `register_slides`.
    direction
        ``to moving`` from the fixed slide, ``to fixed`` from the moving one.

    Returns
    -------
    Polygon | MultiPolygon
        Outline in level-0 px of the other slide; it may reach beyond that slide.
    """
    matrix = registration.matrix if direction == "to moving" else inverse_matrix(registration)
    return cast("_Area", affine_transform(geometry, matrix))


def transfer_regions(
    regions: Sequence[Region], registration: Registration, direction: Direction
) -> tuple[list[Region], list[str]]:
    """Transfer regions to the other slide, clipped to it.

    Each region keeps its class, name, lock, role and UUID, so that both outlines are known as the same region.

    Parameters
    ----------
    regions
        Regions in level-0 px of the slide they were drawn on.
    registration
        Result of `register_slides`.
    direction
        ``to moving`` from the fixed slide, ``to fixed`` from the moving one.

    Returns
    -------
    regions
        Regions of which at least a part lies on the other slide, in level-0 px of that slide.
    notes
        A sentence for each region that was clipped or dropped.

    Raises
    ------
    RegistrationError
        If none of the regions lies on the other slide.
    """
    size = registration.moving_size if direction == "to moving" else registration.fixed_size
    slide = box(0, 0, *size)
    kept, notes = [], []
    for region in regions:
        whole = transfer_geometry(region.geometry, registration, direction)
        # People draw outlines that cross themselves; shapely cannot clip those before make_valid.
        parts = polygon_parts(make_valid(whole).intersection(slide))
        name = f"Region '{region.name or region.uuid}'"
        if not parts:
            notes.append(f"{name} lies outside the other slide and was left out.")
            continue
        inside = parts[0] if len(parts) == 1 else MultiPolygon(parts)
        lost = 1 - inside.area / whole.area
        # Below a thousandth it is the rounding of an outline drawn along the slide's edge.
        if lost > 0.001:
            notes.append(
                f"{name} extends beyond the edge of the other slide: {lost:.0%} of its area was cut off."
            )
        kept.append(replace(region, geometry=inside))
    if regions and not kept:
        raise RegistrationError(
            f"None of the {len(regions)} regions lies on the other slide ({size[0]} × {size[1]} px). Check the "
            "registration picture: the slides may show different parts of the section."
        )
    return kept, notes
