from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from shapely import box

from qupath_her2.cells.corrections import (
    Corrected,
    apply_corrections,
    class_code,
)
from qupath_her2.cells.measure import MeasuredCells
from qupath_her2.cells.membrane.grading import Estimates, GradingSettings
from qupath_her2.cells.membrane.measurements import MEASUREMENT_NAMES
from qupath_her2.cells.reviewer_classes import REVIEWER_CLASS, with_reviewer_classes
from qupath_her2.project.exchange.cell_files import check_cells
from qupath_her2.project.exchange.correction_files import CellCorrections, ChangedCell
from qupath_her2.provenance import object_uuids
from qupath_her2.records import CELL_CLASSES, CellTable, Region
from qupath_her2.regions import map_regions
from qupath_her2.scoring.guidelines import GUIDELINES
from qupath_her2.scoring.rules import cell_classes

#: Cells are squares of 10 px on a line, 20 px apart; the first five lie in region 0, the others in region 1.
N = 10
REGIONS = map_regions(
    [
        Region(UUID(int=1), box(0, 0, 100, 100), "tumour"),
        Region(UUID(int=2), box(100, 0, 200, 100), "tumour"),
    ]
)


def centre(row: int) -> tuple[float, float]:
    return 10.0 + 20 * row, 50.0


def square(row: int) -> np.ndarray:
    x, y = centre(row)
    return np.array([[x - 5, y - 5], [x + 5, y - 5], [x + 5, y + 5], [x - 5, y + 5]])


