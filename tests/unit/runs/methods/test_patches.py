"""A network over a plain folder: trained, kept, judged, and asked about every patch."""

from __future__ import annotations

import html
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from qupath_her2.batch.local import run_jobs
from qupath_her2.errors import Her2Error, ModelError
from qupath_her2.learning.dataset import Preparation
from qupath_her2.learning.inference.grad_cam import explain
from qupath_her2.models.card import ModelCard, read_card
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.count_heads import count_classes_per_image
from qupath_her2.models.settings import CamSettings
from qupath_her2.patches.cutting.cut_patches import manifest_from_regions
from qupath_her2.patches.manifest import ManifestImage, PatchManifest, select
from qupath_her2.patches.pixels.clahe import ClaheSettings
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.project.exchange.patch_files import patches_of_run
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.recipes import RECIPES, find_recipe
from qupath_her2.records import ImageResult, PatchTable
from qupath_her2.report.build import write_report
from qupath_her2.report.heat import map_slice, read_overlays
from qupath_her2.runs.methods.patch_maps import look
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import find_settings, plan_jobs
from qupath_her2.training.classifier import shuffled_labels, train_network
from qupath_her2.training.count_heads import head_path
from qupath_her2.training.evaluation import evaluate
from qupath_her2.training.types import TrainedNetwork, TrainJob
from tests.helpers.recipes import DRAWN

pytestmark = pytest.mark.slow
RECIPE = RECIPES["patch-count"]
TINY = "timm:test_convnext"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network") / "study"
    DRAWN["patch-count"].draw(folder)
    return folder


@pytest.fixture(scope="module")
def manifest(study: Path) -> PatchManifest:
    settings = find_settings(study, None, DRAWN["patch-count"].settings(), recipe=RECIPE)
    return manifest_from_regions(study, settings.patches)


@pytest.fixture(scope="module")
def trained(study: Path, manifest: PatchManifest) -> TrainedNetwork:
    short = DRAWN["patch-count"].settings(
        epochs=2, schedule={"learning_rate": 3e-3, "least_learning_rate": 0.0}
    )
    settings = find_settings(study, None, short, recipe=RECIPE)
    return train_network(
        TrainJob(manifest, RECIPE, settings, study / "her2" / "models" / "net", TINY, "random")
    )


def predicted(
    study: Path, trained: TrainedNetwork, *, cam: bool = False, head: Path | None = None, **flags: object
) -> list[ImageResult]:
    method = PatchesMethod(trained.checkpoint, head)
    options = RunOptions(out=study / "her2" / "predictions", method=method, **flags)  # type: ignore[arg-type]
    changed = {"patches": {"drop": {"white_share": 0.0}}, "cam": {"is_on": cam, "shown": 3}}
    settings = find_settings(study, None, changed, recipe=RECIPE)
    return run_jobs(plan_jobs(study, options, settings).jobs)


def test_a_training_leaves_all_that_is_promised(study: Path, trained: TrainedNetwork) -> None:
    folder = study / "her2" / "models" / "net"
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
    assert (record["recipe"], record["model"], record["epochs"]) == ("patch-count", TINY, 2)
    assert len(record["deviations"]) == len(RECIPE.deviations)
    card = read_card(trained.checkpoint)
    assert (card.recipe, card.class_names) == ("patch-count", ("0", "1+", "2+", "3+"))
    assert trained.test is not None
    assert trained.test.patches.n == len(trained.test.manifest)
    # Whole cases are tested, so their figures need no warning of leakage.
    assert not any("leakage possible" in text for text in trained.test.images.warnings)
    mistakes = (folder / "test" / "mistakes.jpg").is_file()
    assert mistakes == (len(trained.test.worst) > 0)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "Training of patch-count</h1>" in page
    assert page.count("data:image/svg+xml;base64,") == 3
    assert page.count("data:image/jpeg;base64,") == mistakes
    share = trained.test.patches.accuracy
    assert f"{share.k}/{share.n}" in page
    assert "://" not in page


