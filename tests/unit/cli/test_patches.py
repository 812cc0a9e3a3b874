from __future__ import annotations

import json
from pathlib import Path

import pytest
import shapely
from PIL import Image
from typer.testing import CliRunner, Result

from qupath_her2.cli import app
from qupath_her2.patches.manifest import read_manifest
from tests.unit.patches.conftest import noise
from tests.unit.patches.drawn_folders import draw_cohort, regions, slide


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["patches", *map(str, words)])


SMALL = ("--size", 20, "--um-px", 0.5, "--drop", "none")


def test_patches_of_a_folder(tmp_path: Path) -> None:
    draw_cohort(tmp_path)
    done = call(tmp_path, *SMALL, "--name", "mine", "--shares", "0.5,0.25,0.25", "--seed", 3)
    assert done.exit_code == 0, done.output
    assert "54 patches of 6 images and 6 known cases" in done.stdout
    assert "0: 27, 1+: 0, 2+: 0, 3+: 27" in done.stdout
    got = read_manifest(tmp_path / "her2" / "patches" / "mine")
    assert len(got) == 54
    assert got.settings["split"]["shares"] == [0.5, 0.25, 0.25]
    assert got.settings["seed"] == 3


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    draw_cohort(tmp_path)
    (tmp_path / "her2.toml").write_text(
        '[patches]\ntask = "her2-binary"\nsplit = "none"\n[patches.grid]\npatch_size_px = 30\n'
    )
    assert call(tmp_path, "--um-px", 0.5, "--drop", "none").exit_code == 0
    got = read_manifest(tmp_path / "her2" / "patches" / "her2-binary")
    assert (got.patch_size_px, got.class_names) == (30, ("negative", "positive"))
    assert call(tmp_path, *SMALL, "--task", "her2-3", "--rule", "contained").exit_code == 0
    got = read_manifest(tmp_path / "her2" / "patches" / "her2-3")
    assert (got.patch_size_px, got.settings["rule"]["rule"]) == (20, "contained")


def test_json_lines_and_jpegs(tmp_path: Path) -> None:
    draw_cohort(tmp_path)
    done = call(tmp_path, *SMALL, "--progress", "json", "--export-jpeg")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == {"event": "patches", "done": 0, "total": 6, "name": "s0.tif"}
    assert lines[-1]["event"] == "done"
    assert lines[-1]["patches"] == 54
    assert lines[-1]["labels"] == {"0": 27, "1+": 0, "2+": 0, "3+": 27}
    assert len(list((tmp_path / "her2" / "patches" / "her2-4" / "jpeg").rglob("*.jpg"))) == 54


def test_one_bad_image_ends_with_3_and_nothing_at_all_with_1(tmp_path: Path) -> None:
    draw_cohort(tmp_path)
    (tmp_path / "s0.tif").write_bytes(b"II*\0")
    done = call(tmp_path, *SMALL)
    assert done.exit_code == 3
    assert "s0.tif" in done.stderr
    assert "image: cannot be read 1" in done.stdout
    done = call(tmp_path, *SMALL, "--task", "er")
    assert done.exit_code == 1
    assert "2 of the labels: '0' (3), '3+' (2)" in done.stderr
    assert not (tmp_path / "her2" / "patches" / "er").exists()


def test_unknown_cases_carry_their_warning(tmp_path: Path) -> None:
    draw_cohort(tmp_path)
    (tmp_path / "cases.csv").unlink()
    done = call(tmp_path, *SMALL)
    assert "patch-level, leakage possible" in done.stderr


def test_a_published_layout(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for i in range(3):
            path = tmp_path / "HE" / split / f"{i:05d}_{split}_{i}+.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise(64, 64, i)).save(path)
    done = call(tmp_path, "--layout", "bci", "--stain", "HE", "--size", 32)
    assert done.exit_code == 0, done.output
    assert "train 2, validation 1, test 3 (as published)" in done.stdout
    assert "validation: 25 % of the training images, drawn within each class" in done.stdout
    assert "names no cases" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--shares", "a,b"), "--shares"),
        (("--shares", "0.5,0.5,0.5"), "numbers of at least 0 that sum to 1"),
        (("--name", "../x"), "--name"),
        (("--stain", "HE"), "--layout"),
        (("--layout", "bci", "--images", "a"), "--images"),
        (("--task", "her2"), "her2-response"),
        (("--pixel-size-um", "0"), "is not a plausible pixel size"),
        (("--layout", "bci", "--pixel-size-um", "-1"), "is not a plausible pixel size"),
        (("--size", "9", "--um-px", "-1"), "target_um_px"),
    ],
)
def test_flags_that_cannot_be_are_refused(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    draw_cohort(tmp_path)
    Image.fromarray(noise(16, 16)).save(tmp_path / "00001_train_0.png")
    done = call(tmp_path, *words)
    assert done.exit_code == 1
    assert says in done.stderr


def test_only_the_images_asked_for(tmp_path: Path) -> None:
    for name in ("a1", "a2", "b1"):
        slide(tmp_path, name)
        regions(tmp_path, name, ("3+", shapely.box(0, 0, 40, 40)))
    assert call(tmp_path, *SMALL, "--images", "a*").exit_code == 0
    assert len(read_manifest(tmp_path / "her2" / "patches" / "her2-4").images) == 2
