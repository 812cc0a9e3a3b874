"""Heads over patch counts: fitted beside their network, evaluated on test images, used by a prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from qupath_her2.models.count_heads import load_count_head
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.recipes import RECIPES
from qupath_her2.training.count_heads import head_path
from qupath_her2.training.types import TrainedNetwork
from tests.unit.runs.methods.predictions import predicted

pytestmark = pytest.mark.slow


def test_heads_are_saved_beside_their_network(count_network: TrainedNetwork) -> None:
    for kind in RECIPES["patch-count"].heads:
        path = head_path(count_network.checkpoint, kind)
        assert path == count_network.checkpoint.parent / "heads" / f"{kind}.json"
        head = load_count_head(path)
        assert (head.kind, head.patch_classes) == (kind, count_network.card.class_names)


def test_heads_are_evaluated_on_every_test_image_and_on_no_other(
    count_network: TrainedNetwork, count_manifest: PatchManifest
) -> None:
    n_test = len(np.unique(count_manifest.image[count_manifest.split == 2]))
    assert set(count_network.heads) == set(RECIPES["patch-count"].heads)
    assert {figures.n for figures in count_network.heads.values()} == {n_test}


def test_a_head_classifies_the_image_by_its_counts(
    count_study: Path, count_network: TrainedNetwork, tmp_path: Path
) -> None:
    results = predicted(
        count_study,
        count_network,
        tmp_path,
        head=head_path(count_network.checkpoint, "svm"),
        images=("g3_0.ome.tif",),
    )
    score = results[0].score
    assert score is not None
    assert score.prediction is not None
    assert score.prediction.rule == "svm over the counts of its patches"
    assert "svm over the counts" in score.reason
    # Regions have no head: their patches vote.
    assert {region.prediction.rule for region in score.regions.values() if region.prediction} == {
        "most frequent class of the patches; the mean probability decides a tie"
    }
