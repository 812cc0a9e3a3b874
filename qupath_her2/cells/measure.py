"""Measuring cells of an image: quality checks, detection or existing cells, outlines, membranes, grading.

This is the entry point of the room: `measure_cells` takes an open image with its regions and returns graded cells. Work
proceeds tile by tile, so memory does not grow with the size of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.cell_table import existing_cell_table, new_cell_table
from qupath_her2.cells.existing_cells import place_existing
from qupath_her2.cells.grid import Grid, GridSettings, TileBox, make_grid
from qupath_her2.cells.membrane.grading import Estimates, GradingSettings, grade
from qupath_her2.cells.membrane.measurements import measured_estimates
from qupath_her2.cells.membrane.membrane_net import one_blas_thread
from qupath_her2.cells.membrane.outlines import OutlineSettings
from qupath_her2.cells.membrane.radial_profiles import RadialProfileSettings
from qupath_her2.cells.network_cells import ClassMap, NetworkCellSettings
from qupath_her2.cells.nuclei.detection import CellDetector, ClassicalDetector, DetectionSettings
from qupath_her2.cells.nuclei.trees import Trees
from qupath_her2.cells.quality.cut_areas import check_cut, cut_out_of_focus, cut_warning
from qupath_her2.cells.quality.empty_outlines import EmptyOutlines, without_empty_outlines
from qupath_her2.cells.quality.image_quality import (
    ImageQuality,
    assess_image,
    check_image,
    check_pixel_size,
)
from qupath_her2.cells.quality.settings import QualitySettings
from qupath_her2.cells.quality.stain_location import check_pattern, stain_pattern
from qupath_her2.cells.reviewer_classes import with_reviewer_classes
from qupath_her2.cells.samples import Sample, read_samples, sampled_nuclei
from qupath_her2.cells.scale import (
    ScaleDoubt,
    ScaleSettings,
    are_enough,
    blob_diameter_um,
    check_blobs,
    check_nuclei,
    check_tumour_scale,
)
from qupath_her2.cells.stain_planes import PlaneSettings
from qupath_her2.cells.tile import TileWork, measure_tile
from qupath_her2.cells.tile_cells import TileCells, join
from qupath_her2.cells.tumour.proposals import ProposalSettings
from qupath_her2.cells.tumour.search import search_tumour, without_tumour
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.records import Box, CellTable, CutArea, Refusal, Region
from qupath_her2.regions import RegionMap, map_regions
from qupath_her2.setting_ranges import check_settings
from qupath_her2.slides.readers.slide import Slide
from qupath_her2.slides.stains.vectors import StainVectors

__all__ = ["CellSettings", "MeasuredCells", "Progress", "find_cells", "measure_cells"]

#: Called with tiles done, number of tiles and cells so far.
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class CellSettings:
    """Settings of the cell chain by step; saved with the run."""

    grid: GridSettings = field(default_factory=GridSettings)
    planes: PlaneSettings = field(default_factory=PlaneSettings)
    detection: DetectionSettings = field(default_factory=DetectionSettings)
    outlines: OutlineSettings = field(default_factory=OutlineSettings)
    sectors: RadialProfileSettings = field(default_factory=RadialProfileSettings)
    grading: GradingSettings = field(default_factory=GradingSettings)
    quality: QualitySettings = field(default_factory=QualitySettings)
    scale: ScaleSettings = field(default_factory=ScaleSettings)

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class MeasuredCells:
    """Measured and graded cells of an image.

    Attributes
    ----------
    table
        N cells of the scored regions, from top to bottom; classes are 255 (not yet scored), UUIDs zero except for
        existing cells.
    intensity, pattern
        uint8 (N), indices into `records.INTENSITIES` and `records.PATTERNS`, 255 = not measured.
    scored_regions
        Regions that `table.region` points into.
    refusal
        Why the image must not be scored, or None.
    warnings
        Sentences for the report.
    estimates, grading
        Membrane estimates and the cut-points applied to them, for `regrade`.
    proposed
        Regions in which tumour was found, where it was searched for.
    cut
        Areas whose cells were taken out.
    empty
        Existing cells without a nucleus, which are not measured; None where they count, or there are none.
    """

    table: CellTable
    intensity: NDArray[np.uint8]
    pattern: NDArray[np.uint8]
    scored_regions: tuple[Region, ...]
    refusal: Refusal | None
    warnings: tuple[str, ...]
    estimates: Estimates
    grading: GradingSettings
    proposed: tuple[Region, ...] = ()
    cut: tuple[CutArea, ...] = ()
    empty: EmptyOutlines | None = None

    def regrade(self, shift: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return intensity and pattern with the density cut-points moved; classes that a person gave stay.

        Parameters
        ----------
        shift
            Relative shift, 0.1 = 10 % higher.

        Returns
        -------
        tuple[NDArray[np.uint8], NDArray[np.uint8]]
            uint8 (N) twice, as `intensity` and `pattern`.
        """
        return with_reviewer_classes(self.table, *grade(self.estimates, self.grading, shift))


