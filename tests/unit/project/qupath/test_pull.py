"""Pull without QuPath: the request it sends, and the use it makes of the answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.errors import Her2Error, OutputError
from qupath_her2.project.qupath.pull import pull
from tests.helpers.qupath_requests import Recorder, write_project


def test_pull_requests_all_images_or_those_selected(tmp_path: Path, asked: Recorder) -> None:
    project = write_project(tmp_path)
    found = pull(project)
    assert found.ids == ("1_a",)
    assert (found.images, found.regions, found.refused, found.her2) == (2, 3, {"b": "why"}, tmp_path / "her2")
    pull(tmp_path, images=["u\u0308*"], out=tmp_path / "other", cells=True)
    (_, whole, most), (_, part, few) = asked.calls
    assert (whole["only"], most) == (None, 5)
    assert (part["only"], part["cells"], few) == (["2"], True, 0)
    assert part["her2"] == str(tmp_path / "other")


def test_pull_lists_the_images_if_a_pattern_matches_none(tmp_path: Path, asked: Recorder) -> None:
    with pytest.raises(Her2Error, match=r"matches 'c\*'\. Available: a\.svs, ü\.svs"):
        pull(write_project(tmp_path), images=["c*"])
    assert not asked.calls


def test_pull_into_a_file_is_refused_before_qupath_starts(tmp_path: Path, asked: Recorder) -> None:
    (tmp_path / "her2").touch()
    with pytest.raises(OutputError, match="there is a file where a folder is needed"):
        pull(write_project(tmp_path))
    assert not asked.calls
