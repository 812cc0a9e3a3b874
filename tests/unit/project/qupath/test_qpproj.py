"""Project files: read without QuPath, damaged, missing or ambiguous."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qupath_her2.errors import ExchangeError, Her2Error
from qupath_her2.project.qupath.qpproj import ProjectEntry, open_project_file
from tests.helpers.qupath_requests import write_project


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": [{}]}', '{"images": 3}'])
def test_a_damaged_project_file_is_refused_with_the_name_of_its_backup(tmp_path: Path, content: str) -> None:
    (tmp_path / "project.qpproj").write_text(content)
    with pytest.raises(ExchangeError, match=r"project\.qpproj\.backup"):
        open_project_file(tmp_path)


def test_no_project_or_several_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Her2Error, match="is not a QuPath project"):
        open_project_file(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.qpproj").write_text("{}")
    with pytest.raises(Her2Error, match=r"a\.qpproj, b\.qpproj"):
        open_project_file(tmp_path)


def test_entries_have_their_object_counts_and_runs(tmp_path: Path) -> None:
    project = open_project_file(write_project(tmp_path, run="0123456789a"))
    first, second = project.entries
    assert (project.version, project.path) == ("0.6.0", tmp_path / "project.qpproj")
    assert (first.id, first.name, first.n_objects, first.run) == ("1", "a.svs", 5, "0123456789a")
    assert (second.id, second.name, second.n_objects, second.run) == ("2", "ü.svs", 0, None)


@pytest.mark.parametrize(
    ("patterns", "ids"),
    [
        ([], ["1", "2"]),
        (["*.svs"], ["1", "2"]),
        (["ü", "a.svs"], ["1", "2"]),
        (["u\u0308.svs"], ["2"]),
        (["Image 2"], ["2"]),
    ],
    ids=["all", "wildcard", "stem", "decomposed", "masked"],
)
def test_images_are_selected_by_pattern_stem_or_masked_name(
    tmp_path: Path, patterns: list[str], ids: list[str]
) -> None:
    project = open_project_file(write_project(tmp_path))
    assert [entry.id for entry in project.select(patterns)] == ids


def test_a_project_without_version_is_read(tmp_path: Path) -> None:
    (tmp_path / "project.qpproj").write_text(json.dumps({"version": 6, "images": []}))
    assert open_project_file(tmp_path).version is None


def test_a_pattern_without_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Her2Error, match=r"matches 'c\*'\. Available: a\.svs, ü\.svs"):
        open_project_file(write_project(tmp_path)).select(["a", "c*"])


def test_each_kind_of_result_has_its_run() -> None:
    entry = ProjectEntry("1", "a", 0, "scores", "net", "regions")
    shown = {name: entry.run_in(name) for name in ("her2", "predictions", "proposals", "elsewhere")}
    assert shown == {"her2": "scores", "predictions": "net", "proposals": "regions", "elsewhere": "scores"}
