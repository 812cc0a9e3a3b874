from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Polygon

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.targets.targets import (
    BACKGROUND,
    IGNORE,
    MEMBRANE,
    NUCLEUS,
    TargetFrame,
    TargetSettings,
    annotation_target,
    cell_target,
)
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.records import CellTable, Region, RegionRole

FRAME = TargetFrame(0, 0, 80, 60, um_px=0.25)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1).astype(np.float32)


def offsets(rings: list[np.ndarray]) -> np.ndarray:
    return np.cumsum([0, *map(len, rings)])


def table(cells: list[np.ndarray], nuclei: list[np.ndarray]) -> CellTable:
    n = len(cells)
    return CellTable(
        uuid=np.zeros((n, 16), np.uint8),
        centroid_xy=np.array([ring.mean(0) for ring in cells], np.float32).reshape(n, 2),
        cell_xy=np.concatenate([np.zeros((0, 2), np.float32), *cells]),
        cell_offsets=offsets(cells),
        nucleus_xy=np.concatenate([np.zeros((0, 2), np.float32), *nuclei]),
        nucleus_offsets=offsets(nuclei),
        region=np.zeros(n, np.int32),
        measurements=np.zeros((n, 0), np.float32),
        measurement_names=(),
        cell_class=np.full(n, 255, np.uint8),
    )


NO_NUCLEUS = np.zeros((0, 2), np.float32)


def radii(frame: TargetFrame, x: float, y: float) -> np.ndarray:
    """Distance of each pixel's centre from a level-0 point, px of the picture."""
    columns, rows = np.meshgrid(np.arange(frame.width_px) + 0.5, np.arange(frame.height_px) + 0.5)
    return np.hypot(columns - (x - frame.x) / frame.downsample, rows - (y - frame.y) / frame.downsample)


@settings(max_examples=30, deadline=None)
@given(
    x=st.floats(20, 60),
    y=st.floats(15, 45),
    downsample=st.sampled_from([0.5, 1.0, 1.6]),
    width_um=st.floats(0.6, 2.0),
)
def test_a_round_cell_is_a_disc_in_a_ring(x: float, y: float, downsample: float, width_um: float) -> None:
    frame = TargetFrame(4.5, 2.25, 70, 55, um_px=0.25 * downsample, downsample=downsample)
    target = cell_target(table([disc(x, y, 14)], [disc(x, y, 6)]), frame, TargetSettings(width_um))
    away, half = radii(frame, x, y), width_um / frame.um_px / 2
    outline, nucleus = 14 / downsample, 6 / downsample
    # The rings have 72 corners: their edges lie up to 0.1 % of the radius within the circle.
    slack = 0.05
    assert (target[away < nucleus - slack] == NUCLEUS).all()
    between = (away > nucleus + slack) & (away < outline - half - slack)
    assert (target[between] == BACKGROUND).all()
    assert (target[np.abs(away - outline) < half - slack] == MEMBRANE).all()
    assert (target[away > outline + half + slack] == IGNORE).all()


def test_the_area_between_cells_is_background_only_where_labelled() -> None:
    cells = table([disc(20, 30, 10), disc(60, 30, 10)], [disc(20, 30, 4), disc(60, 30, 4)])
    alone = cell_target(cells, FRAME)
    within = cell_target(cells, FRAME, labelled=shapely.box(0, 10, 40, 50))
    # The middle of the gap; a corner outside the labelled ground; the second cell, outside it too.
    assert (alone[30, 38], within[30, 38]) == (IGNORE, BACKGROUND)
    assert (alone[2, 2], within[2, 2]) == (IGNORE, IGNORE)
    assert (alone[30, 60], within[30, 60]) == (NUCLEUS, IGNORE)
    assert np.array_equal(within[10:50, :32], np.where(alone == IGNORE, BACKGROUND, alone)[10:50, :32])


def test_a_neighbours_membrane_overrides_cytoplasm_and_nucleus() -> None:
    # The second cell's outline crosses the first one's nucleus.
    cells = table([disc(30, 30, 15), disc(48, 30, 15)], [disc(33, 30, 6), disc(50, 30, 4)])
    target = cell_target(cells, FRAME)
    assert target[29, 33] == MEMBRANE
    assert target[29, 45] == MEMBRANE
    assert target[29, 29] == NUCLEUS


