"""``review profile`` and ``review changes``, as the review window in QuPath calls them."""

from __future__ import annotations

import json

from qupath_her2.cells.profiles import read_profile
from qupath_her2.review.round_files import read_rounds
from tests.helpers.reviewed_project import reviewed_image
from tests.unit.cli.commands import call


def test_changes_are_listed_and_no_round_is_written(tmp_path):
    image = reviewed_image(tmp_path / "study" / "her2")
    image.correct({3: "Tumor: 2+"}, (9,))
    folder = image.her2.parent
    code, out, err = call("review", "changes", folder, "--json")
    assert code == 0, err
    found = [json.loads(line) for line in out.splitlines()]
    assert {(one["uuid"], one["change"], one["after"]) for one in found} == {
        (image.uuid(3), "reclassified", "Tumor: 2+"),
        (image.uuid(9), "deleted", ""),
    }
    assert all(one["event"] == "change" for one in found)
    assert read_rounds(image.her2)[0] == []
    code, out, err = call("review", "changes", folder)
    assert "cell reclassified at " in out
    assert "Tumor: 3+ → Tumor: 2+" in out
    assert "2 since the last round" in out

    code, _, err = call("review", "collect", folder, "--no-qupath", "--reviewer", "Anna")
    assert code == 0, err
    code, out, _ = call("review", "changes", folder)
    assert (code, out.strip()) == (0, "changes  0 since the last round")


def test_cut_points_become_a_profile(tmp_path):
    image = reviewed_image(tmp_path / "study" / "her2")
    words = ("review", "profile", image.her2.parent, "lab-a", "--image", image.image, "--reviewer", "Anna")
    cuts = ("--densities", "0.05,0.3,0.6", "--shares", "0.1,0.4,0.8")
    code, out, err = call(*words, *cuts)
    assert code == 0, err
    assert "lab-a.json" in out
    cut_points = read_profile(image.her2 / "profiles" / "lab-a.json").cut_points
    assert (cut_points.moderate_od, cut_points.lateral_from, cut_points.complete_from) == (0.3, 0.4, 0.8)
    code, _, err = call(*words, "--densities", "0.05,0.3", "--shares", "0.1,0.4,0.8")
    assert (code, "'0.05,0.3', which is not three numbers" in err) == (1, True)
    code, _, err = call(*words, "--densities", "0.4,0.3,0.6", "--shares", "0.1,0.4,0.8")
    assert code == 1
    assert "moderate_od" in err
