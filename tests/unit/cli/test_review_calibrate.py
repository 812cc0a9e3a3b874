"""``review calibrate``: from labels to a profile, and every refusal with its way out."""

from __future__ import annotations

import re

import pytest

from qupath_her2.cells.profiles import read_profile
from qupath_her2.project.spreadsheet import csv_bytes
from tests.helpers.labelled_project import WORDS, drawn_labels, labelled_image, write_labels
from tests.unit.cli.commands import call

LISTS = "review/labels"


def project(tmp_path, scale):
    her2 = tmp_path / "study" / "her2"
    return her2, [labelled_image(her2, f"{n}_case", scale=scale) for n in (1, 2, 3, 4)]


def test_labels_become_a_profile_that_a_second_call_does_not_replace(tmp_path):
    her2, images = project(tmp_path, 1.8)
    write_labels(her2 / LISTS / "anna.csv", drawn_labels(images))
    code, out, err = call("review", "calibrate", her2.parent)
    assert code == 0, err
    profile = read_profile(her2 / "profiles" / "scan-1-her2.json")
    assert profile.origin["labelled_by"] == {"Anna": 160}
    assert profile.figures["difference"]["value"] > 0.05
    assert "1 profile, 0 refused" in out
    assert "points (" in out
    written = (her2 / "profiles" / "scan-1-her2.json").read_bytes()
    code, _, err = call("review", "calibrate", her2.parent)
    assert code == 1
    assert "not better than profile scan-1-her2 on cases that they have not seen" in err
    assert (her2 / "profiles" / "scan-1-her2.json").read_bytes() == written


def test_corrections_alone_need_the_queue(tmp_path):
    her2, images = project(tmp_path, 1.8)
    rows = []
    for image, truth in images:
        wrong = [row for row in range(40) if truth[row] != row % 4]
        image.correct(
            {row: f"Tumor: {WORDS[truth[row]]}" if truth[row] else "Tumor: Negative" for row in wrong}
        )
        rows += [
            ("1", image.image, "c", image.uuid(row), "0", "0", image.table.class_names[row % 4], "why")
            for row in range(40)
        ]
    call("review", "collect", her2.parent, "--no-qupath", "--reviewer", "Anna")
    code, _, err = call("review", "calibrate", her2.parent)
    assert code == 1
    typed = re.search(r"Pass (--queue-reviewed) if", err)
    assert typed is not None, err
    code, _, err = call("review", "calibrate", her2.parent, typed.group(1))
    assert code == 1
    assert "There is no queue of cells" in err
    path = her2 / "review" / "queue" / "queue.csv"
    path.parent.mkdir()
    header = ("order", "image", "case", "uuid", "x", "y", "class", "why")
    path.write_bytes(csv_bytes([header, *rows]))
    code, _, err = call(
        "review", "calibrate", her2.parent, typed.group(1), "--reviewer", "Anna", "--name", "lab-a"
    )
    assert code == 0, err
    assert read_profile(her2 / "profiles" / "lab-a.json").origin["cells"] == 160


def test_without_labels_the_way_to_them_is_said(tmp_path):
    her2, images = project(tmp_path, 1.8)
    code, _, err = call("review", "calibrate", her2.parent)
    assert code == 1
    assert "Nobody has labelled cells" in err
    verbs = re.findall(r"qupath-her2 (review \w+)", err)
    assert verbs == ["review queue", "review collect"]
    code, _, err = call(*verbs[0].split(), her2.parent)
    assert code == 0, err
    images[0][0].correct({1: "Tumor: 3+"})
    code, _, err = call(*verbs[1].split(), her2.parent, "--no-qupath")
    assert code == 0, err
    code, _, err = call("review", "calibrate", her2.parent)
    assert "are too few" in err


@pytest.mark.parametrize("name", ["../up", "a b", ""])
def test_a_name_of_no_file_is_refused(tmp_path, name):
    her2, images = project(tmp_path, 1.8)
    lines = write_labels(tmp_path / "labels.csv", drawn_labels(images))
    code, _, err = call("review", "calibrate", her2.parent, "--labels", lines, "--name", name)
    assert code == (1 if name else 0)
    assert ("no name of a profile" in err) == bool(name)