def _run_tiles(
    tiles: Sequence[TileBox], work: TileWork, workers: int, progress: Progress | None
) -> Iterator[TileCells]:
    """Measure tiles in order; an exception from `progress` (Ctrl-C, Cancel) drops tiles that have not started."""
    cells = 0
    if workers <= 1:
        results: Iterator[TileCells] = (measure_tile(work, tile) for tile in tiles)
        for done, result in enumerate(results, 1):
            cells += len(result)
            if progress is not None:
                progress(done, len(tiles), cells)
            yield result
        return
    # Threads suffice: kernels, OpenCV and the decoders release the GIL.
    with ThreadPoolExecutor(workers) as pool:
        try:
            for done, result in enumerate(pool.map(lambda tile: measure_tile(work, tile), tiles), 1):
                cells += len(result)
                if progress is not None:
                    progress(done, len(tiles), cells)
                yield result
        except BaseException:
            # Leaving the block alone would first run all queued tiles.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _finish(
    found: TileCells,
    existing: ExistingCells | None,
    regions: RegionMap,
    refusal: Refusal | None,
    warnings: list[str],
    s: CellSettings,
    edge_blur_um: float = float("nan"),
) -> MeasuredCells:
    """Grade cells, build their table and check that the stain is one of membranes."""
    columns = found.measurements
    estimates = measured_estimates(columns)
    intensity, pattern = grade(estimates, s.grading)
    table = (
        new_cell_table(found, columns) if existing is None else existing_cell_table(found, existing, columns)
    )
    # Needs measured cells, so it comes last; existing cells are checked as well.
    if refusal is None and len(found):
        # Without the cells that do not count.
        places = found.stain_places[~np.isnan(columns).all(axis=1)]
        refusal = check_pattern(stain_pattern(places, s.quality), edge_blur_um, s.quality)
    return MeasuredCells(
        table, intensity, pattern, regions.scored, refusal, tuple(warnings), estimates, s.grading
    )


