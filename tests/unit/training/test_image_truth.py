"""True classes of images: their own label, or that of most of their patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.patches.tasks import TASKS
from qupath_her2.training.image_truth import image_truth

GRADES = TASKS["her2-4"].class_names


def manifest(*images: tuple[str, list[int]]) -> PatchManifest:
    """Return images with a label and the codes of their patches each."""
    rows = [(index, code) for index, (_, codes) in enumerate(images) for code in codes]
    n = len(rows)
    return PatchManifest(
        image=np.array([row[0] for row in rows], np.int32),
        box_xywh=np.tile(np.array([0, 0, 8, 8], np.int32), (n, 1)),
        label=np.array([row[1] for row in rows], np.int16),
        overlap=np.ones(n, np.float32),
        region_uuid=np.zeros((n, 16), np.uint8),
        split=np.zeros(n, np.int8),
        images=tuple(
            ManifestImage(f"{k}", f"{k}.png", Path(f"{k}.png"), f"c{k}", 0.5, 99, 99, label=label)
            for k, (label, _) in enumerate(images)
        ),
        class_names=GRADES,
        patch_size_px=8,
        pixel_size_um=0.5,
        task="her2-4",
    )


def test_the_slides_own_label_counts_whatever_is_annotated() -> None:
    # 3+ by people, though most of the annotated patches are 1+.
    found = image_truth(manifest(("3+", [1, 1, 1, 3]), ("0", [1])), [0, 1])
    assert found.names == ("3+", "0")
    assert found.by == "labels of the images"


def test_without_a_label_the_patches_say_it() -> None:
    found = image_truth(manifest(("", [1, 1, 3]), ("", [2])), [0, 1])
    assert found.names == ("1+", "2+")
    assert found.by == "most frequent label of the image's patches"
    mixed = image_truth(manifest(("3+", [1]), ("", [2, -1]), ("", [-1])), [0, 1, 2])
    assert mixed.names == ("3+", "2+", None)
    assert mixed.by.startswith("labels of the images; for 2 without a label")


def test_other_tasks_read_the_same_labels() -> None:
    images = manifest(("2+ ISH+", [2]), ("2+ ISH-", [2]), ("2+", [2]), ("1+", [0]), ("", [3]), ("", [2]))
    every = range(6)
    assert image_truth(images, every, TASKS["her2-3"]).names == ("high", "low", None, "low", "high", None)
    assert image_truth(images, every, TASKS["her2-binary"]).names == (
        "positive",
        "negative",
        None,
        "negative",
        "positive",
        None,
    )
    assert image_truth(images, every, TASKS["her2-4"]).names == ("2+", "2+", "2+", "1+", "3+", "2+")
