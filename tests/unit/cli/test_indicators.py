"""``indicators fit`` and ``evaluate`` on drawn fields, and what their table does in ``run``."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import cv2
import numpy as np
import pytest

from tests.unit.cli.commands import call, summary

HOW = ("--pixel-size-um", "0.5", "--progress", "off")
#: Patches of a quarter of the paper's area, so that a field of 256 px is one.
SETTINGS = "[indicators]\npatch_px = 256\n[scoring]\nmin_cells = 20\n"
#: {score: share of cells with a ring, its length in degrees, its colour}.
RINGS = {
    "0": (0.0, 0, (0, 0, 0)),
    "1+": (0.3, 200, (190, 150, 110)),
    "2+": (0.6, 360, (160, 110, 70)),
    "3+": (0.9, 360, (110, 60, 30)),
}


def draw(folder: Path, name: str, score: str, seed: int) -> None:
    """Write a field of 49 cells with rings of DAB, and a tumour region around it."""
    rng = np.random.default_rng(seed)
    picture = np.full((256, 256, 3), (232, 226, 234), np.uint8)
    share, degrees, colour = RINGS[score]
    for x, y in itertools.product(range(32, 256, 32), repeat=2):
        at = (x + int(rng.integers(-2, 3)), y + int(rng.integers(-2, 3)))
        cv2.circle(picture, at, 7, (120, 130, 190), cv2.FILLED)
        if rng.random() < share:
            shade = tuple(int(value + rng.integers(-6, 7)) for value in colour)
            cv2.ellipse(picture, at, (12, 12), 0, 0, degrees, shade, 3)
    cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    ring = [[0, 0], [256, 0], [256, 256], [0, 256], [0, 0]]
    feature = {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_URL, name)),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
    }
    (folder / f"{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))


def write_study(
    folder: Path, letters: str, draw_one: Callable[[Path, str, str, int], None], settings: str
) -> None:
    """Write labelled cases, one of each letter for each score."""
    rows = ["image,case,label"]
    for grade, score in enumerate(RINGS):
        for number, letter in enumerate(letters):
            draw_one(folder, f"{grade}{letter}", score, 10 * grade + number)
            rows.append(f"{grade}{letter}.png,C{grade}{letter},{score}")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    (folder / "her2.toml").write_text(settings)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four drawn cases of each score: 16 fields."""
    folder = tmp_path_factory.mktemp("cohort")
    write_study(folder, "abcd", draw, SETTINGS)
    return folder


@pytest.fixture(scope="module")
def fitted(drawn: Path) -> tuple[Path, str]:
    """The table, and what the verb printed."""
    code, out, err = call("indicators", "fit", drawn, *HOW)
    assert code == 0, out + err
    return drawn / "her2" / "indicators" / "ranges.json", out


def test_fit_scores_each_case_without_itself_and_writes_the_table(fitted: tuple[Path, str]) -> None:
    path, out = fitted
    table = json.loads(path.read_text(encoding="utf-8"))
    assert table["n_cases"] == 16
    assert table["tested"] == 16
    assert table["right"] >= 14
    assert f"{table['right']}/16 right by all three indicators" in out
    assert "right by staining intensity alone" in out
    made = table["fitted_on"]
    assert (made["scanners"], made["stains"], made["pixel_size_um"], made["area"]) == (
        [""],
        ["HER2"],
        [0.5, 0.5],
        "regions",
    )
    assert len(made["images"]) == 16
    # The score that counts is that of `run`: nothing was put in its place.
    assert not (path.parents[1] / "results").exists()


def test_the_printed_table_scores_nothing_and_says_why(drawn: Path) -> None:
    code, out, err = call("run", drawn, "--method", "indicators", "--images", "2a.png", *HOW)
    assert code == 0, err
    (row,) = summary(drawn / "her2")
    assert row["score"] == ""
    assert row["status"] == "not assessable"
    assert "were never fitted on this scanner and stain" in " ".join(out.split())
    assert "qupath-her2 indicators fit FOLDER" in " ".join(out.split())


