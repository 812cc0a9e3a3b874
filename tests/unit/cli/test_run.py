"""``run``: from images to the report, its exit codes, and what a kill leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.runs.plan import select_images
from qupath_her2.slides.readers.slide import open_slide
from tests.unit.cli.commands import call, start, summary


def test_run_scores_writes_the_report_and_says_so(project: Path) -> None:
    code, out, err = call("run", project)
    assert code == 0, err
    rows = summary(project / "her2")
    assert [(row["image"], row["score"]) for row in rows][1] == ("strong.ome.tif", "3+")
    assert "strong.ome.tif" in out
    assert "Research use only" in out
    assert re.search(r"^2 scored; [\d,]+ cells$", out, re.MULTILINE)
    assert f"report  {project / 'her2' / 'report.html'}" in out
    html = (project / "her2" / "report.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg") >= 4
    assert "Research use only" in html


def test_second_run_does_nothing_and_third_only_what_changed(project: Path) -> None:
    call("run", project)
    page = project / "her2" / "report.html"
    before = page.stat().st_mtime_ns
    code, out, _ = call("run", project)
    assert code == 0
    assert "2/2 up to date; nothing to do (to redo: run or predict --force)" in out
    assert page.stat().st_mtime_ns == before
    shutil.copy(project / "pale.ome.tif", project / "third.ome.tif")
    shutil.copy(project / "pale.geojson", project / "third.geojson")
    code, out, _ = call("run", project)
    assert code == 0
    assert "1 scored, 2 up to date" in out
    assert len(summary(project / "her2")) == 3


def test_some_failed_is_exit_3_and_the_others_are_there(project: Path) -> None:
    (project / "broken.svs").write_bytes(b"")
    code, out, err = call("run", project)
    assert code == 3
    assert "broken.svs" in err
    assert "Traceback" not in err
    assert "2 scored, 1 failed" in out
    states = {row["image"]: row["status"] for row in summary(project / "her2")}
    assert states == {"broken.svs": "failed", "pale.ome.tif": "scored", "strong.ome.tif": "scored"}


def test_refused_is_a_result_not_a_failure(project: Path) -> None:
    for path in project.glob("*.geojson"):
        path.unlink()
    code, out, _ = call("run", project)
    assert code == 0
    assert "2 not assessable: 2 no tumour region; 0 cells" in out
    said = (
        "no tumour region: draw one and set its class to Tumor, pass --find-tumour to search for it, or pass"
    )
    assert " ".join(out.split()).count(f"{said} --whole-tissue.") == 2
    assert [row["status"] for row in summary(project / "her2")] == ["not assessable"] * 2
    code, out, _ = call("run", project, "--whole-tissue")
    assert code == 0
    assert "No one chose the tumour" in (project / "her2" / "report.html").read_text(encoding="utf-8")


def odd_images(folder: Path, rgb: np.ndarray) -> None:
    """Write pictures of every kind that people's folders hold."""
    import tifffile

    alpha = np.full((*rgb.shape[:2], 1), 255, np.uint8)
    tifffile.imwrite(folder / "sixteen.tif", rgb.astype(np.uint16) * 257, photometric="rgb")
    tifffile.imwrite(folder / "grey.tif", rgb.mean(axis=2).astype(np.uint8), photometric="minisblack")
    tifffile.imwrite(
        folder / "alpha.tif", np.dstack([rgb, alpha]), photometric="rgb", extrasamples=["unassalpha"]
    )
    tifffile.imwrite(folder / "cmyk.tif", np.dstack([255 - rgb, alpha * 0]), photometric="separated")
    tifffile.imwrite(folder / "whole.tif", rgb, photometric="rgb")
    (folder / "short.tif").write_bytes((folder / "whole.tif").read_bytes()[:5000])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture")
    tifffile.imwrite(folder / "tiny.tif", rgb[:3, :2], photometric="rgb")
    tifffile.imwrite(folder / "blank.tif", np.full((300, 300, 3), 245, np.uint8), photometric="rgb")