def test_the_unknown_parts_of_a_cell_are_ignored() -> None:
    known = table([disc(20, 30, 12), disc(55, 30, 12)], [disc(20, 30, 5), NO_NUCLEUS])
    target = cell_target(known, FRAME, labelled=shapely.box(0, 0, 80, 60))
    assert (target[30, 20], target[30, 55], target[30, 67]) == (NUCLEUS, IGNORE, MEMBRANE)
    assert target[2, 2] == BACKGROUND
    plain = ExistingCells(
        uuid=known.uuid,
        cell_xy=known.cell_xy,
        cell_offsets=known.cell_offsets,
        nucleus_xy=known.nucleus_xy,
        nucleus_offsets=known.nucleus_offsets,
        class_names=(None, None),
        is_cell=np.array([True, False]),
    )
    target = cell_target(plain, FRAME, labelled=shapely.box(0, 0, 80, 60))
    assert (target[30, 20], target[30, 55]) == (NUCLEUS, IGNORE)
    # A plain detection draws no membrane, not even around itself.
    assert set(np.unique(target[:, 43:])) == {BACKGROUND, IGNORE}


def test_rotating_the_image_rotates_the_target() -> None:
    rng = np.random.default_rng(0)
    xy = rng.uniform((10, 10), (70, 50), (12, 2))
    cells, nuclei = [disc(x, y, 9.3) for x, y in xy], [disc(x, y, 3.7) for x, y in xy]

    def turned(ring: np.ndarray) -> np.ndarray:
        return np.stack([60 - ring[:, 1], ring[:, 0]], 1)

    straight = cell_target(table(cells, nuclei), FRAME)
    frame = replace(FRAME, width_px=60, height_px=80)
    other = cell_target(table(list(map(turned, cells)), list(map(turned, nuclei))), frame)
    # Corners of buffered lines round differently: a pixel in a thousand may lie on an edge.
    assert np.mean(np.rot90(other) != straight) < 1e-3
    assert len(np.unique(straight)) == 4


def test_a_window_of_a_target_is_the_target_of_the_window() -> None:
    rng = np.random.default_rng(1)
    xy = rng.uniform((0, 0), (80, 60), (15, 2))
    cells = table([disc(x, y, 11) for x, y in xy], [disc(x, y, 4) for x, y in xy])
    whole = cell_target(cells, FRAME)
    part = cell_target(cells, TargetFrame(30, 20, 25, 31, um_px=0.25))
    assert np.array_equal(part, whole[20:51, 30:55])


def test_a_band_with_gaps_is_refused() -> None:
    cells = table([disc(20, 30, 12)], [disc(20, 30, 5)])
    with pytest.raises(PatchError, match=r"0\.50 px wide at 2 µm/px and would have gaps"):
        cell_target(cells, TargetFrame(0, 0, 20, 20, um_px=2.0, downsample=8))


def test_an_empty_table_is_all_unknown() -> None:
    assert (cell_target(table([], []), FRAME) == IGNORE).all()
    assert (cell_target(table([], []), FRAME, labelled=shapely.box(-5, -5, 90, 90)) == BACKGROUND).all()


def region(shape: Polygon, name: str | None, role: RegionRole = "other") -> Region:
    return Region(UUID(int=hash((shape.wkt, name)) % 2**120), shape, role, name)


def test_annotations_by_their_class() -> None:
    ring = shapely.box(20, 20, 40, 40).difference(shapely.box(23, 23, 37, 37))
    regions = [
        region(shapely.box(0, 0, 80, 60), "Tumor", "tumour"),
        region(shapely.box(10, 10, 60, 50), "background"),
        region(ring, "Membrane"),
        region(shapely.box(25, 25, 30, 30), "Nucleus", "in_situ"),
        region(shapely.box(50, 10, 60, 50), "Ignore*", "ignore"),
        region(shapely.box(200, 200, 210, 210), "Nucleus"),
    ]
    truth = np.full((60, 80), IGNORE)
    truth[10:50, 10:50] = BACKGROUND
    truth[20:40, 20:40] = MEMBRANE
    truth[23:37, 23:37] = BACKGROUND
    truth[25:30, 25:30] = NUCLEUS
    assert np.array_equal(annotation_target(regions, FRAME), truth)
    other = TargetSettings(nucleus_classes=("Kern",))
    assert (annotation_target(regions, FRAME, other) != NUCLEUS).all()
    assert (annotation_target([], FRAME) == IGNORE).all()


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match="listed twice or for two target classes: Nucleus, Nucleus"):
        TargetSettings(membrane_classes=("Nucleus",))
    with pytest.raises(SettingsError, match="membrane_width_um is 0"):
        TargetSettings(membrane_width_um=0)
    with pytest.raises(PatchError, match="nan µm/px"):
        TargetFrame(0, 0, 5, 5, um_px=float("nan"))
    with pytest.raises(PatchError, match="0 x 5 px"):
        TargetFrame(0, 0, 0, 5, um_px=0.25)