def test_a_fitted_table_scores_new_images_of_the_same_kind(
    drawn: Path, fitted: tuple[Path, str], tmp_path: Path
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    draw(new, "a", "0", 90)
    draw(new, "b", "3+", 91)
    (new / "her2.toml").write_text(SETTINGS)
    code, out, err = call("run", new, "--method", "indicators", "--ranges", fitted[0], *HOW)
    assert code == 0, out + err
    assert [row["score"] for row in summary(new / "her2")] == ["0", "3+"]
    # Other settings of the measurement are other indicators.
    (new / "her2.toml").write_text(SETTINGS.replace("patch_px = 256", "patch_px = 200"))
    code, out, err = call("run", new, "--method", "indicators", "--ranges", fitted[0], *HOW)
    assert code == 0, out + err
    assert [row["status"] for row in summary(new / "her2")] == ["not assessable"] * 2
    assert "other settings of the measurement" in " ".join(out.split())
    code, out, err = call(
        "run", new, "--method", "indicators", "--ranges", fitted[0], "--accept-ranges", *HOW
    )
    assert code == 0, out + err
    (first, second) = summary(new / "her2")
    assert first["status"] == second["status"] == "scored"
    assert first["warnings"].startswith("The ranges were fitted with other settings")


def test_evaluate_says_which_images_the_table_knows(drawn: Path, fitted: tuple[Path, str]) -> None:
    code, out, err = call("indicators", "evaluate", drawn, "--ranges", fitted[0], *HOW)
    assert code == 0, err
    assert "fitted on 16 of these 16 images" in out
    assert "16/16 right by all three indicators" in out


def test_evaluate_refuses_images_of_another_kind_and_counts_them(
    drawn: Path, fitted: tuple[Path, str], tmp_path: Path
) -> None:
    others = tmp_path / "others"
    others.mkdir()
    for name in ("0a.png", "3a.png", "0a.geojson", "3a.geojson"):
        shutil.copy(drawn / name, others / name)
    (others / "cases.csv").write_text("image,case,label,stain\n0a.png,A,0,HER2 SP3\n3a.png,B,3+,HER2 SP3\n")
    (others / "her2.toml").write_text(SETTINGS)
    code, out, err = call("indicators", "evaluate", others, "--ranges", fitted[0], *HOW)
    assert code == 0, err
    assert "without an answer: 2" in out
    code, out, err = call("indicators", "evaluate", others, "--ranges", fitted[0], "--accept-ranges", *HOW)
    assert code == 0, err
    assert "2/2 right by all three indicators" in out


@pytest.mark.parametrize(
    ("cases", "flags", "said"),
    [
        ("image,case,label\n0a.png,A,0\n", (), "No image is labelled 1+, 2+, 3+."),
        ("image,case\n0a.png,A\n", (), "No image is labelled 0, 1+, 2+, 3+."),
        ("image,case,label\n0a.png,A,four\n", (), "does not know 1 of the labels: 'four' (1)"),
        ("image,case,label\n0a.png,A,0\n", ("--ranges", "x.json"), "Leave --ranges out."),
    ],
)
def test_nothing_is_measured_where_it_cannot_serve(
    drawn: Path, tmp_path: Path, cases: str, flags: tuple[str, ...], said: str
) -> None:
    folder = tmp_path / "few"
    folder.mkdir()
    shutil.copy(drawn / "0a.png", folder / "0a.png")
    (folder / "cases.csv").write_text(cases)
    code, _, err = call("indicators", "fit", folder, *flags, *HOW)
    assert code == 1
    assert said in err
    assert not list((folder / "her2").rglob("indicators.json"))


def test_evaluate_without_a_table_says_how_to_get_one(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64, 3), 255, np.uint8))
    code, _, err = call("indicators", "evaluate", tmp_path, *HOW)
    assert code == 1
    assert "pass --ranges FILE, which qupath-her2 indicators fit writes" in err
