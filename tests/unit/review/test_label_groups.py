"""Labelled cells find their measurements and their group; what is lost is named."""

from __future__ import annotations

import shutil

from qupath_her2.review.label_groups import label_groups
from qupath_her2.review.labels import CellLabel
from tests.helpers.labelled_project import labelled_image


def label(image, row, code):
    return CellLabel(image.image, image.uuid(row), code, "Anna", False)


def test_groups_are_of_one_scanner_and_laboratory(tmp_path):
    images = [labelled_image(tmp_path, f"{n}_case", scale=1.5)[0] for n in (1, 2, 3)]
    labels = [label(image, row, row % 4) for image in images for row in range(5)]
    laboratory = {"1_case": "A", "2_case": "B", "3_case": "A"}
    groups, notes = label_groups(
        tmp_path, images[0].refs, labels, lambda ref: laboratory[ref.id], reach_deg=10
    )
    assert notes == []
    assert [(one.place.scanner, one.place.laboratory, one.images) for one in groups] == [
        ("scan 1", "A", ("1_case", "3_case")),
        ("scan 1", "B", ("2_case",)),
    ]
    assert groups[0].labelled_by == {"Anna": 10}
    own = groups[0].cells.estimates.own_od
    assert own[:5].tolist() == images[0].table.column("HER2: Membrane own DAB OD")[:5].tolist()


def test_a_label_of_an_unknown_uuid_is_found_by_its_place(tmp_path):
    image = labelled_image(tmp_path, "1_case", scale=1.5)[0]
    unknown = "0b2f5c1e-9f0a-8c9e-8a57-33d2f1c0a0"
    x, y = image.table.centroid_xy[7].tolist()
    labels = [
        CellLabel("1_case", f"{unknown}01", 2, "Anna", True, f"{x + 1:.2f}", f"{y:.2f}"),
        CellLabel("1_case", f"{unknown}02", 2, "Anna", True, f"{x + 10:.2f}", f"{y:.2f}"),
    ]
    groups, notes = label_groups(tmp_path, image.refs, labels, lambda _: "", reach_deg=10)
    own = image.table.column("HER2: Membrane own DAB OD")
    assert groups[0].cells.estimates.own_od.tolist() == [float(own[7])]
    assert "1 labelled cell of an unknown UUID" in notes[0]


def test_lost_labels_are_named_and_the_rest_is_used(tmp_path):
    images = [labelled_image(tmp_path, f"{n}_case", scale=1.5)[0] for n in (1, 2, 3)]
    labels = [label(images[0], 0, 1), label(images[1], 0, 1), label(images[2], 0, 2)]
    labels += [
        CellLabel("1_case", "0b2f5c1e-9f0a-8c9e-8a57-33d2f1c0a001", 1, "Anna", False),
        CellLabel("1_case", "no uuid", 1, "Anna", False),
        CellLabel("9_gone", images[0].uuid(1), 1, "Anna", False),
    ]
    cells = next((tmp_path / "results" / "2_case").glob("*/cells.npz"))
    cells.write_bytes(b"torn")
    shutil.rmtree(tmp_path / "results" / "3_case")
    groups, notes = label_groups(tmp_path, images[0].refs, labels, lambda _: "", reach_deg=10)
    assert [len(one.cells) for one in groups] == [1]
    text = "\n".join(notes)
    assert "image '9_gone' is not in the project" in text
    assert "case.svs: 2 labelled cells of an unknown UUID" in text
    assert "case.svs: its 1 labels are not used" in text
    assert len(notes) == 4
