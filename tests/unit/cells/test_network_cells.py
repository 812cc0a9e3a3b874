"""Cells in maps that are right by construction: drawn shapes, and the truth of drawn fields."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely

from qupath_her2.cells.grid import GridSettings
from qupath_her2.cells.measure import CellSettings, MeasuredCells, measure_cells
from qupath_her2.cells.membrane.measurements import UNCERTAINTY_NAME
from qupath_her2.cells.membrane.outlines import N_SECTORS, NO_NEIGHBOUR
from qupath_her2.cells.network_cells import NetworkCellSettings, cells_from_map
from qupath_her2.cells.nuclei.network_nuclei import NucleusMapSettings, nuclei_from_map
from qupath_her2.cells.nuclei.star_contours import polygon_areas
from qupath_her2.cells.quality import QualitySettings
from qupath_her2.learning.metrics.instance_metrics import match_polygons
from qupath_her2.models.pixel_map import PixelMap
from qupath_her2.patches.targets.truth_targets import truth_target
from qupath_her2.records import Box, Region
from tests.helpers.drawn_planes import STAINS, ArraySlide
from tests.helpers.matching import match_nuclei

UM_PX = 0.5


class DrawnClasses:
    """A network that knows the truth of a field, a little blurred, at the field's own scale or finer pixels."""

    def __init__(self, field, blur_px: float = 2.0, um_px: float = 0.25) -> None:
        self.um_px = um_px
        self.downsample = um_px / field.settings.pixel_size_um
        target = truth_target(field)
        sure = np.stack([target == code for code in range(3)], -1).astype(np.float32)
        if blur_px:
            sure = cv2.GaussianBlur(sure, (0, 0), blur_px)
        self.maps = np.rint(255 * sure).astype(np.uint8)

    def segment(self, box: Box) -> PixelMap:
        out = np.zeros((box.height, box.width, 3), np.uint8)
        out[..., 0] = 255
        height, width = self.maps.shape[:2]
        x0, y0 = max(box.x, 0), max(box.y, 0)
        part = self.maps[y0 : min(box.y + box.height, height), x0 : min(box.x + box.width, width)]
        out[y0 - box.y : y0 - box.y + part.shape[0], x0 - box.x : x0 - box.x + part.shape[1]] = part
        return PixelMap(out)


