"""How the tests find QuPath installations; needs no QuPath, as the folders hold empty files in QuPath's layout."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.helpers.qupath import find_qupaths, qupaths_to_test

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the drawn launchers are not Windows programs"
)
LAYOUTS = {"linux": ("lib/app", "bin/QuPath"), "darwin": ("Contents/app", "Contents/MacOS/QuPath-x64")}


def lay_out(folder: Path, version: str, platform: str = "linux") -> Path:
    jars, program = LAYOUTS[platform]
    (folder / jars).mkdir(parents=True)
    (folder / jars / f"qupath-core-{version}.jar").touch()
    (folder / jars / f"qupath-core-processing-{version}.jar").touch()
    (folder / program).parent.mkdir(parents=True)
    (folder / program).touch(mode=0o755)
    return folder


@pytest.mark.parametrize("platform", sorted(LAYOUTS))
def test_versions_are_found_in_order(tmp_path: Path, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for name, version in (("QuPath-b", "0.10.0"), ("qupath-a", "0.9.1"), ("Other", "0.1.0")):
        lay_out(tmp_path / name, version, platform)
    found = find_qupaths({}, [tmp_path / "missing", tmp_path])
    assert [q.version for q in found] == ["0.9.1", "0.10.0"]
    assert all(q.launcher == q.folder / LAYOUTS[platform][1] for q in found)


def test_named_folder_comes_before_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    lay_out(tmp_path / "place" / "QuPath", "0.6.0")
    named = lay_out(tmp_path / "mine", "0.6.0")
    conda = lay_out(tmp_path / "conda" / "opt" / "QuPath", "0.5.1")
    environment = {"PAQUO_QUPATH_DIR": str(named), "CONDA_PREFIX": str(tmp_path / "conda")}
    assert [q.folder for q in find_qupaths(environment, [tmp_path / "place"])] == [conda, named]


def test_incomplete_folder_is_not_a_qupath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    whole = lay_out(tmp_path / "QuPath-1", "0.6.0")
    assert [q.folder for q in find_qupaths({}, [tmp_path])] == [whole]
    (whole / "bin" / "QuPath").unlink()
    assert find_qupaths({}, [tmp_path]) == []
    assert find_qupaths({"PAQUO_QUPATH_DIR": str(tmp_path / "gone")}, []) == []


@pytest.mark.parametrize(
    ("named", "tested"),
    [("", ["0.5.1", "0.6.0"]), ("0.6", ["0.6.0"]), ("0.5, 0.6.0", ["0.5.1", "0.6.0"]), ("0.7", [])],
)
def test_tests_run_on_the_named_versions(
    tmp_path: Path, named: str, tested: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for version in ("0.5.1", "0.6.0"):
        lay_out(tmp_path / f"QuPath-{version}", version)
    found = qupaths_to_test({"QUPATH_HER2_TEST_QUPATHS": named}, [tmp_path])
    assert [q.version for q in found] == tested
