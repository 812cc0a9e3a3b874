from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.cells.grid import GridSettings
from qupath_her2.cells.measure import CellSettings, MeasuredCells, measure_cells
from qupath_her2.cells.membrane.grading import grade
from qupath_her2.cells.membrane.measurements import stored_estimates
from qupath_her2.cells.membrane.outlines import N_SECTORS
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import Nuclei
from qupath_her2.cells.quality.settings import QualitySettings
from qupath_her2.cells.scale import DOUBT, ScaleSettings
from qupath_her2.cells.tumour.proposals import ProposalSettings
from qupath_her2.records import NOT_MEASURED, CellTable, Region
from qupath_her2.runs.whole_tissue import whole_tissue_uuid
from qupath_her2.scoring.guidelines import GUIDELINES
from qupath_her2.scoring.rules import cell_classes
from tests.helpers.drawn_planes import STAINS, ArraySlide
from tests.helpers.fake_finder import tumour_left_of
from tests.helpers.matching import match_nuclei

WIDTH, HEIGHT = 768, 512


@pytest.fixture(scope="module")
def field(drawn):
    """A drawn field with cells of all classes, 3 by 2 tiles of 256 pixels."""
    return drawn("3+", width_px=WIDTH, height_px=HEIGHT, seed=33)


@pytest.fixture(scope="module")
def region(tumour):
    """A region with a hole, whose outline follows no tile border."""
    outline = shapely.Polygon([(30.3, 41), (400, 12.7), (755, 90), (690.5, 488), (301, 470), (60, 380)])
    return tumour(shape=outline.difference(shapely.Point(380, 250).buffer(60)))