def discs(*places: tuple[float, float, float], shape: tuple[int, int] = (80, 100)) -> np.ndarray:
    """Probability 1 in circles (x, y, radius), with edges that fall over one pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    away = [np.clip(0.5 + r - np.hypot(x - cx, y - cy), 0, 1) for cx, cy, r in places]
    return np.max(away, axis=0).astype(np.float32)


def test_a_disc_is_a_nucleus_of_its_size_and_place() -> None:
    nuclei, owner = nuclei_from_map(discs((40.3, 30.6, 8)), UM_PX, NucleusMapSettings())
    assert len(nuclei) == 1
    assert nuclei.centre[0] == pytest.approx([40.3, 30.6], abs=0.1)
    assert nuclei.radii[0] == pytest.approx(8, abs=0.3)
    assert (owner == 0).sum() == pytest.approx(np.pi * 64, rel=0.05)


@pytest.mark.parametrize(("radius", "gap"), [(9, -2.0), (10, -2.5), (8, -1.0), (9, 1.0)])
@pytest.mark.parametrize("smaller", [1.0, 0.7])
def test_touching_nuclei_part_at_their_neck(radius: float, gap: float, smaller: float) -> None:
    other = radius * smaller
    apart = radius + other + gap
    nuclei, owner = nuclei_from_map(
        discs((30, 40, radius), (30 + apart, 40, other)), UM_PX, NucleusMapSettings()
    )
    assert len(nuclei) == 2
    by_x = np.argsort(nuclei.centre[:, 0])
    assert nuclei.centre[by_x, 0] == pytest.approx([30, 30 + apart], abs=1.0)
    # Where two circles cut, not half-way between their centres.
    neck = 30 + (apart**2 + radius**2 - other**2) / (2 * apart)
    last = np.flatnonzero(owner[40] == by_x[0]).max()
    assert last == pytest.approx(neck if gap < 0 else 30 + radius, abs=1.6)


@pytest.mark.parametrize("angle", [0, 30, 45, 90])
@pytest.mark.parametrize("aspect", [1.5, 2.2])
def test_a_long_nucleus_stays_one(aspect: float, angle: int) -> None:
    mask = np.zeros((100, 100), np.float32)
    axes = (int(7 * aspect), 7)
    cv2.ellipse(mask, (50, 50), axes, angle, 0, 360, 1.0, -1)
    nuclei, _ = nuclei_from_map(mask, UM_PX, NucleusMapSettings())
    assert len(nuclei) == 1
    assert polygon_areas(nuclei.radii)[0] == pytest.approx(mask.sum(), rel=0.08)


def test_specks_and_doubtful_places_are_no_nuclei() -> None:
    maps = np.maximum(discs((20, 20, 1.5)), 0.55 * discs((60, 40, 8)))
    assert len(nuclei_from_map(maps, UM_PX, NucleusMapSettings())[0]) == 0
    assert len(nuclei_from_map(maps, UM_PX, NucleusMapSettings(min_peak=0.5))[0]) == 1
    assert len(nuclei_from_map(np.zeros((30, 30), np.float32), UM_PX, NucleusMapSettings())[0]) == 0


def ring(x: float, y: float, radius: float, width: float, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    off = np.abs(np.hypot(columns - x, rows - y) - radius)
    return np.clip(0.5 + width / 2 - off, 0, 1).astype(np.float32)


@pytest.mark.parametrize("radius", [11, 14, 18])
def test_the_outline_follows_a_ring(radius: int) -> None:
    shape = (90, 90)
    nuclear, membrane = discs((45, 45, 8), shape=shape), ring(45, 45, radius, 2, shape)
    _, cells = cells_from_map(nuclear, membrane, UM_PX)
    assert cells.radii[0] == pytest.approx(radius, abs=1.3)
    assert (cells.neighbour == NO_NEIGHBOUR).all()


def test_without_membrane_a_cell_ends_where_the_classical_one_does() -> None:
    settings = NetworkCellSettings()
    nuclear = discs((30, 40, 8), (60, 40, 8))
    nuclei, cells = cells_from_map(nuclear, np.zeros_like(nuclear), UM_PX)
    left = int(nuclei.centre[:, 0].argmin())
    lone = cells.radii[left][9:27]  # sectors that face nobody
    assert lone == pytest.approx(8 + settings.outlines.expansion_um / UM_PX, abs=1.0)
    # Half-way to the other nucleus, 30 px away.
    assert cells.radii[left][0] == pytest.approx(15, abs=1.0)
    assert cells.neighbour[left][0] == 1 - left
    assert cells.neighbour[left][18] == NO_NEIGHBOUR


def test_a_membrane_that_is_not_half_way_bounds_both_cells() -> None:
    nuclear = discs((30, 40, 8), (64, 40, 8))
    membrane = np.zeros_like(nuclear)
    membrane[:, 51:53] = 1
    nuclei, cells = cells_from_map(nuclear, membrane, UM_PX)
    left, right = np.argsort(nuclei.centre[:, 0])
    assert nuclei.centre[left, 0] + cells.radii[left][0] == pytest.approx(51.5, abs=1.2)
    assert nuclei.centre[right, 0] - cells.radii[right][18] == pytest.approx(51.5, abs=1.2)


@pytest.fixture(scope="module")
def fine(drawn):
    """A 3+ field of 160 µm at 0.25 µm/px."""
    return drawn("3+", 0.25, 640, 640, 41)


@pytest.fixture(scope="module")
def measured(fine, stains_of, tumour):
    """A function: the cells that a network with the field's truth gives."""

    def run(classes=None, *, workers: int = 1, rgb=None, shape=None, **grid: int) -> MeasuredCells:
        return measure_cells(
            ArraySlide(fine.rgb if rgb is None else rgb), [tumour(shape=shape or shapely.box(0, 0, 640, 640))],
            pixel_size_um=0.25, stains=stains_of(fine), classes=classes or DrawnClasses(fine), workers=workers,
            settings=CellSettings(grid=GridSettings(**grid)),
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def reference(measured) -> MeasuredCells:
    return measured()


def test_what_a_perfect_map_holds_is_found(fine, reference) -> None:
    truth, table = fine.truth, reference.table
    matches = match_nuclei(table.centroid_xy, truth.nuclei, 0.25, truth.other_nuclei)
    assert matches.f1 > 0.97
    nuclei = [shapely.Polygon(ring) for ring in table.nucleus_xy.reshape(-1, 32, 2)[matches.detected]]
    cells = [shapely.Polygon(ring) for ring in table.cell_xy.reshape(-1, N_SECTORS, 2)[matches.detected]]
    true_nuclei = [shapely.Polygon(truth.nuclei[i]) for i in matches.truth]
    true_cells = [shapely.Polygon(truth.cells[i]) for i in matches.truth]
    assert match_polygons(true_nuclei, nuclei).pq > 0.88
    assert match_polygons(true_cells, cells).pq > 0.78
    off = table.centroid_xy[matches.detected] - truth.centroid_xy[matches.truth]
    # A frame half a pixel off would show in both directions.
    assert np.abs(np.median(off, axis=0) * 0.25).max() < 0.08
    completeness = table.column("HER2: Membrane completeness")[matches.detected]
    assert np.nanmean(np.abs(completeness - truth.completeness[matches.truth])) < 0.12


@pytest.mark.parametrize(("tile_px", "workers"), [(64, 1), (128, 2), (200, 1)])
def test_tiles_and_workers_leave_no_trace(tile_px: int, workers: int, measured, reference) -> None:
    found = measured(tile_px=tile_px, workers=workers)
    assert len(found.table) > 60
    for name in ("centroid_xy", "cell_xy", "nucleus_xy", "measurements", "region"):
        one, other = getattr(found.table, name), getattr(reference.table, name)
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), name
    assert (found.intensity == reference.intensity).all()
    assert (found.pattern == reference.pattern).all()


