"""Differences of cells: each found by its UUID or its outline, in whatever run wrote it."""

from __future__ import annotations

from uuid import UUID

import numpy as np

from qupath_her2.project.exchange.correction_files import (
    CellCorrections,
    ChangedCell,
    corrections_path,
    read_corrections,
)
from qupath_her2.project.exchange.images import field_folder
from qupath_her2.review.cell_changes import WrittenCells, cell_changes
from tests.helpers.reviewed_project import reviewed_image


def found(image):
    corrections = read_corrections(corrections_path(image.regions, image.image))
    return cell_changes(image.image, corrections, WrittenCells(image.her2, image.image))


def test_reclassified_deleted_and_shifted_cells_have_their_uuid_and_class(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    image.correct({3: "Tumor: 2+", 4: None, 7: "Tumor: 1+"}, (9,), {7: 2.5})
    changes, notes = found(image)
    assert notes == []
    assert {(one.change, one.uuid, one.before, one.after) for one in changes} == {
        ("reclassified", image.uuid(3), "Tumor: 3+", "Tumor: 2+"),
        ("reclassified", image.uuid(4), "Tumor: Negative", ""),
        ("reclassified", image.uuid(7), "Tumor: 3+", "Tumor: 1+"),
        ("shifted", image.uuid(7), "", "2.5 px"),
        ("deleted", image.uuid(9), "Tumor: 1+", ""),
    }
    (shifted,) = [one for one in changes if one.change == "shifted"]
    assert (shifted.x, shifted.y) == ("147.50", "10.00")
    assert all(one.run == image.table.uuid.tobytes().hex()[13:16] or one.run for one in changes)


def test_cells_of_an_annotation_that_was_scored_by_itself_are_found_too(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    image.correct({3: "Tumor: 2+"}, (9,))
    changes, _ = found(image)
    field = field_folder(image.her2, UUID(int=7)) / "results"
    field.parent.mkdir(parents=True)
    (image.her2 / "results").rename(field)
    assert found(image) == (changes, [])


def test_nobody_corrected_anything(tmp_path):
    assert found(reviewed_image(tmp_path / "her2")) == ([], [])


def test_cells_of_no_run_are_kept_by_place_and_said(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    ring = np.array([[900, 900], [910, 900], [910, 910]], float)
    corrections = CellCorrections(
        changed=(ChangedCell(ring, (906.67, 903.33), "Tumor: 1+"),), deleted=(ring + 50,), digest="d"
    )
    changes, notes = cell_changes(image.image, corrections, WrittenCells(image.her2, image.image))
    assert [(one.change, one.uuid, one.before, one.x) for one in changes] == [
        ("reclassified", "", "", "906.67"),
        ("deleted", "", "", "956.67"),
    ]
    assert notes == ["2 corrected cells are in no result that is left; they are kept by place"]


def test_an_existing_cell_is_found_by_its_uuid(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    corrections = CellCorrections(existing={UUID(image.uuid(5)): "Tumor: 3+"})
    (change,), notes = cell_changes(image.image, corrections, WrittenCells(image.her2, image.image))
    assert (change.before, change.after, change.x, notes) == ("Tumor: 1+", "Tumor: 3+", "105.00", [])


def test_a_deleted_cell_is_known_by_its_uuid_even_where_its_outline_is_in_no_run(tmp_path):
    image = reviewed_image(tmp_path / "her2")
    ring = np.array([[900, 900], [910, 900], [910, 910]], float)
    gone = UUID("51504845-5232-8fff-bfff-ffff00000001")
    corrections = CellCorrections(
        deleted=(ring, ring + 50, ring + 90), deleted_uuids=(UUID(image.uuid(9)), None, gone)
    )
    changes, notes = cell_changes(image.image, corrections, WrittenCells(image.her2, image.image))
    assert [(one.uuid, one.before) for one in changes] == [
        (image.uuid(9), "Tumor: 1+"),
        ("", ""),
        (str(gone), ""),
    ]
    assert notes == ["2 corrected cells are in no result that is left; they are kept by place"]