def test_pictures_of_every_kind_are_scored_refused_or_named(project: Path) -> None:
    from qupath_her2.slides.readers.slide import open_slide

    with open_slide(project / "strong.ome.tif") as slide:
        rgb = slide.read(0, 0, slide.width, slide.height)
    for path in project.iterdir():
        path.unlink()
    odd_images(project, rgb)
    code, out, err = call("run", project, "--whole-tissue", "--pixel-size-um", "0.5")
    assert code == 3
    rows = {row["image"]: row for row in summary(project / "her2")}
    assert len(rows) == 10
    assert "unexpected" not in out + err
    assert "Traceback" not in out + err
    assert rows["whole.tif"]["score"] == rows["alpha.tif"]["score"] == "3+"
    assert rows["blank.tif"]["status"] == rows["grey.tif"]["status"] == "not assessable"
    for name in ("short.tif", "empty.png", "text.jpg"):
        assert rows[name]["status"] == "failed"
        assert name in rows[name]["reason"]


def test_flags_reach_the_result(project: Path, tmp_path: Path) -> None:
    code, _, err = call(
        "run", project, "--out", tmp_path / "elsewhere", "--images", "strong*", "--guideline", "breast-2013",
        "--geojson", "--pixel-size-um", "0.5", "--workers", "auto",
    )  # fmt: skip
    assert code == 0, err
    (row,) = summary(tmp_path / "elsewhere")
    assert row["guideline"] == "ASCO/CAP breast 2013"
    assert list((tmp_path / "elsewhere" / "results").glob("*/*/cells.geojson.gz"))
    assert not (project / "her2").exists()


def test_settings_file_and_its_mistakes(project: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("[scoring]\nmin_cells = 100000\n")
    code, out, _ = call("run", project, "--config", config)
    assert code == 0
    assert "2 not assessable: 2 too few cells" in out
    config.write_text("[scoring]\nmin_cels = 5\n")
    code, _, err = call("run", project, "--config", config)
    assert code == 1
    assert "did you mean 'scoring.min_cells'" in err
    assert "mine.toml" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "{project}", "--guideline", "breast2018"], 1, "breast-2018"),
        (["run", "{project}", "--pixel-size-um", "0"], 1, "--pixel-size-um 0"),
        (["run", "{project}", "--pixel-size-um", "nan"], 1, "pixel"),
        (["run", "{project}", "--images", "none*"], 1, "pale.ome.tif"),
        (["run", "{project}/pale.ome.tif"], 1, "--whole-tissue"),
        (["run", "{project}/none"], 1, "does not exist"),
        (["run", "{project}", "--site", "liver"], 2, "liver"),
        (["run", "{project}", "--workers", "0"], 2, "'0' is neither"),
        (["run", "{project}", "--workers", "two"], 2, "'two' is neither"),
        (["run", "{project}", "--progress", "loud"], 2, "loud"),
        (["run", "{project}", "--nonsense"], 2, "--nonsense"),
        (["run"], 2, "FOLDER"),
        (["scare"], 2, "scare"),
        (["report", "{project}"], 1, "qupath-her2 run"),
        (["score", "{project}"], 1, "qupath-her2 run"),
        (["example", "{project}"], 1, "not empty"),
    ],
)
def test_mistakes_end_with_their_code_and_a_way_out(
    project: Path, arguments: list[str], code: int, words: str
) -> None:
    found, out, err = call(*(a.replace("{project}", str(project)) for a in arguments))
    assert found == code, out + err
    text = re.sub(r"\s*│\s*", " ", err)
    assert words in text
    assert "Traceback" not in out + err


def test_a_file_where_the_output_folder_should_be_is_an_error(project: Path) -> None:
    (project / "her2").write_text("a file")
    code, _, err = call("run", project)
    assert code == 1
    assert "--out DIR" in err