def measured() -> MeasuredCells:
    """Return ten cells without staining."""
    table = CellTable(
        uuid=np.zeros((N, 16), np.uint8),
        centroid_xy=np.array([centre(row) for row in range(N)], np.float32),
        cell_xy=np.concatenate([square(row) for row in range(N)]).astype(np.float32),
        cell_offsets=np.arange(N + 1) * 4,
        nucleus_xy=np.zeros((0, 2), np.float32),
        nucleus_offsets=np.zeros(N + 1, np.int64),
        region=np.repeat([0, 1], N // 2).astype(np.int32),
        measurements=np.zeros((N, len(MEASUREMENT_NAMES)), np.float32),
        measurement_names=MEASUREMENT_NAMES,
        cell_class=np.full(N, 255, np.uint8),
    )
    zeros = np.zeros(N, np.float32)
    return MeasuredCells(
        table=table,
        intensity=np.zeros(N, np.uint8),
        pattern=np.zeros(N, np.uint8),
        scored_regions=REGIONS.scored,
        refusal=None,
        warnings=(),
        estimates=Estimates(zeros, zeros, np.zeros(N, bool)),
        grading=GradingSettings(),
    )


def check_numbered(table: CellTable) -> None:
    """Check the table with the UUIDs that a run would give."""
    check_cells(replace(table, uuid=object_uuids("0" * 64, len(table))), n_regions=2)


def classes_of(cells: MeasuredCells, shift: float = 0.0) -> list[int]:
    return cell_classes(*cells.regrade(shift), GUIDELINES["breast-2018"]).tolist()


def test_each_class_of_a_person_stands_in_every_guideline_and_under_every_cut_point() -> None:
    given = tuple(
        ChangedCell(square(row), centre(row), CELL_CLASSES[row]) for row in range(len(CELL_CLASSES))
    )
    cells, corrected = apply_corrections(measured(), CellCorrections(changed=given), REGIONS)
    assert corrected == Corrected(4, 0)
    for guideline in GUIDELINES.values():
        for shift in (-0.5, 0.0, 0.5):
            found = cell_classes(*cells.regrade(shift), guideline).tolist()
            assert found == [0, 1, 2, 3, 0, 0, 0, 0, 0, 0]
    assert (
        classes_of(cells) == cell_classes(cells.intensity, cells.pattern, GUIDELINES["breast-2018"]).tolist()
    )


def test_deleted_cells_and_cells_of_no_tumour_class_do_not_count() -> None:
    changed = (ChangedCell(square(1), centre(1), "Stroma"), ChangedCell(square(2), centre(2), None))
    cells, corrected = apply_corrections(
        measured(), CellCorrections(changed, (square(5), square(6), square(7))), REGIONS
    )
    assert corrected == Corrected(2, 3)
    assert cells.table.centroid_xy[:, 0].tolist() == [centre(row)[0] for row in (0, 3, 4, 8, 9)]
    assert cells.table.region.tolist() == [0, 0, 0, 1, 1]
    assert REVIEWER_CLASS not in cells.table.measurement_names
    check_numbered(cells.table)


def test_two_new_cells_in_the_outline_of_a_changed_one_are_that_one() -> None:
    wide = np.array([[1, 40], [39, 40], [39, 60], [1, 60]], float)
    cells, _ = apply_corrections(
        measured(), CellCorrections((ChangedCell(wide, (20.0, 50.0), "Tumor: 3+"),)), REGIONS
    )
    assert len(cells.table) == N - 1
    assert sorted(classes_of(cells)) == [0] * (N - 2) + [3]


def test_a_cell_that_is_not_found_again_still_counts() -> None:
    aside = square(2) + np.array([0, 30])
    cells, corrected = apply_corrections(
        measured(), CellCorrections((ChangedCell(aside, (50.0, 80.0), "Tumor: 2+"),)), REGIONS
    )
    assert corrected == Corrected(1, 0)
    assert classes_of(cells) == [0] * N + [2]
    assert cells.table.region[-1] == 0
    assert np.isnan(cells.table.column("HER2: Membrane completeness")[-1])
    assert np.array_equal(cells.table.cell_xy[-4:], aside)
    check_numbered(cells.table)
    elsewhere = ChangedCell(aside, (70.0, 80.0), "Tumor: 2+")
    cells, _ = apply_corrections(measured(), CellCorrections((elsewhere,)), REGIONS)
    assert np.array_equal(cells.table.cell_xy[-4:], aside + np.array([20, 0]))


def test_a_cell_is_counted_where_a_person_put_it() -> None:
    moved = ChangedCell(square(4), centre(5), "Tumor: 1+")
    cells, _ = apply_corrections(measured(), CellCorrections((moved,)), REGIONS)
    assert cells.table.region.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    # Regions that overlap ask for its outline, the import for the place where it was detected.
    assert np.array_equal(cells.table.cell_xy[16:20], square(5))
    assert tuple(cells.table.centroid_xy[4]) == centre(4)
    outside = ChangedCell(square(4), (50.0, 500.0), "Tumor: 1+")
    cells, corrected = apply_corrections(measured(), CellCorrections((outside,)), REGIONS)
    assert len(cells.table) == N - 1
    assert corrected == Corrected(0, 0)


def test_existing_cells_are_matched_by_uuid() -> None:
    cells = measured()
    cells.table.uuid[:, 15] = np.arange(N)
    given = {UUID(int=3): "Tumor: 2+", UUID(int=4): None, UUID(int=77): "Tumor: 3+"}
    found, corrected = apply_corrections(cells, CellCorrections(existing=given), REGIONS)
    assert corrected == Corrected(2, 0)
    assert found.table.uuid[:, 15].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert classes_of(found) == [0, 0, 0, 2, 0, 0, 0, 0, 0]


def test_without_corrections_everything_stays() -> None:
    before = measured()
    cells, corrected = apply_corrections(before, CellCorrections(), REGIONS)
    assert corrected.sentence == ""
    assert np.array_equal(cells.table.measurements, before.table.measurements)
    assert cells.table.measurement_names == MEASUREMENT_NAMES
    intensity, pattern = with_reviewer_classes(before.table, before.intensity, before.pattern)
    assert intensity is before.intensity
    assert pattern is before.pattern


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Tumor: Negative", 0),
        ("Tumor: 3+", 3),
        ("2+", 2),
        ("Stroma", None),
        ("Immune cells: 2+", None),
        (None, None),
    ],
)
def test_class_codes(name: str | None, code: int | None) -> None:
    assert class_code(name) == code


@pytest.mark.parametrize(
    ("corrected", "sentence"),
    [
        (Corrected(10, 3), "10 cells you changed and 3 you deleted are counted as you left them."),
        (Corrected(1, 0), "1 cell you changed is counted as you left it."),
        (Corrected(0, 1), "1 cell you deleted is counted as you left it."),
        (Corrected(0, 2), "2 cells you deleted are counted as you left them."),
    ],
)
def test_sentences(corrected: Corrected, sentence: str) -> None:
    assert corrected.sentence == sentence
