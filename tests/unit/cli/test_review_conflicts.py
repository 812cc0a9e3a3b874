"""``review conflicts``: each person's state, with the numbers that ``review settle`` takes."""

from __future__ import annotations

import json

from qupath_her2.review.region_changes import keep_written_regions
from tests.helpers.reviewed_project import IGNORED, TUMOUR, annotation, reviewed_image, square
from tests.unit.cli.commands import call


def test_states_stand_side_by_side_until_they_are_settled(tmp_path):
    image = reviewed_image(tmp_path / "study" / "her2")
    keep_written_regions(image.her2, image.refs)
    study = image.her2.parent
    ignored = annotation(IGNORED, square(300, 0, 30), "Ignore*")
    for author, name, side in (("Anna", "Tumor: 2+", 600), ("Bo", "Tumor: 1+", 500)):
        image.correct({3: name})
        image.draw(annotation(TUMOUR, square(0, 0, side), "Tumor", "centre"), ignored)
        code, _, err = call("review", "collect", study, "--no-qupath", "--reviewer", author)
        assert code == 0, err
    code, out, err = call("review", "conflicts", study, "--json")
    assert code == 0, err
    cell, region = (json.loads(line) for line in out.splitlines())
    assert (cell["event"], cell["number"], cell["uuid"]) == ("conflict", 1, image.uuid(3))
    assert [(one["author"], one["after"]) for one in cell["states"]] == [
        ("Anna", "Tumor: 2+"),
        ("Bo", "Tumor: 1+"),
    ]
    assert float(cell["x"]) == 65
    sides = [one["geometry"]["coordinates"][0][1][0] for one in region["states"]]
    assert (region["kind"], sides) == ("region", [600, 500])

    code, out, err = call("review", "settle", study, "--take", "Bo", "--conflict", "2")
    assert code == 0, err
    code, out, err = call("review", "conflicts", study)
    assert out.splitlines()[-1] == "conflicts  1 open"
    assert "Anna reclassified Tumor: 2+; Bo reclassified Tumor: 1+" in out


def test_who_takes_a_change_back_has_no_outline_of_her_own(tmp_path):
    image = reviewed_image(tmp_path / "study" / "her2")
    study = image.her2.parent
    image.correct({3: "Tumor: 2+"})
    call("review", "collect", study, "--no-qupath", "--reviewer", "Anna")
    image.correct({})
    call("review", "collect", study, "--no-qupath", "--reviewer", "Bo")
    _, out, _ = call("review", "conflicts", study, "--json")
    one = json.loads(out)
    assert [(s["author"], s["change"], s["after"], s["geometry"] is None) for s in one["states"]] == [
        ("Anna", "reclassified", "Tumor: 2+", False),
        ("Bo", "left as written", "Tumor: 3+", True),
    ]
