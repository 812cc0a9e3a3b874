"""Cross-validation by case with a tiny network."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from qupath_her2.errors import PatchError, TrainingError
from qupath_her2.models.card import read_card
from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.training import cross_validation as folds_module
from qupath_her2.training.cross_validation import train_folds
from tests.helpers.drawn_study import draw_study
from tests.unit.training.jobs import job_of

pytestmark = pytest.mark.slow
GRADES = ("0", "1+", "2+", "3+")


def test_each_case_is_tested_once_and_the_table_summarises_these_tests(tmp_path: Path) -> None:
    draw_study(tmp_path, GRADES, cases=3)
    job = job_of(tmp_path, "patch-count")
    started: list[int] = []
    found = train_folds(job, 3, on_fold=started.append)
    assert started == [1, 2, 3]
    tested = [image.name for one in found.networks if one.test for image in _images(one.test.manifest)]
    assert sorted(tested) == sorted(image.name for image in job.manifest.images)
    # The heads of the network's own task, and those of the 3-way and the binary task from the same counts.
    others = [
        f"{kind}-{task}" for task in ("her2-3", "her2-binary") for kind in ("mlp", "random-forest", "svm")
    ]
    in_all = [
        head for head in (*job.recipe.heads, *others) if all(head in one.heads for one in found.networks)
    ]
    assert set(in_all) >= set(job.recipe.heads)
    assert set(found.figures) == {"patches", "images", *(f"images by {head}" for head in in_all)}
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


def test_a_leaking_split_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_study(tmp_path, GRADES, cases=2)
    job = job_of(tmp_path, "patch-count")
    with pytest.raises(PatchError, match="8 cases cannot make 9 folds"):
        train_folds(job, 9)
    split = np.where(np.arange(len(job.manifest)) % 2, 0, 2).astype(np.int8)
    leaking = replace(job.manifest, split=split)
    monkeypatch.setattr(folds_module, "fold_splits", lambda *_: (leaking,))
    with pytest.raises(TrainingError, match="cases in more than one part: case 0 0"):
        train_folds(job, 3)
    bare = replace(job.manifest, label=np.full(len(job.manifest), -1, np.int16))
    monkeypatch.undo()
    with pytest.raises(TrainingError, match="Fold 1 of 3 has no labelled test patch"):
        train_folds(replace(job, manifest=bare), 3)
    assert not job.out.exists()
