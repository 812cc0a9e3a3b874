"""``--tumour-from`` with a trained network: from outlines of tumour to a tumour map, to indicators, to a score."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from tests.unit.cli.commands import call, summary
from tests.unit.cli.test_indicators import draw as draw_field_of_cells
from tests.unit.cli.test_indicators import write_study

pytestmark = pytest.mark.slow

HOW = ("--pixel-size-um", "0.5", "--progress", "off")
SETTINGS = """
[indicators]
patch_px = 128
[scoring]
min_cells = 20
[tumour]
area_mm2_min = 0.004
[control]
piece_area_mm2_min = 0.004
[patches]
random_per_image = 40
"""


def draw(folder: Path, name: str, score: str, seed: int, *, with_region: bool = True) -> None:
    """Write a picture of cells on the left, with a region around them, stroma on the right, and glass below."""
    draw_field_of_cells(folder, name, score, seed)
    cells = cv2.imread(str(folder / f"{name}.png"))
    # Cytoplasm and stroma of one saturation, and glass below them: tissue is found by Otsu's threshold.
    cells[(cells == (234, 226, 232)).all(axis=-1)] = (225, 180, 205)
    rng = np.random.default_rng(1000 + seed)
    stroma = np.full((256, 256, 3), (205, 164, 190), np.uint8)
    for y in range(4, 256, 9):
        cv2.line(stroma, (0, y), (255, y + int(rng.integers(-8, 9))), (190, 150, 178), 2)
    glass = np.full((128, 512, 3), 244, np.uint8)
    both = np.vstack((np.hstack((cells, stroma)), glass)) + rng.integers(-5, 6, (384, 512, 3))
    cv2.imwrite(str(folder / f"{name}.png"), np.clip(both, 0, 255).astype(np.uint8))
    if not with_region:
        (folder / f"{name}.geojson").unlink()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labelled cases of each score, the tumour outlined in all of them."""
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, "abc", draw, SETTINGS)
    return folder


@pytest.fixture(scope="module")
def network(study: Path) -> Path:
    """A tumour network as the recipe trains it, small enough for a processor: from outlines alone."""
    code, out, err = call(
        "train", study, "--recipe", "tumour-resnet34", "--model", "timm:test_resnet", "--weights", "random",
        "--size", "32", "--epochs", "4", "--batch-size", "16", "--device", "cpu", *HOW,
    )  # fmt: skip
    assert code == 0, out + err
    return study / "her2" / "models" / "tumour-resnet34-timm-test_resnet" / "best"


def test_the_map_of_a_trained_network_leads_to_a_score(study: Path, network: Path, tmp_path: Path) -> None:
    code, out, err = call("indicators", "fit", study, "--tumour-from", network, *HOW)
    assert code == 0, out + err
    ranges = study / "her2" / "indicators" / "ranges.json"
    assert json.loads(ranges.read_bytes())["fitted_on"]["area"] == "tumour network"
    # New images, on which nobody drew anything.
    new = tmp_path / "new"
    new.mkdir()
    draw(new, "a", "0", 90, with_region=False)
    draw(new, "b", "3+", 91, with_region=False)
    (new / "her2.toml").write_text(SETTINGS)
    code, out, err = call(
        "run", new, "--method", "indicators", "--tumour-from", network, "--ranges", ranges, *HOW
    )
    assert code == 0, out + err
    rows = summary(new / "her2")
    assert [row["score"] for row in rows] == ["0", "3+"]
    assert all("found by the network 'tumour-resnet34'" in row["warnings"] for row in rows)
    (measured,) = (new / "her2" / "results").glob("*_b*/*/indicators.json")
    # Two columns of patches on the cells, of three, in two rows.
    assert json.loads(measured.read_bytes())["indicators"]["n_patches"] == 4
    probability = cv2.imread(str(measured.with_name("tumour.png")))
    left, right = probability[:100, :120].mean((0, 1)), probability[:100, 140:].mean((0, 1))
    # Red for tumour, dark violet for none; OpenCV has blue first.
    assert left[2] > 2 * right[2]


def test_evaluate_draws_figures_6_and_9_of_the_paper(study: Path, network: Path) -> None:
    ranges = study / "her2" / "indicators" / "ranges.json"
    if not ranges.is_file():
        assert call("indicators", "fit", study, "--tumour-from", network, *HOW)[0] == 0
    code, out, err = call("indicators", "evaluate", study, "--tumour-from", network, "--ranges", ranges, *HOW)
    assert code == 0, out + err
    words = " ".join(out.split())
    assert "tumour map AUC" in words
    area, average = (
        float(words.split(start)[1].split()[0].rstrip(",")) for start in ("map AUC ", "average precision ")
    )
    assert area > 0.95
    assert average > 0.95
    folder = study / "her2" / "indicators" / "evaluation"
    assert {path.name for path in folder.iterdir()} == {
        "indicators.html", "scores-all.svg", "scores-intensity.svg", "tumour-curves.svg",
    }  # fmt: skip
    page = (folder / "indicators.html").read_text(encoding="utf-8")
    assert f"average precision {average:.3f}" in (folder / "tumour-curves.svg").read_text(encoding="utf-8")
    assert "of them fitted on" in page


def test_without_drawn_tumour_the_map_is_compared_with_nothing(
    study: Path, network: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "undrawn"
    folder.mkdir()
    draw(folder, "a", "3+", 92, with_region=False)
    (folder / "cases.csv").write_text("image,case,label\na.png,A,3+\n")
    (folder / "her2.toml").write_text(SETTINGS)
    ranges = study / "her2" / "indicators" / "ranges.json"
    code, out, err = call(
        "indicators", "evaluate", folder, "--tumour-from", network, "--ranges", ranges, *HOW
    )
    assert code == 0, out + err
    assert "The tumour map is compared with nothing: No patch came out of 1 image: image: no region: 1" in err
    assert not (folder / "her2" / "indicators" / "evaluation" / "tumour-curves.svg").exists()