def find_cells(
    slide: Slide,
    regions: RegionMap,
    grid: Grid,
    stains: StainVectors,
    samples: Sequence[Sample],
    settings: CellSettings,
    *,
    existing: ExistingCells | None = None,
    detector: CellDetector | None = None,
    classes: ClassMap | None = None,
    network: NetworkCellSettings | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    tiles: Sequence[TileBox] | None = None,
    with_tissue: bool = False,
    with_features: bool = False,
) -> TileCells:
    """Detect, outline and measure the cells of the scored regions, without quality checks and grading.

    Parameters
    ----------
    slide
        An open image.
    regions
        Regions of the image, at least one of them scored.
    grid
        Working grid and tiles.
    stains
        Stain vectors and background of the image.
    samples
        Sample windows of the image, to which the detector is adapted.
    settings
        Settings of every step.
    existing, detector, classes, network, workers, progress
        As in `measure_cells`.
    tiles
        Tiles to measure; None for all that touch a scored region.
    with_tissue
        Also measure the tissue around each cell, for the tumour finder, and keep those that a network takes for no
        tumour cells: the finder judges a cell by all its neighbours.
    with_features
        Also keep what the membrane network sees of each cell, 1 kB, to train it.

    Returns
    -------
    TileCells
        Cells of all tiles, from top to bottom.
    """
    s = settings
    # Samples are independent of tiles, so the detector is adapted once, before the threads start.
    tiles_of_samples = [sample.tile for sample in samples]
    # Also used with a network, to reject nuclei of the wrong colour; other detectors bring their own criteria.
    stain_filter = ClassicalDetector(s.detection)
    if classes is not None or detector is None:
        stain_filter = stain_filter.prepared(tiles_of_samples)
    chosen = stain_filter if detector is None else detector.prepared(tiles_of_samples)
    placed = None if existing is None else place_existing(existing, chosen, tiles_of_samples)
    work = TileWork(
        slide, regions, grid, stains, chosen, placed, s.planes, s.outlines, s.sectors,
        classes, network or NetworkCellSettings(), stain_filter, with_tissue, with_features, s.quality.positive_od,
    )  # fmt: skip
    # Tiles without any scored region are not even read.
    if tiles is None:
        tiles = [tile for tile in grid.tiles(regions.bounds()) if regions.touches(grid.level0(tile.core))]
    with one_blas_thread():
        found = join(_run_tiles(tiles, work, workers, progress))
    return found if with_tissue else found.tumour()