@pytest.fixture
def large(project: Path) -> Path:
    """Two images of several tiles, large enough to be interrupted in work."""
    import tifffile

    from qupath_her2.slides.readers.slide import open_slide

    with open_slide(project / "strong.ome.tif") as slide:
        rgb = slide.read(0, 0, slide.width, slide.height)
    for path in project.iterdir():
        path.unlink()
    for name in ("a", "b"):
        tifffile.imwrite(project / f"{name}.tif", np.tile(rgb, (5, 5, 1)), tile=(256, 256), photometric="rgb")
    return project


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_leaves_no_half_result(large: Path, workers: int) -> None:
    process = start(
        "run", large, "--whole-tissue", "--pixel-size-um", "0.5", "--progress", "json", "--workers", workers,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "tiles":
            break
    # To the whole group, as a terminal sends it.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Cancelled" in err
    assert not [p for p in (large / "her2").rglob("*") if p.name.endswith((".tmp", ".lock"))]
    for pointer in (large / "her2" / "results").iterdir():
        assert (pointer / "current.json").is_file(), "an image folder without a finished run"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows")
def test_a_killed_run_is_resumed(large: Path) -> None:
    (large / "b.tif").unlink()
    arguments = ("run", large, "--whole-tissue", "--pixel-size-um", "0.5", "--progress", "json")
    process = start(*arguments)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "tiles":
            break
    process.kill()
    process.communicate(timeout=60)
    time.sleep(0.1)
    code, out, err = call(*arguments)
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["exit"] == 0
    assert not [p for p in (large / "her2").rglob("*") if p.name.endswith((".tmp", ".lock"))]


def _field(folder: Path) -> np.ndarray:
    """Pixels of the 3+ field, to be written in another container."""
    with open_slide(folder / "strong.ome.tif") as slide:
        return slide.read(0, 0, slide.width, slide.height)


def _write(path: Path, pixels: np.ndarray, **metadata: object) -> None:
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(128, 128), metadata={**sizes, **metadata})


def test_pictures_of_files_with_several_are_scored_or_the_choice_is_named(
    project: Path, tmp_path: Path
) -> None:
    pixels, folder = _field(project), tmp_path / "several"
    folder.mkdir()
    _write(folder / "plain.ome.tif", pixels, axes="YXS")
    with tifffile.TiffWriter(folder / "label_first.ome.tif", ome=True) as writer:
        for name, part in (("label", np.full((700, 600, 3), 180, np.uint8)), ("scan", pixels)):
            sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "axes": "YXS", "Name": name}
            writer.write(part, photometric="rgb", tile=(128, 128), metadata=sizes)
    blurred = np.full_like(pixels, 240)
    _write(folder / "stack.ome.tif", np.stack([blurred, pixels]), axes="ZYXS")
    _write(folder / "twelve.ome.tif", pixels.astype(np.uint16) << 4, axes="YXS")
    for name in ("plain", "label_first", "stack", "twelve"):
        shutil.copy(project / "strong.geojson", folder / f"{name}.geojson")
    code, _, err = call("run", folder)
    assert code == 3
    assert "'stack.ome.tif' cannot be read: it is a stack of 2 z-planes" in err
    assert "planes 0 to 1 with --plane" in err
    rows = {row["image"]: row for row in summary(folder / "her2")}
    scored = ("score", "H-score", "cells", "2+ %", "3+ %")
    truth = [rows["plain.ome.tif"][key] for key in scored]
    assert truth[0] == "3+"
    for name in ("label_first.ome.tif", "twelve.ome.tif"):
        assert [rows[name][key] for key in scored] == truth, name
    assert "read as a 12-bit image" in rows["twelve.ome.tif"]["warnings"]
    # The choice typed as advised; then another one, which is no longer the same input.
    code, _, err = call("run", folder, "--images", "stack*", "--plane", 1)
    assert code == 0, err
    rows = {row["image"]: row for row in summary(folder / "her2")}
    assert [rows["stack.ome.tif"][key] for key in scored] == truth
    record = read_run(current_run(folder / "her2", _image_id(folder, "stack.ome.tif")))[0]
    assert list(record.image["chain"]) == [{"plane": 1}]
    assert "up to date" in call("run", folder, "--images", "stack*", "--plane", 1)[1]
    _, out, _ = call("run", folder, "--images", "stack*", "--plane", 0)
    assert "up to date" not in out
    assert "1 not assessable" in out
    # What was measured is what is drawn when cells are scored again.
    call("run", folder, "--images", "stack*", "--plane", 1, "--force")
    code, out, err = call("score", folder, "--images", "stack*", "--guideline", "breast-2013")
    assert code == 0, err
    record = read_run(current_run(folder / "her2", _image_id(folder, "stack.ome.tif")))[0]
    assert not any("No overlay" in warning for warning in record.warnings)


def _image_id(folder: Path, name: str) -> str:
    (ref,) = select_images(folder, (name,))
    return ref.id
