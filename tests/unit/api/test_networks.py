"""From annotations to a saved prediction in Python, on few small patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pandas")

import qupath_her2 as qh
from qupath_her2.project.exchange.patch_files import patches_of_run
from qupath_her2.project.exchange.runs import read_run
from tests.helpers.drawn_study import draw_study

RECIPE = "se-resnet50"
TINY = {
    "patches": {
        "grid": {"patch_size_px": 32, "target_um_px": 0.0},
        "drop": {"white_share": 0.0},
        "random_per_image": 4,
    },
    "train": {"epochs": 1, "batch_size": 8},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "study"
    folder.mkdir()
    draw_study(folder, ("0", "2+", "3+"), cases=3, stain="H&E")
    return folder


def test_from_annotations_to_a_saved_prediction(study: Path) -> None:
    project = qh.open_project(study)
    patches = qh.make_patches(project, recipe=RECIPE, settings=TINY)
    table = patches.table
    assert len(table) == len(patches) > 20
    assert set(table["label"].dropna()) == {"negative", "equivocal", "positive"}
    assert table.groupby("case")["split"].nunique().max() == 1
    assert (patches.folder / "manifest.json").is_file()
    run = qh.train(
        patches, recipe=RECIPE, out=study / "her2" / "models" / "se1", settings=TINY, weights="random"
    )
    assert run.confusion is not None
    n_images = len(
        {image for image, split in zip(table["image"], table["split"], strict=True) if split == "test"}
    )
    assert run.confusion.sum() == n_images
    assert run.metrics["accuracy"] == pytest.approx(np.trace(run.confusion) / n_images)
    assert "kappa_quadratic" in run.metrics
    found = qh.predict(project.images[0], model=run.checkpoint, settings=TINY)
    assert found.patches is not None
    assert len(found.table) == len(found.patches)
    assert not (study / "her2" / "predictions" / "results").exists()
    saved = qh.save_result(found)
    assert saved.state == "predicted"
    assert saved.run_dir is not None
    record, _, score = read_run(saved.run_dir)
    assert score.prediction is not None
    stored = patches_of_run(saved.run_dir, record)
    assert stored is not None
    assert np.array_equal(stored.box_xywh, found.patches.box_xywh)


def test_the_recipe_of_a_segmenter_is_refused_with_the_command_to_use(study: Path) -> None:
    with pytest.raises(qh.Her2Error, match="qupath-her2 patches FOLDER --recipe her2net"):
        qh.make_patches(study, recipe="her2net")


def test_models_are_listed() -> None:
    names = [model.name for model in qh.list_models()]
    assert {"se-resnet50", "unet"} <= set(names)
    assert len(set(names)) == len(names)
