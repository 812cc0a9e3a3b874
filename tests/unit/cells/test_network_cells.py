"""Cells from probability maps with known truth: drawn shapes, and the ground truth of drawn fields."""

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
from qupath_her2.cells.quality.settings import QualitySettings
from qupath_her2.cells.tumour.proposals import ProposalSettings
from qupath_her2.learning.metrics.instance_metrics import match_polygons
from qupath_her2.models.pixel_map import PixelMap
from qupath_her2.patches.targets.truth_targets import truth_target
from qupath_her2.records import Box, Region
from tests.helpers.drawn_planes import STAINS, ArraySlide, discs
from tests.helpers.fake_finder import tumour_left_of
from tests.helpers.matching import match_nuclei

UM_PX = 0.5


class DrawnClasses:
    """A network that outputs the slightly blurred ground truth of a field."""

    def __init__(self, field, blur_px: float = 2.0, um_px: float = 0.25, tells_tumour: bool = False) -> None:
        self.um_px = um_px
        self.downsample = um_px / field.settings.pixel_size_um
        target = truth_target(field, tells_tumour=tells_tumour)
        maps = np.stack([target == code for code in range(4 if tells_tumour else 3)], -1).astype(np.float32)
        if blur_px:
            maps = cv2.GaussianBlur(maps, (0, 0), blur_px)
        self.maps = np.rint(255 * maps).astype(np.uint8)

    def segment(self, box: Box) -> PixelMap:
        out = np.zeros((box.height, box.width, self.maps.shape[-1]), np.uint8)
        out[..., 0] = 255
        height, width = self.maps.shape[:2]
        x0, y0 = max(box.x, 0), max(box.y, 0)
        part = self.maps[y0 : min(box.y + box.height, height), x0 : min(box.x + box.width, width)]
        out[y0 - box.y : y0 - box.y + part.shape[0], x0 - box.x : x0 - box.x + part.shape[1]] = part
        return PixelMap(out)