def test_every_patch_is_predicted_and_none_twice(study: Path, trained: TrainedNetwork) -> None:
    results = predicted(study, trained)
    assert {result.state for result in results} == {"predicted"}
    first = results[0]
    assert first.run_dir is not None
    record, cells, score = read_run(first.run_dir)
    patches = patches_of_run(first.run_dir, record)
    assert patches is not None
    assert cells is not None
    assert len(cells) == 0
    # 192 px of tissue in patches of 64 px of a lattice that starts at the image's corner.
    assert sorted(map(tuple, patches.box_xywh[:, :2].tolist())) == [
        (x, y) for x in (0, 64, 128) for y in (0, 64, 128)
    ]
    assert patches.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert all(name.startswith("HER2 patch ") for name in patches.class_names)
    assert score.prediction is not None
    assert score.prediction.n_patches == 9
    assert set(score.regions) == {str(record.regions[0]["uuid"])}
    assert {"overlay.jpg", "heatmap.png", "heatmap.ome.tif", "overlays.json"} <= set(record.files)
    assert "cam.png" not in record.files
    assert {result.state for result in predicted(study, trained)} == {"up to date"}
    report = write_report(study / "her2" / "predictions")
    assert "16 predicted" in report.counts or f"{len(results)} predicted" in report.counts
    table = (study / "her2" / "predictions" / "predictions.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(table) == 1 + 4 * len(results)


def test_where_the_network_looked_lies_over_the_image(study: Path, trained: TrainedNetwork) -> None:
    result = predicted(study, trained, cam=True, images=("g3_1.ome.tif",))[0]
    assert result.run_dir is not None
    record, _, score = read_run(result.run_dir)
    patches = patches_of_run(result.run_dir, record)
    assert patches is not None
    assert score.prediction is not None
    wanted = score.prediction.class_name
    overlays = read_overlays((result.run_dir / "overlays.json").read_bytes())
    assert [one.file for one in overlays] == ["heatmap.png", "cam.png"]
    assert overlays[1].name == f"What speaks for {wanted} (Grad-CAM)"
    assert {(one.x, one.y, one.width, one.height) for one in overlays} == {(0, 0, 224, 224)}

    model, card = load_checkpoint(trained.checkpoint)
    assert wanted is not None
    code = card.class_names.index(wanted)
    plan = plan_jobs(study, RunOptions(method=PatchesMethod(trained.checkpoint), images=("g3_1*",)))
    manifest = manifest_of(patches, plan.jobs[0].ref.path, card)
    with PatchPixels(manifest) as pixels:
        looked = look(model, card, manifest, pixels, patches.probabilities, code, (224, 224), CamSettings())
        pictures = pixels.read(np.arange(len(manifest)))
    heat, strength = explain(
        model,
        pictures,
        Preparation(manifest, card.mean, card.std),
        np.arange(len(manifest)),
        np.full(len(manifest), code, np.int16),
    )
    assert np.nanmax(looked.heat.values) == 1
    for box, one, height in zip(manifest.box_xywh, heat, strength, strict=True):
        part = looked.heat.values[(0, *map_slice(box, looked.heat.step))]
        whole = one.reshape(32, 2, 32, 2).mean((1, 3)) * height / strength_of(heat, strength)
        np.testing.assert_allclose(part, whole, atol=2e-5)
    alpha = cv2.imread(str(result.run_dir / "cam.png"), cv2.IMREAD_UNCHANGED)[..., 3]
    np.testing.assert_allclose(alpha / 255, np.nan_to_num(looked.heat.values[0]), atol=0.02)
    sheet = cv2.imread(str(result.run_dir / "cam.jpg"))
    # Three surest and three least sure, in pairs, three pairs a row.
    assert sheet.shape[:2] == (2 * (192 + 24) + 6, 6 * 198 + 6)

    page = write_report(study / "her2" / "predictions").html.read_text(encoding="utf-8")
    assert "Where the network looked" in page
    assert "No thumbnail" not in page
    assert "Predicted class" in page
    assert "H-score" not in page
    assert overlays[1].name in html.unescape(page)
    # Asked for or not are two results.
    plain = predicted(study, trained, images=("g3_1.ome.tif",))[0]
    assert plain.run_dir is not None
    assert "cam.png" not in read_run(plain.run_dir)[0].files


def strength_of(heat: np.ndarray, strength: np.ndarray) -> float:
    """The hottest place of the whole image, patches averaged down as the map is."""
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


def test_a_head_names_the_image_by_the_counts(study: Path, trained: TrainedNetwork) -> None:
    results = predicted(study, trained, head=head_path(trained.checkpoint, "svm"), images=("g3_0.ome.tif",))
    score = results[0].score
    assert score is not None
    assert score.prediction is not None
    assert score.prediction.rule == "svm over the counts of its patches"
    assert "svm over the counts" in score.reason
    # Regions have no head: their patches vote.
    assert {region.prediction.rule for region in score.regions.values() if region.prediction} == {
        "most frequent class of the patches; the mean probability decides a tie"
    }


def test_another_scale_is_refused_with_the_cure(study: Path, trained: TrainedNetwork, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    for name in ("g3_0.ome.tif", "g3_0.geojson"):
        shutil.copyfile(study / name, folder / name)
    coarse = predicted(folder, trained, pixel_size_um=1.0)[0]
    assert coarse.state == "failed"
    assert coarse.error is not None
    assert "too coarse for patches at 0.5 µm/px" in coarse.error
    # Finer pixels are shown smaller: 64 px of 0.5 µm are 128 px of 0.25 µm, one patch of them in 224 px.
    fine = predicted(folder, trained, pixel_size_um=0.25)[0]
    assert fine.state == "predicted"
    assert fine.run_dir is not None
    patches = patches_of_run(fine.run_dir, read_run(fine.run_dir)[0])
    assert patches is not None
    assert patches.box_xywh.tolist() == [[0, 0, 128, 128]]


def test_no_region_and_no_patch(study: Path, trained: TrainedNetwork, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    shutil.copyfile(study / "g3_0.ome.tif", folder / "g3_0.ome.tif")
    refused = predicted(folder, trained)[0]
    assert refused.score is not None
    assert refused.score.refusal_code == "no_tumour_region"
    assert predicted(folder, trained, whole_tissue=True)[0].state == "predicted"
    region = json.loads((study / "g3_0.geojson").read_text())
    region["features"][0]["geometry"]["coordinates"] = [[[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]]]
    (folder / "g3_0.geojson").write_text(json.dumps(region))
    small = predicted(folder, trained)[0]
    assert small.score is not None
    assert small.score.refusal_code == "no_patches"


def test_a_missing_checkpoint_stops_before_the_first_image(study: Path) -> None:
    options = RunOptions(out=study / "her2" / "predictions", method=PatchesMethod(study / "none"))
    with pytest.raises(ModelError, match=r"none.*has no card"):
        plan_jobs(study, options)


def test_shuffling_leaves_the_test_part_alone(manifest: PatchManifest) -> None:
    other = shuffled_labels(manifest, 1)
    is_test = manifest.split == 2
    assert (other.label[is_test] == manifest.label[is_test]).all()
    assert (other.label != manifest.label).sum() > len(manifest) // 4
    for part in (0, 1):
        rows = manifest.split == part
        assert np.bincount(other.label[rows]).tolist() == np.bincount(manifest.label[rows]).tolist()


def test_nothing_to_judge(trained: TrainedNetwork, manifest: PatchManifest) -> None:
    def unasked(_: PatchManifest) -> None:
        raise AssertionError("there is nothing to read")

    without = select(manifest, manifest.split != 2)
    assert evaluate(None, trained.card, without, unasked) is None  # type: ignore[arg-type]


def test_counts_by_hand() -> None:
    image = np.array([0, 0, 2, 2, 2], np.int32)
    chosen = np.array([1, 1, 0, -1, 1], np.int16)
    assert count_classes_per_image(image, chosen, 3, 2).tolist() == [[0, 2], [0, 0], [1, 1]]


def test_recipes_are_found_by_name() -> None:
    assert find_recipe("convoher2").model == "convoher2"
    with pytest.raises(Her2Error, match="Did you mean 'se-resnet50'"):
        find_recipe("se-resnet")
