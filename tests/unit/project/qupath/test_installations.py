"""Finding QuPath installations, with folders laid out like them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qupath_her2.errors import QuPathError
from qupath_her2.project.qupath import installations as qupaths
from qupath_her2.project.qupath.installations import choose_qupath, find_qupaths
from tests.helpers.layout import lay_out


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that paquo searches."""
    place = tmp_path / "opt"
    place.mkdir()
    monkeypatch.delenv("PAQUO_QUPATH_DIR", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    known = {
        "qupath_dir": "",
        "qupath_search_dirs": [str(tmp_path / "none"), str(place)],
        "qupath_search_dir_regex": "(?i)qupath.*",
        "qupath_search_conda": True,
    }
    monkeypatch.setattr(
        qupaths, "_paquo_settings", lambda: {**known, "qupath_dir": os.environ.get("PAQUO_QUPATH_DIR", "")}
    )
    return place


def test_the_newest_comes_first_and_other_folders_are_ignored(places: Path) -> None:
    for name, version in (("QuPath-b", "0.10.0"), ("qupath-a", "0.9.1"), ("Other", "0.1.0")):
        lay_out(places / name, version)
    (places / "QuPath-empty").mkdir()
    assert [q.version for q in find_qupaths()] == ["0.10.0", "0.9.1"]


def test_paquo_qupath_dir_excludes_all_others(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(places / "QuPath", "0.7.0")
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(lay_out(places.parent / "mine", "0.5.1")))
    assert [q.version for q in find_qupaths()] == ["0.5.1"]
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(places / "gone"))
    assert find_qupaths() == []
    with pytest.raises(QuPathError, match=r"PAQUO_QUPATH_DIR is '.*gone', which is not a QuPath folder"):
        choose_qupath()


def test_conda_comes_before_the_default_places(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(places / "QuPath", "0.6.0")
    conda = lay_out(places.parent / "conda" / "opt" / "QuPath", "0.6.0")
    monkeypatch.setenv("CONDA_PREFIX", str(places.parent / "conda"))
    assert [q.folder for q in find_qupaths()] == [conda]


@pytest.mark.parametrize(
    ("project", "chosen"), [("0.6.0", "0.6.0"), ("0.5.0", "0.7.0"), (None, "0.7.0"), ("0.7.3", "0.7.0")]
)
def test_the_version_that_saved_the_project_is_preferred(
    places: Path, project: str | None, chosen: str
) -> None:
    for version in ("0.5.1", "0.6.0", "0.7.0"):
        lay_out(places / f"QuPath-{version}", version)
    assert choose_qupath(project).version == chosen


def test_a_project_of_a_newer_qupath_is_refused(places: Path) -> None:
    lay_out(places / "QuPath", "0.6.0")
    with pytest.raises(QuPathError, match=r"saved by QuPath 0\.7\.0, but the newest QuPath found is 0\.6\.0"):
        choose_qupath("0.7.0")


def test_without_qupath_the_message_says_what_to_do(places: Path) -> None:
    with pytest.raises(QuPathError, match=r"No QuPath was found.*PAQUO_QUPATH_DIR.*export_regions\.groovy"):
        choose_qupath()
