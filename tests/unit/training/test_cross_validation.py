"""A cross-validation by case with a tiny network, and slides that cannot be normalised."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from qupath_her2.errors import PatchError, TrainingError
from qupath_her2.models.card import read_card
from qupath_her2.patches.cutting.cut_patches import manifest_from_regions
from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.recipes import RECIPES
from qupath_her2.runs.plan import find_settings
from qupath_her2.training import cross_validation as folds_module
from qupath_her2.training.classifier import train_network
from qupath_her2.training.cross_validation import train_folds
from qupath_her2.training.stain_normalisation import UNFIT, normalise_manifest
from qupath_her2.training.types import TrainJob
from tests.helpers.drawn_study import draw_study
from tests.helpers.recipes import DRAWN

pytestmark = pytest.mark.slow
TINY = "timm:test_convnext"
GRADES = ("0", "1+", "2+", "3+")
SHORT = {"epochs": 1, "schedule": {"learning_rate": 3e-3, "least_learning_rate": 0.0}}


def job_of(folder: Path, recipe: str, manifest: PatchManifest | None = None) -> TrainJob:
    settings = find_settings(folder, None, DRAWN[recipe].settings(**SHORT), recipe=RECIPES[recipe])
    patches = manifest or manifest_from_regions(folder, settings.patches)
    return TrainJob(patches, RECIPES[recipe], settings, folder / "her2" / "models" / "net", TINY, "random")


def test_each_case_is_tested_once_and_the_table_is_of_these_tests(tmp_path: Path) -> None:
    draw_study(tmp_path, GRADES, cases=3)
    job = job_of(tmp_path, "patch-count")
    begun: list[int] = []
    found = train_folds(job, 3, begin=begun.append)
    assert begun == [1, 2, 3]
    tested = [image.name for one in found.networks if one.test for image in _images(one.test.manifest)]
    assert sorted(tested) == sorted(image.name for image in job.manifest.images)
    assert set(found.figures) == {
        "patches",
        "images",
        *(f"images by {kind}" for kind in job.recipe.heads),
    }
    values = [one.test.images.accuracy.value for one in found.networks if one.test]
    accuracy = next(one for one in found.figures["images"] if one.name == "accuracy")
    assert accuracy.values == tuple(values)
    assert accuracy.mean == pytest.approx(np.mean(values))
    assert accuracy.sd == pytest.approx(np.std(values, ddof=1))

    content = json.loads((job.out / "folds.json").read_bytes())
    assert content["folds"] == ["fold-01", "fold-02", "fold-03"]
    written = next(one for one in content["figures"]["images"] if one["name"] == "accuracy")
    assert written["values"] == pytest.approx(values)
    rows = list(csv.reader(io.StringIO((job.out / "folds.csv").read_text(encoding="utf-8-sig"))))
    assert rows[1] == ["figure", "mean", "SD", "fold 1", "fold 2", "fold 3"]
    for name in content["folds"]:
        assert read_card(job.out / name / "best").recipe == "patch-count"


def _images(manifest: PatchManifest) -> list[ManifestImage]:
    return [manifest.images[index] for index in np.unique(manifest.image).tolist()]


def test_a_split_that_leaks_is_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_study(tmp_path, GRADES, cases=2)
    job = job_of(tmp_path, "patch-count")
    with pytest.raises(PatchError, match="8 cases cannot make 9 folds"):
        train_folds(job, 9)
    split = np.where(np.arange(len(job.manifest)) % 2, 0, 2).astype(np.int8)
    leaking = replace(job.manifest, split=split)
    monkeypatch.setattr(folds_module, "fold_splits", lambda *_: (leaking,))
    with pytest.raises(TrainingError, match="cases on two sides: case 0 0"):
        train_folds(job, 3)
    bare = replace(job.manifest, label=np.full(len(job.manifest), -1, np.int16))
    monkeypatch.undo()
    with pytest.raises(TrainingError, match="no labelled patch to test"):
        train_folds(replace(job, manifest=bare), 3)
    assert not job.out.exists()


def test_a_slide_that_cannot_be_normalised_is_left_out_and_counted(tmp_path: Path) -> None:
    DRAWN["se-resnet50"].draw(tmp_path)
    job = job_of(tmp_path, "se-resnet50")
    gone, ihc = "g0_0.ome.tif", "g1_1.ome.tif"
    (tmp_path / gone).unlink()
    other = tmp_path / "other"
    draw_study(other, ("0", "3+"), cases=1)
    shutil.copyfile(other / "g1_0.ome.tif", tmp_path / ihc)
    lost = {
        name: int((job.manifest.image == [image.name for image in job.manifest.images].index(name)).sum())
        for name in (gone, ihc)
    }
    data = normalise_manifest(job.manifest, job.recipe.stain)
    assert {name for name in (gone, ihc) if any(name in text for text in data.left_out)} == {gone, ihc}
    assert len(data.left_out) == 2
    assert data.manifest.dropped[UNFIT] == sum(lost.values()) > 0
    assert len(data.manifest) == len(job.manifest) - sum(lost.values())
    assert data.maps is not None
    assert len(data.maps) == len(data.manifest.images) == len(job.manifest.images) - 2
    # Each patch is still of its own image.
    names = [data.manifest.images[index].name for index in data.manifest.image.tolist()]
    before = [job.manifest.images[index].name for index in job.manifest.image.tolist()]
    assert names == [name for name in before if name not in lost]

    trained = train_network(replace(job, manifest=job.manifest))
    assert trained.left_out == data.left_out
    assert not trained.result.unread
    record = json.loads((job.out / "training.json").read_bytes())
    assert len(record["left_out"]) == 2
    assert record["patches"]["dropped"][UNFIT] == sum(lost.values())


def test_nothing_is_trained_where_no_slide_is_left(tmp_path: Path) -> None:
    DRAWN["se-resnet50"].draw(tmp_path)
    job = job_of(tmp_path, "se-resnet50")
    for image in job.manifest.images:
        image.path.unlink()
    with pytest.raises(TrainingError, match="None of 18 slides can be normalised"):
        normalise_manifest(job.manifest, job.recipe.stain)
    assert normalise_manifest(job.manifest, None).manifest is job.manifest
