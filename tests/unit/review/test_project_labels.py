"""All labels of a project: rounds and lists, without what people differ on."""

from __future__ import annotations

from qupath_her2.review.collect import collect
from qupath_her2.review.project_labels import project_labels
from tests.helpers.labelled_project import drawn_labels, labelled_image, write_labels


def test_rounds_and_lists_add_up_and_differences_are_left_out(tmp_path):
    her2 = tmp_path / "her2"
    images = [labelled_image(her2, f"{n}_case", scale=1.5) for n in (1, 2)]
    first = images[0][0]
    first.correct({0: "Tumor: 1+", 1: "Tumor: 1+"})
    collect(her2, first.refs, "Bo")
    lines = drawn_labels(images)
    lines[0] = (*lines[0][:3], "1+")
    lines[1] = (*lines[1][:3], "3+")
    write_labels(her2 / "review" / "labels" / "anna.csv", lines)
    found = project_labels(tmp_path, her2, first.refs, reach_deg=10)
    assert len(found.labels) == 79
    assert [len(one.cells) for one in found.groups] == [79]
    assert found.notes == ("1 cells that people called differently are left out",)
    (her2 / "review" / "labels" / "anna.csv").unlink()
    assert len(project_labels(tmp_path, her2, first.refs, reach_deg=10).labels) == 2
