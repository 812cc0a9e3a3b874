"""Controls of a known score label their cells; others, and damaged ones, do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest

from qupath_her2.project.class_names import ClassNames, class_role
from qupath_her2.project.exchange.images import CONTROLS, exchange_root
from qupath_her2.review.control_tissue import as_tumour, control_labels, control_scores
from tests.helpers.drawn_controls import draw_control_slide
from tests.helpers.reviewed_project import TUMOUR, annotation, reviewed_image, square
from tests.unit.cli.commands import call

NAMES = ClassNames()


@pytest.fixture
def image(tmp_path):
    """An image whose control, by chance as large as its tumour, was measured: 100 cells of four classes."""
    her2 = tmp_path / "her2"
    reviewed_image(her2 / CONTROLS, n=100)
    found = reviewed_image(her2, n=100)
    found.draw(annotation(TUMOUR, square(0, 0, 2000), "Control", "cell line 3+"))
    return found


@pytest.mark.parametrize(
    ("class_name", "name", "code"),
    [
        ("Control", "3+", 3),
        ("Control", "cell line 0", 0),
        ("HER2 control", "block 12: 2+", 2),
        ("Control tissue", "1+, 1+", 1),
        ("Control", "", None),
        ("Control", "block 12", None),
        ("Control", "2+ or 3+", None),
        ("Control", "30 µm", None),
        ("Tumor", "3+", None),
    ],
)
def test_the_name_of_a_control_holds_its_score(image, class_name, name, code):
    image.draw(annotation(TUMOUR, square(0, 0, 9), class_name, name))
    (ref,) = image.refs
    assert control_scores(ref, NAMES) == ({} if code is None else {UUID(TUMOUR): code})


def test_controls_alone_are_measured(image):
    names = as_tumour(NAMES)
    roles = {name: class_role(name, names) for name in ("Control", "Tumor", "Stroma", "Ignore*", "DCIS")}
    assert roles == {
        "Control": "tumour",
        "Tumor": "other",
        "Stroma": "stroma",
        "Ignore*": "ignore",
        "DCIS": "in_situ",
    }
    assert exchange_root(image.her2 / CONTROLS) == image.her2


def test_cells_of_a_control_are_labelled_with_its_score(image):
    labels, notes = control_labels(image.her2, image.refs, NAMES)
    assert notes == []
    assert len(labels) == len({one.uuid for one in labels}) == 60
    assert Counter((one.code, one.reader, one.is_correction) for one in labels) == {
        (3, "control tissue", False): 60
    }
    assert control_labels(image.her2, image.refs, NAMES)[0] == labels


def test_controls_that_were_not_measured_or_are_damaged_are_left_out(image):
    (ref,) = image.refs
    assert control_labels(image.her2, [replace(ref, id="9_other")], NAMES) == ([], [])
    (path,) = (image.her2 / CONTROLS / "results" / "1_case").glob("*/run.json")
    path.write_bytes(b"{")
    labels, (note,) = control_labels(image.her2, image.refs, NAMES)
    assert labels == []
    assert note.startswith("case.svs: its controls are not used: ")


def test_calibrate_says_what_a_control_needs(tmp_path):
    study = reviewed_image(tmp_path / "study" / "her2").her2.parent
    code, _, err = call("review", "calibrate", study, "--controls")
    assert code == 1
    assert "Draw it in QuPath with class Control, and name it after its score: 0, 1+, 2+ or 3+." in err


@pytest.mark.slow
def test_controls_alone_calibrate_a_shifted_stain(tmp_path):
    for number in range(3):
        draw_control_slide(tmp_path, f"case{number}", seed=921_000 + 100 * number, scale=2.0, side_px=400)
    code, out, err = call("review", "calibrate", tmp_path, "--controls", "--progress", "off")
    assert code == 0, err
    assert "1 profile, 0 refused" in out
    assert "cells of 3 images" in err
    # The scores of the project are untouched.
    assert not (tmp_path / "her2" / "results").exists()