def test_a_padded_image_moves_its_cells_by_the_padding(fine, measured, reference) -> None:
    dx, dy = 192, 320
    rgb = np.full((640 + dy, 640 + dx, 3), 240, np.uint8)
    rgb[dy:, dx:] = fine.rgb
    classes = DrawnClasses(fine)
    classes.maps = np.pad(classes.maps, ((dy, 0), (dx, 0), (0, 0)))
    found = measured(classes, rgb=rgb, shape=shapely.box(dx, dy, 640 + dx, 640 + dy))
    assert found.table.centroid_xy - [dx, dy] == pytest.approx(reference.table.centroid_xy, abs=2e-3)
    # Outlines end with their image, and this edge is only the reference's.
    cells = reference.table.cell_xy.reshape(-1, N_SECTORS, 2)
    inner = ((cells > 40) & (cells < 600)).all((1, 2))
    assert inner.sum() > 40
    moved = found.table.cell_xy.reshape(-1, N_SECTORS, 2)[inner] - [dx, dy]
    assert moved == pytest.approx(cells[inner], abs=2e-3)


def test_a_map_of_another_scale_gives_the_same_places(fine, measured, reference) -> None:
    """A network at 0.5 µm/px on a slide of 0.25: two pixels of the slide are one of the map."""
    coarse = DrawnClasses(fine, um_px=0.5)
    coarse.maps = cv2.resize(coarse.maps, (320, 320), interpolation=cv2.INTER_AREA)
    found = measured(coarse)
    away = np.hypot(
        *(found.table.centroid_xy[:, None] - reference.table.centroid_xy[None]).transpose(2, 0, 1)
    )
    assert len(found.table) == pytest.approx(len(reference.table), abs=2)
    assert np.median(away.min(1)) < 0.2


