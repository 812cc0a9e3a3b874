"""Evaluation on unseen cases: image labels by majority, leakage warnings, and files of the worst mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from qupath_her2.patches.manifest import PatchManifest, select
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.training.evaluation import agreement_of_images, evaluate, write_evaluation
from qupath_her2.training.types import TrainedNetwork

pytestmark = pytest.mark.slow


def unread(_: PatchManifest) -> PatchPixels:
    raise AssertionError("there is nothing to read")


def test_a_split_without_labelled_patches_is_not_evaluated(
    count_network: TrainedNetwork, count_manifest: PatchManifest
) -> None:
    without = select(count_manifest, count_manifest.split != 2)
    assert evaluate(None, count_network.card, without, unread) is None
    unlabelled = replace(count_manifest, label=np.full(len(count_manifest), -1, np.int16))
    assert evaluate(None, count_network.card, unlabelled, unread) is None


def test_figures_are_those_of_the_predictions(count_network: TrainedNetwork) -> None:
    test = count_network.test
    assert test is not None
    right = test.found.chosen == test.manifest.label
    assert (test.patches.accuracy.k, test.patches.accuracy.n) == (int(right.sum()), len(right))
    assert sorted(test.worst.tolist()) == np.flatnonzero(~right).tolist()
    confidence = test.found.probabilities[test.worst, test.found.chosen[test.worst]]
    assert (np.diff(confidence) <= 0).all()
    assert test.images.n == len(np.unique(test.manifest.image))


def test_an_image_without_a_label_has_that_of_most_of_its_patches(count_manifest: PatchManifest) -> None:
    first = np.flatnonzero(count_manifest.image == 0)
    label = count_manifest.label.copy()
    # All but one patch of class 2.
    label[first] = 2
    label[first[0]] = 0
    unlabelled = tuple(replace(image, label="") for image in count_manifest.images)
    manifest = replace(count_manifest, label=label, images=unlabelled)
    names = manifest.class_names
    certain = np.eye(4)[[2]]
    found = agreement_of_images(manifest, [0], names, [names[2]], certain)
    assert (found.accuracy.k, found.accuracy.n) == (1, 1)
    assert not any("leakage possible" in text for text in found.warnings)
    settings = {**manifest.settings, "split": {"kind": "by patch"}}
    leaking = agreement_of_images(replace(manifest, settings=settings), [0], names, [names[0]], certain)
    assert leaking.accuracy.k == 0
    assert any("leakage possible" in text for text in leaking.warnings)


def test_without_mistakes_an_old_sheet_of_them_is_removed(
    count_network: TrainedNetwork, tmp_path: Path
) -> None:
    assert count_network.test is not None
    (tmp_path / "mistakes.jpg").write_bytes(b"of an earlier training")
    perfect = replace(count_network.test, worst=np.empty(0, np.int64))
    write_evaluation(tmp_path, perfect, count_network.card, unread, model=None)
    assert not (tmp_path / "mistakes.jpg").exists()
    for part in ("patches", "images"):
        assert {path.name for path in (tmp_path / part).iterdir()} >= {"agreement.json", "confusion.svg"}
