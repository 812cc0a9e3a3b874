"""``example_projects/03_train_and_predict``: its script still makes it, and its network still predicts its tiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qupath_her2 as qh
from qupath_her2.models.card import read_card
from qupath_her2.slides.readers.slide import open_slide
from tests.helpers.example_files import EXAMPLES, assert_drawn_again, example_files, make_again
from tests.helpers.qupath import QuPath

NAME = "03_train_and_predict"
COMMITTED = EXAMPLES / NAME
NEW = ("new1", "new2")
PROBABILITY = "HER2: probability tumour"
#: Tiles whose class a network trained again may give otherwise, and mean difference of their probabilities: training
#: on another processor, or by another number of threads, rounds differently in every step.
OTHER_CLASS, OTHER_PROBABILITY = 0.1, 0.1

#: Prints the classes and probabilities of tiles, and the channels of an image.
READ = """
import com.google.gson.Gson
import qupath.lib.images.servers.ImageServers
import qupath.lib.io.PathIO
def tiles = PathIO.readObjects(new File(args[0]).toPath())
def server = ImageServers.buildServer(new File(args[1]).toURI())
println "READ " + new Gson().toJson([
    tiles: tiles.findAll { it.isTile() }.collect { it.getPathClass().toString() },
    probabilities: tiles.collect { it.measurements["HER2: probability tumour"] }, channels: server.nChannels()])
"""


def tiles(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "tiles" / f"{name}.geojson").read_bytes())["features"]
    return found


def tumour(features: list[dict[str, Any]]) -> NDArray[np.float64]:
    return np.array([one["properties"]["measurements"][PROBABILITY] for one in features])


def boxes(features: list[dict[str, Any]]) -> list[list[int]]:
    return [
        [*one["geometry"]["coordinates"][0][0], *one["geometry"]["coordinates"][0][2]] for one in features
    ]


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in COMMITTED.rglob("*") if path.is_file()) < 3_200_000


def test_the_card_names_what_the_walk_through_trains_and_no_machine() -> None:
    card = read_card(COMMITTED / "checkpoint" / "tumour")
    assert (card.recipe, card.model, card.patch_size_px) == ("tumour-resnet34", "timm:test_resnet", 64)
    assert card.class_names == ("non-tumour", "tumour")
    assert set(card.versions) == {"qupath-her2", "torch"}


@pytest.mark.parametrize("name", NEW)
def test_the_tiles_cover_the_slide_and_have_the_likelier_class(name: str) -> None:
    features = tiles(COMMITTED, name)
    with open_slide(COMMITTED / "new" / f"{name}.ome.tif") as slide:
        size = (slide.width, slide.height)
    assert len(features) == 150
    assert tuple(np.array(boxes(features)).max(axis=0)[2:]) <= size
    for feature, probability in zip(features, tumour(features), strict=True):
        properties = feature["properties"]
        likelier = "HER2 patch tumour" if probability > 0.5 else "HER2 patch non-tumour"
        assert (properties["objectType"], properties["classification"]["name"]) == ("tile", likelier)


def test_the_checkpoint_predicts_the_tiles(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    project = qh.open_project(COMMITTED / "new", out=tmp_path)
    for image, name in zip(project.images, NEW, strict=True):
        settings = {"predict": {"device": "cpu"}}
        found = qh.predict(
            image, model=COMMITTED / "checkpoint" / "tumour", whole_tissue=True, settings=settings
        )
        assert found.patches is not None
        assert np.abs(found.patches.probabilities[:, 1] - tumour(tiles(COMMITTED, name))).max() < 0.02


@pytest.mark.qupath
@pytest.mark.slow
def test_every_qupath_reads_tiles_and_heat_map(qupath: QuPath, tmp_path: Path) -> None:
    script = tmp_path / "read.groovy"
    script.write_text(READ, encoding="utf-8")
    words = [str(COMMITTED / "tiles" / name) for name in ("new2.geojson", "new2_heatmap.ome.tif")]
    options = [option for word in words for option in ("--args", word)]
    done = qupath.run(script, *options, private=tmp_path / "preferences")
    (line,) = [line[5:] for line in done.stdout.splitlines() if line.startswith("READ ")]
    read = json.loads(line)
    ours = tiles(COMMITTED, "new2")
    assert read["tiles"] == [one["properties"]["classification"]["name"] for one in ours]
    assert read["probabilities"] == pytest.approx(tumour(ours), abs=1e-6)
    # One channel for each class.
    assert read["channels"] == 2


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    return make_again(NAME, tmp_path_factory.mktemp("again"))


@pytest.mark.slow
def test_the_same_files_are_made(again: Path) -> None:
    made = example_files(again)
    assert made == example_files(COMMITTED)
    for name in made:
        if name.startswith(("cohort/", "new/")):
            assert_drawn_again(again / name, COMMITTED / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_a_network_trained_again_predicts_the_same(again: Path, name: str) -> None:
    ours, theirs = tiles(again, name), tiles(COMMITTED, name)
    assert boxes(ours) == boxes(theirs)
    one, two = tumour(ours), tumour(theirs)
    assert ((one > 0.5) != (two > 0.5)).mean() <= OTHER_CLASS
    assert np.abs(one - two).mean() <= OTHER_PROBABILITY