def test_gaps_red_cells_and_brown_clumps_are_no_nuclei_whatever_a_network_says(tumour) -> None:
    places = {
        "blue": (134, 138, 180),
        "gap": (240, 240, 242),
        "red cell": (110, 100, 96),
        "clump": (120, 80, 50),
    }
    rgb = np.full((256, 256, 3), (228, 229, 234), np.uint8)
    nuclear = np.zeros((256, 256), np.float32)
    for k, colour in enumerate(places.values()):
        x, y = 64 + 128 * (k % 2), 64 + 128 * (k // 2)
        cv2.circle(rgb, (x, y), 8, colour, -1, cv2.LINE_AA)
        nuclear = np.maximum(nuclear, discs((x, y, 8), shape=(256, 256)))
    classes = object.__new__(DrawnClasses)
    classes.um_px, classes.downsample = 0.5, 1.0
    classes.maps = np.rint(255 * np.stack([1 - nuclear, 0 * nuclear, nuclear], -1)).astype(np.uint8)
    found = measure_cells(
        ArraySlide(rgb), [tumour(0, 0, 256, 256)], pixel_size_um=0.5, stains=STAINS, classes=classes,
        settings=CellSettings(quality=QualitySettings(max_green_share=9, max_edge_blur_um=99)),
    )  # fmt: skip
    assert found.refusal is None
    assert found.table.centroid_xy == pytest.approx(np.array([[64.5, 64.5]]), abs=0.2)


class CountingClasses(DrawnClasses):
    """Adds up how many pixels were asked for."""

    asked = 0

    def segment(self, box: Box) -> PixelMap:
        self.asked += box.width * box.height
        return super().segment(box)


def test_a_network_looks_only_where_it_counts(measured, reference, fine) -> None:
    """Two small regions far apart: the ground between them is nobody's business, and no cell of theirs changes."""
    corners = [shapely.box(20, 20, 140, 140), shapely.box(520, 500, 620, 620)]
    classes = CountingClasses(fine)
    found = measured(classes, shape=shapely.MultiPolygon(corners), tile_px=160, halo_px=64)
    whole = CountingClasses(fine)
    measured(whole, tile_px=160, halo_px=64)
    assert classes.asked < 0.5 * whole.asked
    xy = reference.table.centroid_xy.astype(float)
    kept = shapely.contains_xy(corners[0], *xy.T) | shapely.contains_xy(corners[1], *xy.T)
    assert kept.sum() > 4
    assert np.array_equal(found.table.centroid_xy, reference.table.centroid_xy[kept])
    assert np.array_equal(found.table.measurements, reference.table.measurements[kept], equal_nan=True)


def test_regions_decide_what_counts(measured, reference, fine, stains_of, tumour) -> None:
    inner = shapely.box(150, 150, 420, 500)
    ignored = replace(tumour(shape=shapely.box(150, 150, 260, 260), number=2), role="ignore")
    found = measure_cells(
        ArraySlide(fine.rgb), [tumour(shape=inner), ignored], pixel_size_um=0.25, stains=stains_of(fine),
        classes=DrawnClasses(fine),
    )  # fmt: skip
    xy = reference.table.centroid_xy.astype(float)
    kept = shapely.contains_xy(inner, *xy.T) & ~shapely.contains_xy(ignored.geometry, *xy.T)
    assert kept.sum() > 10
    assert np.array_equal(found.table.centroid_xy, reference.table.centroid_xy[kept])
    assert isinstance(ignored, Region)


class DoubtfulClasses(DrawnClasses):
    """Is unsure of the right half of the picture, as a Bayesian network says it."""

    def segment(self, box: Box) -> PixelMap:
        columns = np.arange(box.x, box.x + box.width)
        doubt = np.where(columns < self.maps.shape[1] // 2, 51, 204).astype(np.uint8)
        return PixelMap(super().segment(box).probabilities, np.tile(doubt, (box.height, 1)))


def test_how_unsure_a_bayesian_network_is_of_each_cell(measured, reference, fine) -> None:
    found = measured(DoubtfulClasses(fine), tile_px=160, halo_px=64).table
    unsure = found.column(UNCERTAINTY_NAME)
    middle = fine.rgb.shape[1] / 2
    rings = found.cell_xy.reshape(len(found), N_SECTORS, 2)[..., 0]
    left, right = rings.max(1) < middle - 2, rings.min(1) > middle + 2
    assert min(left.sum(), right.sum()) > 10
    assert unsure[left] == pytest.approx(0.1, abs=0.001)
    assert unsure[right] == pytest.approx(0.4, abs=0.001)
    across = unsure[~left & ~right]
    assert ((across > 0.099) & (across < 0.401)).all()
    # It changes nothing else, and other networks have no such column.
    assert np.array_equal(found.measurements[:, :-1], reference.table.measurements, equal_nan=True)
    assert UNCERTAINTY_NAME not in reference.table.measurement_names
