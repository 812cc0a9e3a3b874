"""Transfer of regions in both directions under any affine transform."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Point, Polygon, box

from qupath_her2.errors import RegistrationError
from qupath_her2.records import Region
from qupath_her2.slides.registration.record import Registration
from qupath_her2.slides.registration.transfer import transfer_geometry, transfer_regions
from tests.helpers.drawn_sections import affine_px


def registration(matrix=(1, 0, 0, 1, 0, 0), moving_size=(1000, 1000)) -> Registration:
    return Registration(matrix, (1000, 1000), moving_size, 0.5, 0.5, 5, 9, 50, 50, 0, False, 0, 4)


@st.composite
def registrations(draw) -> Registration:
    m = affine_px(
        draw(st.floats(0, 360)),
        (1000, 1000),
        (2000, 1500),
        is_mirrored=draw(st.booleans()),
        shear=draw(st.floats(-0.1, 0.1)),
        scale=draw(st.floats(0.3, 3)),
        shift_px=(draw(st.floats(-200, 200)), draw(st.floats(-200, 200))),
    )
    return registration((*m[:2, :2].ravel(), *m[:2, 2]))


RING = Polygon(
    [(100, 100), (700, 150), (650, 800), (120, 640)], [[(300, 300), (400, 300), (400, 400), (300, 400)]]
)


@given(registrations())
@settings(max_examples=80, deadline=None)
def test_transferring_there_and_back_restores_the_outline(one):
    shape = MultiPolygon([RING, box(800, 800, 900, 950)])
    there = transfer_geometry(shape, one, "to moving")
    back = transfer_geometry(there, one, "to fixed")
    assert back.equals_exact(shape, 1e-6)
    a, b, c, d, _, _ = one.matrix
    assert there.area == pytest.approx(shape.area * abs(a * d - b * c), rel=1e-9)
    assert [len(part.interiors) for part in there.geoms] == [1, 0]


@given(registrations(), st.floats(150, 600), st.floats(150, 600))
@settings(max_examples=60, deadline=None)
def test_a_point_keeps_its_side_of_the_outline(one, x, y):
    there = transfer_geometry(RING, one, "to moving")
    a, b, c, d, e, f = one.matrix
    point = Point(a * x + b * y + e, c * x + d * y + f)
    if RING.boundary.distance(Point(x, y)) > 1e-6:
        assert there.contains(point) == RING.contains(Point(x, y))


def region(number: int, geometry, **more) -> Region:
    return Region(UUID(int=number), geometry, "tumour", **({"class_name": "Tumor"} | more))


def test_transferred_regions_keep_identity_class_name_and_lock():
    one = region(1, RING, name="hot spot", is_locked=True)
    (there,), notes = transfer_regions([one], registration((1, 0, 0, 1, 40, -30)), "to moving")
    assert (there.uuid, there.name, there.class_name, there.is_locked, there.role) == (
        one.uuid,
        "hot spot",
        "Tumor",
        True,
        "tumour",
    )
    assert there.geometry.bounds == (140, 70, 740, 770)
    assert notes == []


def test_regions_beyond_the_slide_are_clipped_and_reported():
    regions = [region(1, box(0, 0, 100, 100), name="edge"), region(2, box(0, 500, 40, 600)), region(3, RING)]
    kept, notes = transfer_regions(regions, registration((1, 0, 0, 1, -50, 0)), "to moving")
    assert [one.uuid.int for one in kept] == [1, 3]
    assert kept[0].geometry.bounds == (0, 0, 50, 100)
    assert (
        notes[0] == "Region 'edge' extends beyond the edge of the other slide: 50% of its area was cut off."
    )
    assert "outside the other slide" in notes[1]
    back, _ = transfer_regions(kept, registration((1, 0, 0, 1, -50, 0)), "to fixed")
    assert back[0].geometry.bounds == (50, 0, 100, 100)


def test_a_region_cut_in_two_stays_one_region():
    comb = Polygon([(0, 0), (300, 0), (300, 100), (200, 100), (200, 20), (100, 20), (100, 100), (0, 100)])
    (there,), _ = transfer_regions([region(1, comb)], registration((1, 0, 0, 1, 0, -50)), "to moving")
    assert isinstance(there.geometry, MultiPolygon)
    assert there.geometry.area == 2 * 100 * 50


def test_regions_that_all_lie_outside_are_refused():
    with pytest.raises(RegistrationError, match="None of the 1 regions"):
        transfer_regions([region(1, RING)], registration((1, 0, 0, 1, 5000, 0)), "to moving")
    assert transfer_regions([], registration(), "to moving") == ([], [])