def ring(x: float, y: float, radius: float, width: float, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    off = np.abs(np.hypot(columns - x, rows - y) - radius)
    return np.clip(0.5 + width / 2 - off, 0, 1).astype(np.float32)


@pytest.mark.parametrize("radius", [11, 14, 18])
def test_outline_follows_a_ring(radius: int) -> None:
    shape = (90, 90)
    nuclear, membrane = discs((45, 45, 8), shape=shape), ring(45, 45, radius, 2, shape)
    _, cells = cells_from_map(nuclear, membrane, UM_PX)
    assert cells.radii[0] == pytest.approx(radius, abs=1.3)
    assert (cells.neighbour == NO_NEIGHBOUR).all()


def test_without_membrane_outlines_are_those_of_the_classical_chain() -> None:
    settings = NetworkCellSettings()
    nuclear = discs((30, 40, 8), (60, 40, 8))
    nuclei, cells = cells_from_map(nuclear, np.zeros_like(nuclear), UM_PX)
    left = int(nuclei.centre[:, 0].argmin())
    lone = cells.radii[left][9:27]  # sectors without neighbour
    assert lone == pytest.approx(8 + settings.outlines.expansion_um / UM_PX, abs=1.0)
    # Half-way to the other nucleus, 30 px away.
    assert cells.radii[left][0] == pytest.approx(15, abs=1.0)
    assert cells.neighbour[left][0] == 1 - left
    assert cells.neighbour[left][18] == NO_NEIGHBOUR


def test_off_centre_membrane_bounds_both_cells() -> None:
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
    """A function that measures the cells of a network that outputs the ground truth."""

    def run(
        classes=None, *, workers: int = 1, rgb=None, shape=None, network=None, search=None, **grid: int
    ) -> MeasuredCells:
        return measure_cells(
            ArraySlide(fine.rgb if rgb is None else rgb), [tumour(shape=shape or shapely.box(0, 0, 640, 640))],
            pixel_size_um=0.25, stains=stains_of(fine), classes=classes or DrawnClasses(fine), workers=workers,
            network=network, tumour=search,
            settings=CellSettings(grid=GridSettings(**grid)),
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def reference(measured) -> MeasuredCells:
    return measured()


def test_cells_of_a_perfect_map_match_the_ground_truth(fine, reference) -> None:
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
    # A frame off by half a pixel would show in both directions.
    assert np.abs(np.median(off, axis=0) * 0.25).max() < 0.08
    completeness = table.column("HER2: Membrane completeness")[matches.detected]
    assert np.nanmean(np.abs(completeness - truth.completeness[matches.truth])) < 0.12


def test_nuclei_of_other_cells_bound_tumour_cells_but_are_none(fine, measured, reference) -> None:
    classes = DrawnClasses(fine, tells_tumour=True)
    kinds = np.array(fine.truth.other_kinds)
    others = [fine.truth.other_nuclei[k] for k in np.flatnonzero(kinds != "border")]
    cut = [fine.truth.other_nuclei[k] for k in np.flatnonzero(kinds == "border")]
    half = NetworkCellSettings(min_tumour_share=0.5)
    found = measured(classes, network=half).table
    matches = match_nuclei(found.centroid_xy, fine.truth.nuclei, 0.25, cut)
    assert matches.f1 > 0.98
    # Without the class, most of the other nuclei are cells too.
    before = match_nuclei(reference.table.centroid_xy, [*fine.truth.nuclei, *cut], 0.25, others)
    assert len(before.ignored) > 20
    away = np.hypot(*(found.centroid_xy[:, None] - reference.table.centroid_xy[None]).transpose(2, 0, 1))
    same = away.argmin(1)
    assert away.min(1).max() < 0.5
    # What is left keeps its outline: the others still bound it.
    outlines = (t.cell_xy.reshape(len(t), -1) for t in (found, reference.table))
    mine, theirs = outlines
    assert np.mean(np.abs(mine - theirs[same]).max(1) < 1) > 0.97
    # They are left out on request only.
    every = measured(classes).table
    assert len(every) == pytest.approx(len(reference.table), abs=2)
    in_tiles = measured(classes, network=half, tile_px=128, workers=2).table
    assert np.array_equal(in_tiles.measurements, found.measurements, equal_nan=True)


def test_a_search_sees_the_cells_that_a_network_leaves_out(
    fine, measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they count changes the cells, not the proposed regions: the finder judges a cell by its neighbours."""
    tumour_left_of(monkeypatch, 80.0)
    classes, half = DrawnClasses(fine, tells_tumour=True), NetworkCellSettings(min_tumour_share=0.5)
    every = measured(classes, search=ProposalSettings())
    found = measured(classes, network=half, search=ProposalSettings())
    assert found.refusal is None
    assert found.proposed == every.proposed
    mine, all_xy = ({tuple(xy) for xy in one.table.centroid_xy.tolist()} for one in (found, every))
    assert mine < all_xy
    assert len(mine) > 20


@pytest.mark.parametrize(("tile_px", "workers"), [(64, 1), (128, 2), (200, 1)])
def test_result_does_not_depend_on_tiles_or_workers(tile_px: int, workers: int, measured, reference) -> None:
    found = measured(tile_px=tile_px, workers=workers)
    assert len(found.table) > 60
    for name in ("centroid_xy", "cell_xy", "nucleus_xy", "measurements", "region"):
        one, other = getattr(found.table, name), getattr(reference.table, name)
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), name
    assert (found.intensity == reference.intensity).all()
    assert (found.pattern == reference.pattern).all()


def test_padding_an_image_shifts_its_cells(fine, measured, reference) -> None:
    dx, dy = 192, 320
    rgb = np.full((640 + dy, 640 + dx, 3), 240, np.uint8)
    rgb[dy:, dx:] = fine.rgb
    classes = DrawnClasses(fine)
    classes.maps = np.pad(classes.maps, ((dy, 0), (dx, 0), (0, 0)))
    found = measured(classes, rgb=rgb, shape=shapely.box(dx, dy, 640 + dx, 640 + dy))
    # Outlines are clipped to their image, and the left and upper edges differ between the two: so do nuclei there, and
    # which of them are centred in the region.
    moved = found.table.cell_xy.reshape(-1, N_SECTORS, 2) - [dx, dy]
    cells = reference.table.cell_xy.reshape(-1, N_SECTORS, 2)
    inner, still_inner = (((ring > 40) & (ring < 600)).all((1, 2)) for ring in (cells, moved))
    assert inner.sum() > 40
    assert moved[still_inner] == pytest.approx(cells[inner], abs=2e-3)
    centres = found.table.centroid_xy[still_inner] - [dx, dy]
    assert centres == pytest.approx(reference.table.centroid_xy[inner], abs=2e-3)


def test_map_of_another_scale_gives_the_same_positions(fine, measured, reference) -> None:
    """A network at 0.5 µm/px on a slide of 0.25: two pixels of the slide are one of the map."""
    coarse = DrawnClasses(fine, um_px=0.5)
    coarse.maps = cv2.resize(coarse.maps, (320, 320), interpolation=cv2.INTER_AREA)
    found = measured(coarse)
    away = np.hypot(
        *(found.table.centroid_xy[:, None] - reference.table.centroid_xy[None]).transpose(2, 0, 1)
    )
    assert len(found.table) == pytest.approx(len(reference.table), abs=2)
    assert np.median(away.min(1)) < 0.2


def test_gaps_red_blood_cells_and_dab_clumps_are_rejected(tumour) -> None:
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
        settings=CellSettings(quality=QualitySettings(max_green_share=1, max_edge_blur_um=10)),
    )  # fmt: skip
    assert found.refusal is None
    assert found.table.centroid_xy == pytest.approx(np.array([[64.5, 64.5]]), abs=0.2)


class CountingClasses(DrawnClasses):
    """Counts the pixels requested."""

    asked = 0

    def segment(self, box: Box) -> PixelMap:
        self.asked += box.width * box.height
        return super().segment(box)


def test_network_segments_only_the_scored_area(measured, reference, fine) -> None:
    """Two small regions far apart: the area between them is not segmented, and none of their cells changes."""
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


def test_regions_decide_which_cells_count(measured, reference, fine, stains_of, tumour) -> None:
    inner = shapely.box(150, 150, 420, 500)
    ignored = replace(tumour(shape=shapely.box(150, 150, 260, 260), number=2), role="ignore")
    found = measure_cells(
        ArraySlide(fine.rgb), [tumour(shape=inner), ignored], pixel_size_um=0.25, stains=stains_of(fine),
        classes=DrawnClasses(fine),
    )  # fmt: skip
    # A cell is counted where the centroid of its outline lies, as in QuPath.
    rings = reference.table.cell_xy.reshape(-1, N_SECTORS, 2)
    xy = shapely.get_coordinates(shapely.centroid(shapely.polygons(rings)))
    kept = shapely.contains_xy(inner, *xy.T) & ~shapely.contains_xy(ignored.geometry, *xy.T)
    assert kept.sum() > 10
    assert np.array_equal(found.table.centroid_xy, reference.table.centroid_xy[kept])
    assert isinstance(ignored, Region)


class UncertainClasses(DrawnClasses):
    """A Bayesian network that is uncertain in the right half of the image."""

    def segment(self, box: Box) -> PixelMap:
        columns = np.arange(box.x, box.x + box.width)
        uncertainty = np.where(columns < self.maps.shape[1] // 2, 51, 204).astype(np.uint8)
        return PixelMap(super().segment(box).probabilities, np.tile(uncertainty, (box.height, 1)))


def test_uncertainty_of_a_bayesian_network_by_cell(measured, reference, fine) -> None:
    found = measured(UncertainClasses(fine), tile_px=160, halo_px=64).table
    uncertainty = found.column(UNCERTAINTY_NAME)
    middle = fine.rgb.shape[1] / 2
    rings = found.cell_xy.reshape(len(found), N_SECTORS, 2)[..., 0]
    left, right = rings.max(1) < middle - 2, rings.min(1) > middle + 2
    assert min(left.sum(), right.sum()) > 10
    assert uncertainty[left] == pytest.approx(0.1, abs=0.001)
    assert uncertainty[right] == pytest.approx(0.4, abs=0.001)
    across = uncertainty[~left & ~right]
    assert ((across > 0.099) & (across < 0.401)).all()
    # It changes nothing else, and other networks have no such column.
    assert np.array_equal(found.measurements[:, :-1], reference.table.measurements, equal_nan=True)
    assert UNCERTAINTY_NAME not in reference.table.measurement_names
