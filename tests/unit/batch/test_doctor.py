from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qupath_her2.batch import doctor as checks
from qupath_her2.records import ImageResult, SlideRef
from qupath_her2.runs.plan import Plan
from tests.helpers.layout import lay_out


def test_this_machine_passes(tmp_path: Path) -> None:
    found = {check.name: check for check in checks.run_checks(tmp_path)}
    assert [name for name, check in found.items() if check.state == "FAIL"] == []
    for name in ("Python", "Write permission", "Slide readers", "Compiler", "Scoring"):
        assert found[name].state == "PASS", found[name]
    assert "scored 3+" in found["Scoring"].text
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_fails_with_the_fix(tmp_path: Path) -> None:
    check = checks.check_write(tmp_path / "none")
    assert (check.state, "--out" in check.fix) == ("FAIL", True)
    assert checks.check_disk(tmp_path / "none").state == "FAIL"


def test_little_disk_space_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_LOW_DISK_GB", 1e9)
    assert checks.check_disk(tmp_path).state == "WARN"


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 0))
    assert checks.check_python().state == "FAIL"


def test_inside_qupath_no_other_one_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qupath_her2.project.qupath.installations.find_qupaths", list)
    found = checks.check_qupath("0.6.0")
    assert (found.state, found.text) == ("PASS", "0.6.0, this one")
    assert checks.check_qupath().state == "WARN"


def test_qupath_is_found_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(lay_out(tmp_path / "mine", "0.6.0")))
    found = checks.check_qupath()
    assert (found.state, found.text) == ("PASS", "0.6.0, found by PAQUO_QUPATH_DIR")
    monkeypatch.setenv("PAQUO_QUPATH_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", "")
    assert checks.check_qupath().state == "WARN"
    assert checks.check_gpu().state == "WARN"


def test_a_wrong_score_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qupath_her2.synthetic.example_project.write_field", lambda *_, **__: None)
    monkeypatch.setattr("qupath_her2.runs.plan.plan_jobs", lambda *_: Plan(Path(), ()))
    monkeypatch.setattr(
        "qupath_her2.batch.local.run_jobs", lambda jobs: [ImageResult("a", "a", "failed", error="x")]
    )
    assert checks.check_scoring().state == "FAIL"


def test_a_pixel_size_that_does_not_fit_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [SlideRef(str(k), f"{k}.tif", tmp_path / f"{k}.tif") for k in range(6)]
    # Of six images every second is measured, up to five in all.
    said = iter([None, "Nuclei would be 4.5 µm wide.", None])
    monkeypatch.setattr("qupath_her2.runs.scale_doubt.image_scale_sentence", lambda *_: next(said))
    found = list(checks.check_scales(images, tmp_path))
    assert [(one.name, one.state, one.text) for one in found] == [
        ("Pixel size", "WARN", "2.tif: Nuclei would be 4.5 µm wide.")
    ]


def test_images_are_counted_and_what_is_not_read_is_named(tmp_path: Path) -> None:
    assert list(checks.check_images(tmp_path / "none")) == []
    (tmp_path / "notes.txt").touch()
    assert list(checks.check_images(tmp_path)) == []
    for name in ("a.png", "b.png", "a.geojson", "c.czi"):
        (tmp_path / name).touch()
    count, unread, *broken = checks.check_images(tmp_path)
    # Empty files are no pictures; what else is wrong with them, scoring says.
    assert [one.state for one in broken] == ["WARN", "WARN"]
    assert all(name in one.text for name, one in zip(("a.png", "b.png"), broken, strict=True))
    assert (count.state, count.text) == ("PASS", "2 found, 1 with a region file")
    assert unread.state == "WARN"
    assert unread.text.startswith("Not read: 'c.czi' (Zeiss CZI).")
    (tmp_path / "a.tif").touch()
    (failed,) = checks.check_images(tmp_path)
    assert failed.state == "FAIL"
    assert "'a.geojson' could belong to 'a.png' and 'a.tif'" in failed.text
