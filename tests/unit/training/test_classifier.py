"""Training a classifier: files, record, and the negative control on shuffled labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from qupath_her2.models.card import read_card
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.recipes import RECIPES
from qupath_her2.training.classifier import shuffled_labels
from qupath_her2.training.types import TrainedNetwork

pytestmark = pytest.mark.slow
RECIPE = RECIPES["patch-count"]


def test_a_training_writes_all_its_files(count_study: Path, count_network: TrainedNetwork) -> None:
    folder = count_study / "her2" / "models" / "net"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {
        "best.safetensors",
        "best.json",
        "curves.svg",
        "confusion.svg",
        "history.json",
        "training.json",
    } <= found
    for part in ("patches", "images"):
        assert {f"test/{part}/agreement.json", f"test/{part}/confusion.svg"} <= found
    assert {f"heads/{kind}.json" for kind in RECIPE.heads} <= found
    record = json.loads((folder / "training.json").read_bytes())
    assert (record["recipe"], record["model"], record["epochs"]) == ("patch-count", "timm:test_convnext", 2)
    assert len(record["deviations"]) == len(RECIPE.deviations)
    card = read_card(count_network.checkpoint)
    assert (card.recipe, card.class_names) == ("patch-count", ("0", "1+", "2+", "3+"))
    assert count_network.test is not None
    assert count_network.test.patches.n == len(count_network.test.manifest)
    # Split by case, so no warning of leakage.
    assert not any("leakage possible" in text for text in count_network.test.images.warnings)
    mistakes = (folder / "test" / "mistakes.jpg").is_file()
    assert mistakes == (len(count_network.test.worst) > 0)


def test_shuffling_keeps_the_test_part_and_the_class_frequencies(count_manifest: PatchManifest) -> None:
    manifest = count_manifest
    other = shuffled_labels(manifest, 1)
    is_test = manifest.split == 2
    assert (other.label[is_test] == manifest.label[is_test]).all()
    assert (other.label != manifest.label).sum() > len(manifest) // 4
    for part in (0, 1):
        rows = manifest.split == part
        assert np.bincount(other.label[rows]).tolist() == np.bincount(manifest.label[rows]).tolist()
