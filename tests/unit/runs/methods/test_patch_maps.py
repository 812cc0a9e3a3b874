"""Overlays of a prediction, compared with Grad-CAM computed patch by patch."""

from __future__ import annotations

import html
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from qupath_her2.learning.inference.grad_cam import explain
from qupath_her2.learning.preprocessing import Preparation
from qupath_her2.models.card import ModelCard
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.settings import CamSettings
from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.patches.pixels.clahe import ClaheSettings
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.project.exchange.patch_files import patches_of_run
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import PatchTable
from qupath_her2.report.build import write_report
from qupath_her2.report.heat import map_slice, read_overlays
from qupath_her2.runs.methods.patch_maps import cam_map, overlay_files
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.training.types import TrainedNetwork
from tests.unit.runs.methods.predictions import predicted

pytestmark = pytest.mark.slow


def test_grad_cam_is_laid_over_the_image_on_one_scale(
    count_study: Path, count_network: TrainedNetwork, tmp_path: Path
) -> None:
    result = predicted(count_study, count_network, tmp_path, cam=True, images=("g3_1.ome.tif",))[0]
    assert result.run_dir is not None
    record, _, score = read_run(result.run_dir)
    patches = patches_of_run(result.run_dir, record)
    assert patches is not None
    assert score.prediction is not None
    wanted = score.prediction.class_name
    overlays = read_overlays((result.run_dir / "overlays.json").read_bytes())
    assert [one.file for one in overlays] == ["heatmap.png", "cam.png"]
    assert overlays[1].name == f"Grad-CAM for {wanted}"
    assert {(one.x, one.y, one.width, one.height) for one in overlays} == {(0, 0, 224, 224)}

    model, card = load_checkpoint(count_network.checkpoint)
    assert wanted is not None
    code = card.class_names.index(wanted)
    plan = plan_jobs(
        count_study, RunOptions(method=PatchesMethod(count_network.checkpoint), images=("g3_1*",))
    )
    manifest = manifest_of(patches, plan.jobs[0].ref.path, card)
    with PatchPixels(manifest) as pixels:
        cam = cam_map(model, card, manifest, pixels, patches.probabilities, code, (224, 224), CamSettings())
        pictures = pixels.read(np.arange(len(manifest)))
    heat, strength = explain(
        model,
        pictures,
        Preparation(manifest, card.mean, card.std),
        np.arange(len(manifest)),
        np.full(len(manifest), code, np.int16),
    )
    assert np.nanmax(cam.heat.values) == 1
    for box, one, height in zip(manifest.box_xywh, heat, strength, strict=True):
        part = cam.heat.values[(0, *map_slice(box, cam.heat.step))]
        whole = one.reshape(32, 2, 32, 2).mean((1, 3)) * height / strength_of(heat, strength)
        np.testing.assert_allclose(part, whole, atol=2e-5)
    alpha = cv2.imread(str(result.run_dir / "cam.png"), cv2.IMREAD_UNCHANGED)[..., 3]
    np.testing.assert_allclose(alpha / 255, np.nan_to_num(cam.heat.values[0]), atol=0.02)
    sheet = cv2.imread(str(result.run_dir / "cam.jpg"))
    # The three highest and the three lowest probabilities, in pairs, three pairs per row.
    assert sheet.shape[:2] == (2 * (192 + 24) + 6, 6 * 198 + 6)

    page = write_report(tmp_path).html.read_text(encoding="utf-8")
    assert "Grad-CAM: patches and what supports their class" in page
    assert "No thumbnail" not in page
    assert "Predicted class" in page
    assert "H-score" not in page
    assert overlays[1].name in html.unescape(page)
    # With and without Grad-CAM are two results.
    plain = predicted(count_study, count_network, tmp_path, images=("g3_1.ome.tif",))[0]
    assert plain.run_dir is not None
    assert "cam.png" not in read_run(plain.run_dir)[0].files


def strength_of(heat: np.ndarray, strength: np.ndarray) -> float:
    """The hottest place of the whole image, with patches averaged to the resolution of the map."""
    small = heat.reshape(len(heat), 32, 2, 32, 2).mean((2, 4))
    return float((small * strength[:, None, None]).max())


def manifest_of(patches: PatchTable, path: Path, card: ModelCard) -> PatchManifest:
    """The predicted patches of one image as a manifest."""
    n = len(patches)
    image = ManifestImage("image", path.name, path, None, 0.5, 224, 224, (), "")
    return PatchManifest(
        image=np.zeros(n, np.int32),
        box_xywh=patches.box_xywh,
        label=np.full(n, -1, np.int16),
        overlap=np.ones(n, np.float32),
        region_uuid=np.zeros((n, 16), np.uint8),
        split=np.full(n, -1, np.int8),
        images=(image,),
        class_names=card.class_names,
        patch_size_px=card.patch_size_px,
        pixel_size_um=card.pixel_size_um,
        task=card.task,
        settings={"clahe": asdict(ClaheSettings())},
    )


def test_the_heat_map_shows_the_last_class() -> None:
    boxes = np.array([[0, 0, 64, 64], [64, 0, 64, 64]], np.int32)
    table = PatchTable(
        np.zeros((2, 16), np.uint8),
        boxes,
        np.zeros(2, np.int32),
        np.array([[0.75, 0.25], [0.0, 1.0]], np.float32),
        np.array([0, 1], np.uint8),
        ("HER2 patch 0", "HER2 patch 3+"),
    )
    files = overlay_files(table, (128, 64), 0.5, None)
    assert set(files) == {"heatmap.png", "heatmap.ome.tif", "overlays.json"}
    (overlay,) = read_overlays(files["overlays.json"])
    assert overlay.name == "Probability of HER2 patch 3+"
    assert (overlay.width, overlay.height) == (128, 64)
