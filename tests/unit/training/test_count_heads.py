"""Heads over patch counts: fitted beside their network, evaluated on test images, used by a prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from qupath_her2.models.card import ModelCard
from qupath_her2.models.count_heads import load_count_head
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.recipes import RECIPES
from qupath_her2.training.count_heads import SlideCounts, fit_heads, head_path
from qupath_her2.training.types import TrainedNetwork
from tests.unit.runs.methods.predictions import predicted
from tests.unit.training.test_image_truth import manifest


@pytest.mark.slow
def test_heads_are_saved_beside_their_network(count_network: TrainedNetwork) -> None:
    for kind in count_network.heads:
        path = head_path(count_network.checkpoint, kind)
        assert path == count_network.checkpoint.parent / "heads" / f"{kind}.json"
        head = load_count_head(path)
        assert kind.startswith(head.kind)
        assert head.patch_classes == count_network.card.class_names


@pytest.mark.slow
def test_heads_are_evaluated_on_every_test_image_and_on_no_other(
    count_network: TrainedNetwork, count_manifest: PatchManifest
) -> None:
    n_test = len(np.unique(count_manifest.image[count_manifest.split == 2]))
    assert set(count_network.heads) >= set(RECIPES["patch-count"].heads)
    own = [figures for kind, figures in count_network.heads.items() if "her2" not in kind]
    assert {figures.n for figures in own} == {n_test}


@pytest.mark.slow
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
    assert score.prediction.rule == "svm over the counts of the patches of all tissue"
    assert "svm over the counts" in score.reason
    # Regions have no head: their patches vote.
    assert {region.prediction.rule for region in score.regions.values() if region.prediction} == {
        "most frequent class of the patches; the mean probability decides a tie"
    }


def counts_and_slides() -> tuple[SlideCounts, PatchManifest, ModelCard]:
    """Forty slides whose label follows from their counts, and whose annotated patches are all 1+."""
    rng = np.random.default_rng(3)
    labels = ["0", "1+", "2+ ISH-", "2+ ISH+", "3+"] * 8
    shares = {"0": [30, 3, 0, 0], "1+": [9, 24, 1, 0], "2+ ISH-": [6, 9, 18, 0], "2+ ISH+": [2, 6, 20, 6]}
    shares["3+"] = [1, 4, 6, 24]
    counts = np.array([rng.poisson(shares[label]) + 1 for label in labels], np.int64)
    slides = manifest(*((label, [1, 1]) for label in labels))
    split = np.array([2 if k >= 25 else k % 2 for k in range(40)], np.int8)
    card = ModelCard("timm:x", slides.class_names, "her2-4", 0.5, 8, (0.5,) * 3, (0.5,) * 3)
    return SlideCounts(counts, split), slides, card


def test_heads_of_three_tasks_learn_the_slides_labels(tmp_path: Path) -> None:
    found, slides, card = counts_and_slides()
    heads = fit_heads(found, card, slides, RECIPES["patch-count"].heads, tmp_path / "best")
    kinds = ("mlp", "random-forest", "svm")
    others = [f"{kind}-{task}" for task in ("her2-3", "her2-binary") for kind in kinds]
    # A majority of 0, 1+, 2+ and 3+ is no class of the other tasks.
    assert list(heads.figures) == [*kinds, "majority", *others]
    assert heads.left_out == ()
    for name, figures in heads.figures.items():
        # All 15 test slides, by their own label: not one of them is annotated as anything but 1+.
        assert figures.n == 15
        assert figures.truth_by == "labels of the images"
        assert figures.accuracy.value >= 0.8, name
        assert load_count_head(head_path(tmp_path / "best", name)).slide_classes == figures.class_names


def test_a_task_without_two_classes_is_named_and_the_others_are_fitted(tmp_path: Path) -> None:
    found, slides, card = counts_and_slides()
    # Without ISH, 2+ has no class in the 3-way and the binary task.
    no_ish = [replace(image, label="1+" if k % 2 else "2+") for k, image in enumerate(slides.images)]
    heads = fit_heads(found, card, replace(slides, images=tuple(no_ish)), ("svm",), tmp_path / "best")
    assert list(heads.figures) == ["svm"]
    assert [text.split(":")[0] for text in heads.left_out] == [
        "No head for her2-3",
        "No head for her2-binary",
    ]