def measure_cells(
    slide: Slide,
    regions: Sequence[Region],
    *,
    pixel_size_um: float,
    stains: StainVectors,
    settings: CellSettings | None = None,
    existing: ExistingCells | None = None,
    detector: CellDetector | None = None,
    classes: ClassMap | None = None,
    network: NetworkCellSettings | None = None,
    tumour: ProposalSettings | None = None,
    finder: Mapping[str, Trees] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> MeasuredCells:
    """Detect the cells of the tumour regions, outline them, and measure and grade their membranes.

    Parameters
    ----------
    slide
        An open image.
    regions
        Regions of all roles; tumour regions are scored, ignore, in-situ and control regions subtract.
    pixel_size_um, stains
        Pixel size of level 0, µm; stain vectors and background of the image.
    settings
        Settings of every step.
    existing, detector
        Existing cells, measured in place, see `cells.existing_nuclei`; a nucleus detector, None = the classical one.
    classes, network
        Probability maps of the image, from which cells are derived without a detector, and how they are.
    tumour, finder
        Search the tumour regions, and keep the cells that `search_tumour` finds, by these trees; None for no search.
    workers, progress
        Threads, on which the result does not depend; called after every tile, may raise to cancel.

    Returns
    -------
    MeasuredCells
        With a refusal and no cells where the image must not be scored.

    Raises
    ------
    ImageReadError
        When the file is damaged or gone.
    ExchangeError
        When the membrane network or the regression trees of this installation were trained on other features.
    """
    s, region_map = settings or CellSettings(), map_regions(regions)
    # Cheapest checks first, without pixels. Tissue that is only searched is no region of the result.
    unmeasured = map_regions(without_tumour(regions)) if tumour else region_map
    refusal, warnings = _refused_at_once(region_map, pixel_size_um, s)
    if refusal:
        return _finish(TileCells.none(), None, unmeasured, refusal, warnings, s)
    grid = make_grid(pixel_size_um, s.grid)
    samples = read_samples(slide, region_map, grid, stains, s.planes)
    blobs_um = blob_diameter_um(slide, samples, grid, stains, pixel_size_um)
    quality, refusal = _sampled_quality(samples, blobs_um, stains, pixel_size_um, s)
    if refusal:
        return _finish(TileCells.none(), None, unmeasured, refusal, warnings, s)
    found = find_cells(
        slide, region_map, grid, stains, samples, s,
        existing=existing, detector=detector, classes=classes, network=network,
        workers=workers, progress=progress, with_tissue=tumour is not None,
    )  # fmt: skip
    areas_um2 = found.nucleus_area_um2 if existing is None else _own_nuclei(samples, detector, grid, s)
    doubt = check_nuclei(areas_um2, blobs_um, pixel_size_um, s.scale)
    proposed: tuple[Region, ...] = ()
    found, cut, refusal = _in_focus(found, region_map, grid, warnings, s)
    if tumour:
        whole = Box(0, 0, slide.width, slide.height)
        search = search_tumour(found, regions, whole, pixel_size_um, tumour, finder)
        found, region_map, proposed = search.cells.tumour(), search.regions, search.proposed
        doubt, scale_refusal = _tumour_scale(found, doubt, blobs_um, pixel_size_um, s)
        refusal = refusal or search.refusal or scale_refusal
    found, empty = without_empty_outlines(found)
    warnings += [*([doubt.sentence()] if doubt else []), *([empty.warning] if empty else [])]
    measured = _finish(found, existing, region_map, refusal, warnings, s, quality.edge_blur_um)
    return replace(measured, proposed=proposed, cut=cut, empty=empty)


def _sampled_quality(
    samples: Sequence[Sample],
    blobs_um: float | None,
    stains: StainVectors,
    pixel_size_um: float,
    s: CellSettings,
) -> tuple[ImageQuality, Refusal | None]:
    """Return the quality of an image and its refusal, which takes seconds, since only samples are read."""
    quality = assess_image(samples, stains, s.quality)
    # The scale first, since a wrong one makes any image look blurred.
    return quality, check_blobs(blobs_um, pixel_size_um, s.scale) or check_image(quality, s.quality)


def _own_nuclei(
    samples: Sequence[Sample], detector: CellDetector | None, grid: Grid, s: CellSettings
) -> NDArray[np.float32]:
    """Return the areas of all nuclei in the samples, float32 (N) µm², whichever another program chose."""
    return sampled_nuclei(samples, detector or ClassicalDetector(s.detection), grid.um_px)


def _tumour_scale(
    tumour: TileCells, doubt: ScaleDoubt | None, blobs_um: float | None, pixel_size_um: float, s: CellSettings
) -> tuple[ScaleDoubt | None, Refusal | None]:
    """Return the doubt and the refusal of tumour cells alone, among which no lymphocytes excuse small nuclei."""
    if not are_enough(tumour.nucleus_area_um2):
        return doubt, None
    doubt = check_nuclei(tumour.nucleus_area_um2, blobs_um, pixel_size_um, s.scale)
    return doubt, check_tumour_scale(doubt, s.quality.max_pixel_size_um)


def _refused_at_once(
    regions: RegionMap, pixel_size_um: float, s: CellSettings
) -> tuple[Refusal | None, list[str]]:
    """Return the refusal and the warnings that need no pixels."""
    refusal, warning = check_pixel_size(pixel_size_um, s.quality)
    if refusal is None and not regions.scored:
        refusal = Refusal(
            "no_tumour_region", "no tumour region was drawn. Draw one and give it the class Tumor."
        )
    return refusal, [warning] if warning else []


def _in_focus(
    found: TileCells, regions: RegionMap, grid: Grid, warnings: list[str], s: CellSettings
) -> tuple[TileCells, tuple[CutArea, ...], Refusal | None]:
    """Take out the cells that lie out of focus, and say so; refuse where they are too many."""
    kept, area = cut_out_of_focus(found, regions, grid, s.quality)
    if area is None:
        return found, (), None
    refusal = check_cut(area, len(found), s.quality)
    if refusal is None:
        warnings.append(cut_warning(area, len(found), grid.um_px / grid.downsample))
    return kept, (area,), refusal
