"""Each recipe from regions to checkpoint to tiles in a real QuPath project, and back.

Networks that have to learn something are tiny, so that a CPU trains them in seconds; the recipes' own go the same way
with one epoch, and how well they learn is shown by ``python -m tests.quality.recipes``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qupath_her2.models.card import read_card
from qupath_her2.recipes import RECIPES
from tests.helpers.drawn_study import draw_study
from tests.helpers.qupath import QuPath
from tests.helpers.recipes import DRAWN, as_toml
from tests.integration.conftest import Study, make

pytestmark = [pytest.mark.qupath, pytest.mark.slow]
#: Layer norm instead of batch norm, whose averages a training of seconds cannot fill.
TINY = "timm:test_convnext"


def drawn_project(recipe: str, qupath: QuPath, folder: Path, *, is_short: bool = False) -> Study:
    """A project of synthetic images with their regions, made by QuPath; a short one has three cases and one epoch."""
    drawn = replace(DRAWN[recipe], cases=3) if is_short else DRAWN[recipe]
    names = drawn.draw(folder)
    kind = "named-he" if drawn.stain == "H&E" else "named"
    study = make(qupath, folder, folder, *(f"{kind}={name}" for name in names))
    for path in folder.glob("*.geojson"):
        # QuPath has imported them.
        path.unlink()
    # One patch per image gives few steps per epoch and few patches to classify.
    epochs, rate = (1, 1e-3) if is_short else (80, 1e-3) if drawn.is_whole_image else (50, 3e-3)
    settings = drawn.settings(
        epochs=epochs, batch_size=8, schedule={"learning_rate": rate, "least_learning_rate": 0.0}
    )
    (folder / "her2.toml").write_text(as_toml(settings), encoding="utf-8")
    return study


def accuracy_of(folder: Path, part: str) -> float:
    content = json.loads((folder / "test" / part / "agreement.json").read_bytes())
    share: dict[str, Any] = content["accuracy"]
    return float(share["k"] / share["n"])


@pytest.mark.parametrize("recipe", list(DRAWN))
def test_from_regions_to_tiles_and_back(recipe: str, qupath: QuPath, tmp_path: Path) -> None:
    study = drawn_project(recipe, qupath, tmp_path / "study")
    models = study.folder / "her2" / "models"
    study.her2("pull", str(study.project))
    train = ("train", str(study.project), "--recipe", recipe, "--model", TINY, "--weights", "random")
    study.her2(*train, "--name", "net")
    study.her2(*train, "--name", "control", "--shuffle-labels")
    chance = 1 / len(DRAWN[recipe].classes)
    assert accuracy_of(models / "net", "patches") > max(accuracy_of(models / "control", "patches"), chance)

    before = study.look()
    predict = ("predict", str(study.project), "--model", str(models / "net" / "best"), "--cam")
    done = study.her2(*predict)
    n_images = len(before)
    assert f"{n_images} predicted" in done.stdout, done.stdout + done.stderr
    assert "none of your own objects changed" in done.stdout
    for image in study.look():
        tiles = [one for one in image["objects"] if one["kind"] == "PathTileObject"]
        assert tiles, image["name"]
        for tile in tiles:
            assert tile["pathClass"].startswith("HER2 patch ")
            probabilities = [
                v for name, v in tile["measurements"].items() if name.startswith("HER2: probability")
            ]
            assert sum(probabilities) == pytest.approx(1, abs=1e-3)
        assert "HER2 predicted class" in image["metadata"]
        assert "HER2 score" not in image["metadata"]
    runs = [path.parent for path in (study.folder / "her2" / "predictions").rglob("run.json")]
    assert len(runs) == n_images
    assert all({"cam.png", "heatmap.ome.tif"} <= {path.name for path in run.iterdir()} for run in runs)
    assert "nothing to do" in study.her2(*predict).stdout
    if recipe != "patch-count":
        return
    # A network's tiles are not labels: training uses the same patches as before.
    manifest = (study.folder / "her2" / "patches" / recipe / "manifest.npz").read_bytes()
    study.her2("pull", str(study.project))
    study.her2("patches", str(study.project), "--recipe", recipe)
    assert (study.folder / "her2" / "patches" / recipe / "manifest.npz").read_bytes() == manifest


@pytest.mark.parametrize("recipe", list(DRAWN))
def test_the_recipes_own_network_goes_from_regions_to_tiles(
    recipe: str, qupath: QuPath, tmp_path: Path
) -> None:
    study = drawn_project(recipe, qupath, tmp_path / "study", is_short=True)
    study.her2("pull", str(study.project))
    study.her2("train", str(study.project), "--recipe", recipe, "--weights", "random", "--name", "own")
    checkpoint = study.folder / "her2" / "models" / "own" / "best"
    card = read_card(checkpoint)
    assert (card.model, card.recipe) == (RECIPES[recipe].model, recipe)
    done = study.her2("predict", str(study.project), "--model", str(checkpoint))
    assert "none of your own objects changed" in done.stdout, done.stdout + done.stderr
    classes = {f"HER2 patch {name}" for name in card.class_names}
    for image in study.look():
        tiles = [one for one in image["objects"] if one["kind"] == "PathTileObject"]
        assert tiles, image["name"]
        assert {tile["pathClass"] for tile in tiles} <= classes
        assert "HER2 predicted class" in image["metadata"]


@pytest.mark.parametrize("recipe", ["clam-sb", "clam-mb", "dtfd-afs"])
def test_attention_over_features_comes_back_as_tiles(recipe: str, qupath: QuPath, tmp_path: Path) -> None:
    """Features of the one encoder with pretrained weights at hand, and the recipe's own network on them."""
    folder = tmp_path / "study"
    names = draw_study(folder, ("0", "3+"), cases=3)
    study = make(qupath, folder, folder, *(f"named={name}" for name in names))
    for path in folder.glob("*.geojson"):
        # QuPath has imported them.
        path.unlink()
    (folder / "her2.toml").write_text("[embed]\npatch_size_px = 64\n[bags]\nepochs = 4\n", encoding="utf-8")
    study.her2("pull", str(study.project))
    study.her2("embed", str(study.project))
    shares = ("--task", "her2-4", "--shares", "0.6,0.2,0.2", "--name", "own")
    study.her2("train", str(study.project), "--recipe", recipe, *shares)
    done = study.her2(
        "predict", str(study.project), "--model", str(folder / "her2" / "models" / "own" / "best")
    )
    assert f"{len(names)} predicted" in done.stdout, done.stdout + done.stderr
    assert "none of your own objects changed" in done.stdout
    for image in study.look():
        tiles = [one for one in image["objects"] if one["kind"] == "PathTileObject"]
        ranks = [one["measurements"]["HER2: attention"] for one in tiles]
        assert len(ranks) > 3, image["name"]
        # Attention is given as a rank among the patches of the slide.
        assert min(ranks) >= 0
        assert max(ranks) == pytest.approx(1)
        assert len(set(ranks)) > 1
        assert any(str(one["pathClass"]) == "HER2 patch attention" for one in tiles)
        assert "HER2 predicted class" in image["metadata"]
