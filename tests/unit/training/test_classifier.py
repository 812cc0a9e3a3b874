"""Training a classifier: files, record, and the negative control on shuffled labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from qupath_her2.models.card import read_card
from qupath_her2.patches.cutting.cut_patches import cut_patches
from qupath_her2.patches.datasets.loaders import load_layout
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.recipes import RECIPES
from qupath_her2.runs.plan import find_settings
from qupath_her2.training.classifier import shuffled_labels, train_network
from qupath_her2.training.types import TrainedNetwork, TrainJob

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


def test_on_bci_a_validation_part_chooses_the_epoch_and_the_card_tells_the_split(tmp_path: Path) -> None:
    for split, n in (("train", 36), ("test", 8)):
        (tmp_path / "IHC" / split).mkdir(parents=True)
        for i in range(n):
            grade = i % 4
            # Paler with the number of the crop, darker brown with the grade.
            rgb = np.full((64, 64, 3), 240 - 50 * grade - i // 4, np.uint8)
            name = f"{i:05d}_{split}_{grade}{'+' * (grade > 0)}.png"
            Image.fromarray(rgb).save(tmp_path / "IHC" / split / name)
    recipe = RECIPES["convoher2"]
    overrides = {"patches": {"grid": {"patch_size_px": 64}}, "train": {"epochs": 2, "batch_size": 8}}
    settings = find_settings(tmp_path, None, overrides, recipe=recipe)
    manifest = cut_patches(load_layout("bci", tmp_path), settings.patches)
    job = TrainJob(manifest, recipe, settings, tmp_path / "net", "timm:test_resnet", "random")
    found = train_network(job)
    card = read_card(found.checkpoint)
    assert card.metrics["split"] == (
        "as published; validation: 11.1 % of the training images, drawn within each class by a hash of their names; "
        "train 32, validation 4, test 8"
    )
    assert np.sum(card.metrics["confusion"]) == 4
    assert any("figures are patch-level, leakage possible" in text for text in card.metrics["warnings"])
    # Before, there was no validation part, and the weights with the lowest training loss were kept.
    assert not any("No labelled validation patches" in text for text in card.metrics["warnings"])
    assert card.metrics["split"] in (tmp_path / "net" / "report.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "net" / "training.json").read_bytes())["split"]["validation"]


def test_shuffling_keeps_the_test_part_and_the_class_frequencies(count_manifest: PatchManifest) -> None:
    manifest = count_manifest
    other = shuffled_labels(manifest, 1)
    is_test = manifest.split == 2
    assert (other.label[is_test] == manifest.label[is_test]).all()
    assert (other.label != manifest.label).sum() > len(manifest) // 4
    for part in (0, 1):
        rows = manifest.split == part
        assert np.bincount(other.label[rows]).tolist() == np.bincount(manifest.label[rows]).tolist()
