"""Checks around the training of a segmenter; its figures are tested in tests/unit/learning and by the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from qupath_her2.errors import SettingsError, TrainingError
from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.patches.targets.stored_targets import Targets
from qupath_her2.patches.targets.targets import TARGET_CLASSES
from qupath_her2.training.segmenter import (
    check_model_fits_task,
    shuffled_targets,
    train_and_compare,
    train_segmenter,
)
from tests.unit.training.jobs import job_of

N, SIDE = 12, 8


@pytest.fixture
def windows(tmp_path: Path) -> tuple[PatchManifest, Targets]:
    """Twelve windows, four of each split, whose target i has i labelled pixels of class 1."""
    image = ManifestImage("a", "a.png", tmp_path / "a.png", "case", 0.5, 99, 99, (), "")
    manifest = PatchManifest(
        np.zeros(N, np.int32),
        np.zeros((N, 4), np.int32),
        np.full(N, -1, np.int16),
        np.ones(N, np.float32),
        np.zeros((N, 16), np.uint8),
        np.repeat(np.arange(3), 4).astype(np.int8),
        (image,),
        TARGET_CLASSES,
        SIDE,
        0.5,
        "segmentation",
        {},
        {},
    )
    planes = np.zeros((N, SIDE * SIDE), np.uint8)
    for i, plane in enumerate(planes):
        plane[:i] = 1
    return manifest, Targets.pack(planes.reshape(N, SIDE, SIDE), SIDE, len(TARGET_CLASSES))


@pytest.mark.parametrize(
    ("model", "task", "words"),
    [
        ("unet", "her2-4", "'unet' segments pixels, but the task 'her2-4' labels patches"),
        (
            "se-resnet50",
            "segmentation",
            "'se-resnet50' classifies patches, but the task 'segmentation' labels pixels",
        ),
    ],
)
def test_a_network_of_the_other_kind_is_refused(model: str, task: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        check_model_fits_task(model, task)


def test_networks_of_the_right_kind_pass() -> None:
    check_model_fits_task("unet", "segmentation")
    check_model_fits_task("se-resnet50", "her2-4")


def test_shuffled_targets_stay_in_their_split_and_the_test_part_keeps_its_own(
    windows: tuple[PatchManifest, Targets],
) -> None:
    manifest, targets = windows
    other, shuffled = shuffled_targets(manifest, targets, seed=3)
    marked = shuffled.counts[:, 1]
    assert sorted(marked[:4].tolist()) == [0, 1, 2, 3]
    assert sorted(marked[4:8].tolist()) == [4, 5, 6, 7]
    assert marked[8:].tolist() == [8, 9, 10, 11]
    assert marked[:8].tolist() != list(range(8))
    assert other.settings["labels"] == "shuffled, seed 3"
    again = shuffled_targets(manifest, targets, seed=3)[1]
    assert np.array_equal(again.packed, shuffled.packed)


@pytest.mark.slow
def test_a_job_without_pixel_labels_says_how_to_cut_them(
    count_study: Path, count_manifest: PatchManifest
) -> None:
    job = job_of(count_study, "patch-count", count_manifest)
    with pytest.raises(TrainingError, match=r"have no pixel labels.*qupath-her2 patches FOLDER --recipe"):
        train_segmenter(job)


@pytest.mark.slow
def test_rivals_are_not_compared_without_a_test_part(
    count_study: Path, count_manifest: PatchManifest, tmp_path: Path
) -> None:
    split = np.minimum(count_manifest.split, 1)
    job = job_of(count_study, "patch-count", replace(count_manifest, split=split))
    with pytest.raises(TrainingError, match=r"There is no test part.*--shares"):
        train_and_compare([job], tmp_path / "table")
    assert not list(tmp_path.iterdir())