@pytest.fixture(scope="module")
def measure(field, stains_of, region):
    """A function that measures the field, or another image with the same stains."""

    def run(
        rgb=None,
        regions=None,
        *,
        grid: dict | None = None,
        quality: dict | None = None,
        pixel_size_um: float = 0.5,
        **more,
    ):
        return measure_cells(
            ArraySlide(field.rgb if rgb is None else rgb), [region] if regions is None else regions,
            pixel_size_um=pixel_size_um, stains=stains_of(field),
            settings=CellSettings(
                grid=GridSettings(**(grid or {})), quality=QualitySettings(**(quality or {}))
            ), **more,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def reference(measure) -> MeasuredCells:
    return measure()


def same_tables(one: CellTable, two: CellTable) -> None:
    for name in CellTable.__slots__:
        here, there = getattr(one, name), getattr(two, name)
        if isinstance(here, np.ndarray):
            assert here.dtype == there.dtype
            assert np.array_equal(here, there, equal_nan=here.dtype.kind == "f"), name
        else:
            assert here == there, name


def classes(found: MeasuredCells) -> np.ndarray:
    return cell_classes(found.intensity, found.pattern, GUIDELINES["breast-2018"])


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("tile_px", [256, 512, 2048])
def test_result_does_not_depend_on_tiles_or_workers(tile_px: int, workers: int, measure, reference) -> None:
    found = measure(grid={"tile_px": tile_px}, workers=workers)
    assert len(found.table) > 300
    same_tables(found.table, reference.table)
    assert (found.intensity == reference.intensity).all()
    assert (found.pattern == reference.pattern).all()


def centroids(table: CellTable) -> np.ndarray:
    """Return the centroids of the cells' outlines, by which QuPath counts them, float64 (N, 2)."""
    return shapely.get_coordinates(
        shapely.centroid(shapely.polygons(table.cell_xy.reshape(-1, N_SECTORS, 2)))
    )


def test_table_is_complete_and_consistent(reference, region) -> None:
    table = reference.table
    assert len(table) == len(reference.intensity) == len(reference.pattern)
    assert (table.cell_class == NOT_MEASURED).all()
    assert reference.scored_regions == (region,)
    assert reference.refusal is None
    assert shapely.contains_xy(region.geometry, *centroids(table).T).all()
    cells = shapely.polygons(table.cell_xy.reshape(-1, N_SECTORS, 2))
    nuclei = shapely.polygons(table.nucleus_xy.reshape(-1, N_ANGLES, 2))
    assert shapely.is_valid(cells).all()
    assert shapely.is_valid(nuclei).all()
    # Nearly all of each nucleus lies within its cell.
    held = shapely.area(shapely.intersection(cells, nuclei)) / shapely.area(nuclei)
    assert np.percentile(held, 5) > 0.9
    areas = shapely.area(cells) / 4
    assert table.column("HER2: Cell area µm^2") == pytest.approx(areas, rel=1e-3)


def test_detected_nuclei_match_the_drawn_ones(field, reference, region) -> None:
    shapely.prepare(region.geometry)
    truth = field.truth
    inner = shapely.contains_xy(region.geometry, *truth.centroid_xy.T)
    others = [*truth.other_nuclei, *(ring for ring, ok in zip(truth.nuclei, inner, strict=True) if not ok)]
    nuclei = [ring for ring, ok in zip(truth.nuclei, inner, strict=True) if ok]
    matches = match_nuclei(reference.table.centroid_xy, nuclei, 0.5, others)
    assert matches.f1 > 0.85


@pytest.mark.parametrize(("pixel_size_um", "side"), [(0.5, 512), (0.25, 640), (0.4, 512)])
def test_coordinates_are_level_0_pixels(pixel_size_um: float, side: int, drawn, stains_of, tumour) -> None:
    """A frame off by half a working pixel would show as 0.25 µm in both directions."""
    field = drawn("2+", pixel_size_um, side, side)
    found = measure_cells(
        ArraySlide(field.rgb),
        [tumour(0, 0, side, side)],
        pixel_size_um=pixel_size_um,
        stains=stains_of(field),
    )
    matches = match_nuclei(found.table.centroid_xy, field.truth.nuclei, pixel_size_um)
    off = found.table.centroid_xy[matches.detected] - field.truth.centroid_xy[matches.truth]
    assert len(off) > 60
    assert np.abs(np.median(off, axis=0) * pixel_size_um).max() < 0.11


@pytest.mark.parametrize(("dx", "dy"), [(256, 0), (512, 768)])
def test_padding_an_image_shifts_its_cells(dx: int, dy: int, field, measure, region) -> None:
    # Where padding meets the picture there is a sharp edge that the picture's own frame is not: nothing is cut out.
    uncut = {"max_edge_blur_um": 10.0}
    reference = measure(quality=uncut)
    rgb = np.full((HEIGHT + dy, WIDTH + dx, 3), 255, np.uint8)
    rgb[dy:, dx:] = field.rgb
    moved = replace(region, geometry=shapely.affinity.translate(region.geometry, dx, dy))
    found = measure(rgb, [moved], quality=uncut)
    # Resolution of single precision at 1,000 pixels.
    for name in ("centroid_xy", "cell_xy", "nucleus_xy"):
        there = getattr(found.table, name) - [dx, dy]
        assert there == pytest.approx(getattr(reference.table, name), abs=2e-4)
    assert np.array_equal(found.table.measurements, reference.table.measurements, equal_nan=True)


TURNS = {
    "left-right": (lambda a: a[:, ::-1], lambda x, y: (WIDTH - x, y)),
    "upside down": (lambda a: a[::-1], lambda x, y: (x, HEIGHT - y)),
    "quarter": (lambda a: np.rot90(a), lambda x, y: (y, WIDTH - x)),
    "half": (lambda a: np.rot90(a, 2), lambda x, y: (WIDTH - x, HEIGHT - y)),
}


@pytest.mark.parametrize("how", TURNS)
def test_rotated_and_mirrored_images_have_the_same_cells(how: str, field, measure, reference, region) -> None:
    turn_picture, turn_point = TURNS[how]
    shape = shapely.transform(region.geometry, lambda xy: np.stack(turn_point(xy[:, 0], xy[:, 1]), 1))
    found = measure(np.ascontiguousarray(turn_picture(field.rgb)), [replace(region, geometry=shape)])
    expected = np.stack(turn_point(*reference.table.centroid_xy.T.astype(float)), 1)
    away = np.hypot(*(expected[:, None] - found.table.centroid_xy[None]).transpose(2, 0, 1))
    near = away.min(1) < 3
    assert near.mean() > 0.97
    assert abs(len(found.table) - len(reference.table)) <= 0.03 * len(reference.table)
    same = classes(reference)[near] == classes(found)[away.argmin(1)[near]]
    assert same.mean() >= 0.97


def test_ignore_regions_subtract_and_the_innermost_region_wins(measure, reference, region) -> None:
    inner = Region(UUID(int=7), shapely.box(120, 120, 240, 240), "tumour")
    ignored = Region(UUID(int=8), shapely.box(500, 200, 640, 330), "ignore")
    found = measure(regions=[region, inner, ignored])
    before, after = reference.table.centroid_xy, found.table.centroid_xy
    gone = shapely.contains_xy(ignored.geometry, *centroids(reference.table).T)
    assert gone.sum() > 10
    assert (after == before[~gone]).all()
    of_inner = shapely.contains_xy(inner.geometry, *centroids(found.table).T)
    assert of_inner.sum() > 10
    assert (found.table.region == of_inner).all()


def test_progress_counts_tiles_and_cells(measure, reference) -> None:
    calls: list[tuple[int, int, int]] = []
    measure(grid={"tile_px": 256}, workers=2, progress=lambda *call: calls.append(call))
    assert [done for done, _, _ in calls] == list(range(1, len(calls) + 1))
    assert {of for _, of, _ in calls} == {len(calls)}
    # Cells out of focus are counted, too, before they are cut out.
    assert calls[-1][2] == len(reference.table) + sum(area.n_cells for area in reference.cut)
    assert [n for _, _, n in calls] == sorted(n for _, _, n in calls)


class CountingSlide(ArraySlide):
    """Counts its reads."""

    reads = 0

    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        self.reads += 1
        return super()._decode(level, x, y, width, height)


@pytest.mark.parametrize("workers", [1, 3])
def test_exception_from_progress_cancels(workers: int, field, stains_of, region) -> None:
    slide = CountingSlide(field.rgb)
    before = threading.active_count()

    def run(progress=None):
        return measure_cells(
            slide, [region], pixel_size_um=0.5, stains=stains_of(field), workers=workers, progress=progress,
            settings=CellSettings(grid=GridSettings(tile_px=64)),
        )  # fmt: skip

    def cancel(done: int, of: int, cells: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cancel)
    # Tiles that had not started were dropped, and no thread is left.
    assert slide.reads < 50
    assert threading.active_count() == before


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_blank_glass_has_no_cells(noise: float, tumour) -> None:
    rng = np.random.default_rng(0)
    glass = np.clip(rng.normal(240, noise, (300, 420, 3)), 0, 255).astype(np.uint8)
    found = measure_cells(ArraySlide(glass), [tumour(0, 0, 420, 300)], pixel_size_um=0.5, stains=STAINS)
    assert len(found.table) == len(found.intensity) == 0
    assert found.table.measurements.shape == (0, len(found.table.measurement_names))


def test_drawn_empty_field_has_no_cells(drawn, stains_of, tumour) -> None:
    field = drawn("glass")
    found = measure_cells(
        ArraySlide(field.rgb), [tumour(0, 0, 512, 512)], pixel_size_um=0.5, stains=stains_of(field)
    )
    assert len(found.table) == 0


def test_outlines_are_clipped_to_the_image(measure, tumour, reference) -> None:
    table = measure(regions=[tumour(0, 0, WIDTH, HEIGHT)]).table
    for xy, offsets in ((table.cell_xy, table.cell_offsets), (table.nucleus_xy, table.nucleus_offsets)):
        assert ((xy > -1e-3) & (xy < np.array([WIDTH, HEIGHT]) + 1e-3)).all()
        rings = [xy[a:b] for a, b in pairwise(offsets) if b > a]
        assert all(shapely.Polygon(ring).is_valid for ring in rings)
    # Some are clipped, on each side of the image; the stored areas are those of the clipped outlines.
    away = np.abs(table.cell_xy[:, None] - [[0, 0], [WIDTH, HEIGHT]])
    assert (away.min(0) < 1e-3).all()
    drawn_um2 = [shapely.Polygon(table.cell_xy[a:b]).area / 4 for a, b in pairwise(table.cell_offsets)]
    assert table.column("HER2: Cell area µm^2") == pytest.approx(drawn_um2, rel=1e-3)


@pytest.mark.parametrize("bounds", [(-60, -80, 200, 150), (700, 450, 900, 700), (-900, -900, -500, -500)])
def test_regions_may_extend_beyond_the_image(bounds: tuple[float, ...], measure, tumour, reference) -> None:
    found = measure(regions=[tumour(*bounds)])
    xy = found.table.centroid_xy
    assert ((xy >= 0) & (xy <= [WIDTH, HEIGHT])).all()
    assert (len(xy) > 0) == (bounds[2] > 0)


def test_refused_images_have_no_cells(measure, region) -> None:
    ignored = replace(region, role="ignore")
    found = measure(regions=[ignored])
    assert found.refusal is not None
    assert (found.refusal.code, len(found.table)) == ("no_tumour_region", 0)
    coarse = measure(pixel_size_um=0.6)
    assert (coarse.refusal.code, len(coarse.table)) == ("pixels_too_coarse", 0)
    assert any("0.50 µm" in sentence for sentence in measure().warnings)


def test_regrading_is_monotonic(reference) -> None:
    low, high = reference.regrade(-0.2)[0], reference.regrade(0.2)[0]
    assert (reference.regrade(0.0)[0] == reference.intensity).all()
    assert (low >= reference.intensity).all()
    assert (high <= reference.intensity).all()
    assert (low > high).any()


def test_stored_measurements_give_the_same_grades(reference) -> None:
    stored = stored_estimates(reference.table)
    for shift in (-0.1, 0.0, 0.1):
        again, here = grade(stored, reference.grading, shift), reference.regrade(shift)
        assert (again[0] == here[0]).all()
        assert (again[1] == here[1]).all()


class KnownNuclei:
    """A detector that knows where nuclei are: circles at known level-0 positions of an image at 0.5 µm."""

    name = "known 1"

    def __init__(self, places: list[tuple[float, float]]) -> None:
        self.places = places

    def prepared(self, samples) -> KnownNuclei:
        assert all(sample.rgb.shape[:2] == sample.planes.dab.shape for sample in samples)
        return self

    def detect(self, tile) -> Nuclei:
        # The red channel tells the column of a pixel, green its row.
        column, row = (int(v) for v in tile.rgb[140, 140, :2])
        local = np.array(self.places) - 0.5 - [column - 140, row - 140]
        inside = ((local > 0) & (local < np.array(tile.rgb.shape[1::-1]) - 1)).all(1)
        return Nuclei(local[inside], np.full((int(inside.sum()), N_ANGLES), 6, np.float32))


def test_any_detector_can_be_passed(tumour) -> None:
    rows, columns = np.mgrid[:256, :256]
    rgb = np.stack([columns, rows, np.full_like(rows, 200)], -1).astype(np.uint8)
    places = [(30.5, 30.5), (128.5, 40.5), (127.5, 130.5), (200.5, 220.5), (250.5, 10.5)]
    found = measure_cells(
        ArraySlide(rgb), [tumour(0, 0, 240, 256)], pixel_size_um=0.5, stains=STAINS,
        detector=KnownNuclei(places), settings=CellSettings(
            grid=GridSettings(tile_px=128),
            quality=QualitySettings(max_green_share=1, max_edge_blur_um=10),
            # A colour gradient is one large blob.
            scale=ScaleSettings(max_blob_um=1000),
        ),
    )  # fmt: skip
    expected = sorted(places[:4], key=lambda place: place[1])
    assert found.table.centroid_xy == pytest.approx(np.array(expected))


@pytest.fixture(scope="module")
def tissue(region) -> Region:
    """The same region, as one that stands for all tissue."""
    return replace(region, uuid=whole_tissue_uuid("ab" * 32))


def test_a_search_keeps_the_cells_that_it_would_measure_anyway(
    measure, reference, tissue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells of proposals are those of the whole search, unchanged, with one more column."""
    tumour_left_of(monkeypatch, 150.0)
    found = measure(regions=[tissue], tumour=ProposalSettings())
    assert found.refusal is None
    assert {one.class_name for one in found.scored_regions} == {"Tumor?"}
    kept, all_cells = found.table, reference.table
    assert 50 < len(kept) < len(all_cells)
    own = shapely.union_all([one.geometry for one in found.scored_regions])
    # As QuPath counts: by the centroid of the outline, not by the nucleus.
    cells = shapely.polygons(all_cells.cell_xy.reshape(len(all_cells), -1, 2))
    inside = shapely.contains(own, shapely.centroid(cells))
    assert len(kept) == inside.sum()
    assert (kept.centroid_xy == all_cells.centroid_xy[inside]).all()
    assert kept.measurement_names == (*all_cells.measurement_names, "HER2: Tumour probability")
    assert np.array_equal(kept.measurements[:, :-1], all_cells.measurements[inside], equal_nan=True)
    assert (found.intensity == reference.intensity[inside]).all()


@pytest.mark.parametrize("tile_px", [256, 512])
def test_a_search_does_not_depend_on_tiles(
    tile_px: int, measure, tissue, monkeypatch: pytest.MonkeyPatch
) -> None:
    tumour_left_of(monkeypatch, 150.0)
    one, two = (
        measure(regions=[tissue], tumour=ProposalSettings(), grid={"tile_px": side})
        for side in (2048, tile_px)
    )
    same_tables(one.table, two.table)
    assert one.scored_regions == two.scored_regions


def test_a_search_without_result_has_no_region(measure, tissue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the searched tissue nor its cells are part of the result."""
    tumour_left_of(monkeypatch, -1.0)
    found = measure(regions=[tissue], tumour=ProposalSettings())
    assert found.refusal is not None
    assert found.refusal.code == "no_tumour_found"
    assert found.scored_regions == ()
    assert len(found.table) == 0
    coarse = measure(regions=[tissue], tumour=ProposalSettings(), pixel_size_um=0.8)
    assert coarse.refusal is not None
    assert coarse.refusal.code != "no_tumour_found"
    assert coarse.scored_regions == ()


def test_found_tumour_that_would_be_too_coarse_at_the_size_that_fits_is_refused(
    measure, tissue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the true pixel size: by its nuclei, the field is coarser than the limit, which what is stated is not."""
    tumour_left_of(monkeypatch, 1e9)
    limits = {"max_pixel_size_um": 0.3, "warn_pixel_size_um": 0.28}
    found = measure(regions=[tissue], tumour=ProposalSettings(), pixel_size_um=0.25, quality=limits)
    assert found.refusal is not None
    assert found.refusal.code == "pixel_size_implausible"
    assert "draw Tumor regions" in found.refusal.reason
    drawn_by_a_person = measure(pixel_size_um=0.25, quality=limits)
    assert drawn_by_a_person.refusal is None
    assert any(text.startswith(DOUBT) for text in drawn_by_a_person.warnings)
