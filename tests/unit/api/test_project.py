from __future__ import annotations

from pathlib import Path

import pytest

import qupath_her2 as qh


def test_a_folder_opens_with_its_images_and_cases(project: Path) -> None:
    (project / "cases.csv").write_text("image,case,site\npale.ome.tif,A-1,gastric\n")
    opened = qh.open_project(project)
    assert [image.name for image in opened.images] == ["pale.ome.tif", "strong.ome.tif"]
    assert opened.images[0].case.case == "A-1"
    assert opened.images[0].case.site == "gastric"
    assert opened.her2 == project / "her2"
    assert len(qh.open_project(str(project), images=["str*"], out=project / "other")) == 1


def test_a_missing_folder_raises_her2error(tmp_path: Path) -> None:
    with pytest.raises(qh.Her2Error, match="none"):
        qh.open_project(tmp_path / "none")


def test_pull_and_push_without_qupath_raise_her2error(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(tmp_path / "no QuPath"))
    for verb in (qh.pull, qh.push):
        with pytest.raises(qh.Her2Error, match=r"qpproj|QuPath"):
            verb(project)
