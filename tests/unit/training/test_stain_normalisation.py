"""Slides that cannot be normalised are left out of a training, reported and counted."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")

from qupath_her2.errors import TrainingError
from qupath_her2.training.classifier import train_network
from qupath_her2.training.stain_normalisation import UNFIT, normalise_manifest
from tests.helpers.drawn_study import draw_study
from tests.helpers.recipes import DRAWN
from tests.unit.training.jobs import job_of

pytestmark = pytest.mark.slow


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
