from __future__ import annotations

import numpy as np
import pytest
import shapely

from qupath_her2.cells.nuclei.contours import Candidates, outline_seeds
from qupath_her2.cells.nuclei.star_contours import polygons
from qupath_her2.cells.stain_planes import Planes
from tests.helpers.drawn_planes import disc, planes_of

SHAPE = (120, 136)
UM_PX = 0.5


def nucleus_planes(mask: np.ndarray, od: float = 0.12, dab: np.ndarray | None = None) -> Planes:
    evidence = (od * mask).astype(np.float32)
    contrast = evidence - np.float32(od / 4)
    return planes_of(
        UM_PX, hematoxylin=evidence, nuclear=evidence, nuclear_contrast=contrast,
        dab=np.zeros_like(evidence) if dab is None else dab,
    )  # fmt: skip


def overlap(found: Candidates, truth: shapely.Polygon) -> float:
    """Intersection over union of the first contour with the ground truth."""
    shape = shapely.Polygon(polygons(found.centre[:1], found.radii[:1])[0])
    return shape.intersection(truth).area / shape.union(truth).area


def ellipse(x: float, y: float, a: float, b: float, turn: float) -> tuple[np.ndarray, shapely.Polygon]:
    """A soft mask and its outline at one half."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    u = (columns - x) * np.cos(turn) + (rows - y) * np.sin(turn)
    v = -(columns - x) * np.sin(turn) + (rows - y) * np.cos(turn)
    away = (np.hypot(u / a, v / b) - 1) * min(a, b)
    circle = shapely.affinity.scale(shapely.Point(0, 0).buffer(1, 64), a, b)
    outline = shapely.affinity.translate(
        shapely.affinity.rotate(circle, turn, origin=(0, 0), use_radians=True), x, y
    )
    return 1 / (1 + np.exp(away / 0.5)), outline


@pytest.mark.parametrize(("a", "b"), [(6, 6), (8, 6), (11, 6.5), (13, 13)])
@pytest.mark.parametrize("turn", [0.0, 0.6])
def test_oval_nucleus_is_outlined_from_an_off_centre_seed(a: float, b: float, turn: float) -> None:
    mask, truth = ellipse(66.4, 58.7, a, b, turn)
    found = outline_seeds(nucleus_planes(mask), np.array([[68.0, 57.0]], np.float32))
    assert overlap(found, truth) > 0.8
    assert found.area_um2[0] == pytest.approx(truth.area * UM_PX**2, rel=0.15)
    assert found.centre[0] == pytest.approx([66.4, 58.7], abs=1)


def test_stains_inside_and_outside() -> None:
    mask = disc(SHAPE, 60, 60, 8, soft_px=0.5)
    planes = nucleus_planes(mask, od=0.2, dab=(0.3 * (1 - mask)).astype(np.float32))
    found = outline_seeds(planes, np.array([[60, 60]], np.float32))
    assert found.hematoxylin[0] == pytest.approx([0.2, 0], abs=0.02)
    assert found.dab[0] == pytest.approx([0, 0.3], abs=0.03)
    # Evidence falls by the whole density across the contour.
    assert found.edge[0].mean() == pytest.approx(0.2, rel=0.1)


def test_nucleolus_does_not_win_over_its_nucleus() -> None:
    mask = disc(SHAPE, 60, 60, 9) + 0.6 * disc(SHAPE, 60, 60, 3)
    found = outline_seeds(nucleus_planes(mask), np.array([[60, 60]], np.float32))
    assert found.area_um2[0] == pytest.approx(np.pi * 4.5**2, rel=0.15)


def test_shifting_the_image_only_shifts_the_contour() -> None:
    rng = np.random.default_rng(4)
    mask = disc(SHAPE, 61.3, 55.2, 7.5) + rng.normal(0, 0.05, SHAPE)
    seed = np.array([[62, 54]], np.float32)
    here = outline_seeds(nucleus_planes(mask), seed)
    there = outline_seeds(
        nucleus_planes(np.roll(mask, (16, 8), (0, 1))), seed + np.array([8, 16], np.float32)
    )
    assert (there.centre - here.centre == [8, 16]).all()
    assert (there.radii == here.radii).all()
    assert (here.centre * 16 % 1 == 0).all()


def test_contours_stay_in_the_tile_and_flat_evidence_has_none() -> None:
    planes = nucleus_planes(disc(SHAPE, 0, 0, 8) + disc(SHAPE, SHAPE[1] - 1, SHAPE[0] - 1, 8))
    assert len(outline_seeds(planes, np.zeros((0, 2), np.float32))) == 0
    corners = np.array([[0, 0], [SHAPE[1] - 1, SHAPE[0] - 1]], np.float32)
    found = outline_seeds(planes, corners)
    # Each is outlined by the wide and by the small search.
    assert len(found) == 4
    assert (found.centre >= 0).all()
    assert (found.centre <= corners[1]).all()
    assert np.isfinite(found.edge).all()
    kept = found.take(np.array([1]))
    assert len(kept) == 1
    assert (kept.centre == found.centre[1:2]).all()
    # Flat evidence has no contour.
    assert len(outline_seeds(nucleus_planes(np.ones(SHAPE)), np.array([[60, 60]], np.float32))) == 0
