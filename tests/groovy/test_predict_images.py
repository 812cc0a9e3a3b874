"""Patches of an image are classified from QuPath with a trained network; their tiles stand beside the score."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from qupath_her2.models.card import ModelCard
from qupath_her2.project.exchange.images import PREDICTIONS
from qupath_her2.project.exchange.patch_files import patches_of_run
from qupath_her2.project.exchange.runs import read_record
from tests.groovy.fields import HERE, Fields, closing, make_fields
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]
torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")
pytest.importorskip("timm", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

PATCH_PX = 64


def save_network(path: Path) -> None:
    """Save a small network with random weights; which classes it gives does not matter here."""
    from qupath_her2.models.checkpoint import save_checkpoint
    from qupath_her2.models.registry import build_model

    torch.manual_seed(0)
    net = build_model("timm:test_resnet", 4, weights="random")
    mean, std = net.normalisation
    classes = ("0", "1+", "2+", "3+")
    save_checkpoint(path, net, ModelCard(net.model_name, classes, "her2-4", 0.5, PATCH_PX, mean, std))


def seen(fields: Fields) -> dict[str, Any]:
    said = fields.on_image(str(HERE / "see.groovy"))
    (line,) = (line for line in said.splitlines() if line.startswith("SEEN "))
    content: dict[str, Any] = json.loads(line.removeprefix("SEEN "))
    return content


def test_patches_of_the_open_image_are_classified_beside_its_score(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "a study", tmp_path / "private", ("3+",))
    network = fields.her2 / "models" / "net" / "best"
    save_network(network)
    assert "No network was named. Choose one" in fields.on_image("predict_images.groovy")
    assert closing(fields.on_image("score_image.groovy", "-s"))["score"] == "3+"
    scored = seen(fields)
    assert scored["tiles"] == 0

    words = ("--args", f"model={network}", "--args", "cam")
    assert closing(fields.on_image("predict_images.groovy", "-s", *words)) == {"images": "1", "failed": "0"}
    both = seen(fields)
    (record,) = (fields.her2 / PREDICTIONS).rglob("run.json")
    patches = patches_of_run(record.parent, read_record(record.parent))
    assert patches is not None
    assert both["tiles"] == len(patches) > 4
    assert both["cells"] == scored["cells"] > 0
    assert both["metadata"]["HER2 score"] == "3+"
    assert both["metadata"]["HER2 predicted class"] in ("0", "1+", "2+", "3+")
    assert closing(fields.on_image("show_heat_map.groovy"))["maps"] == "2"

    # Another network that is not there changes nothing.
    said = fields.on_image("predict_images.groovy", "-s", "--args", f"model={network}2")
    assert "HER2_PREDICT_IMAGES_OK" not in said
    assert "best2" in said
    assert seen(fields) == both
