"""The method ``network``: every patch of an image predicted, refusals, and checkpoints of the wrong kind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

from qupath_her2.errors import ModelError
from qupath_her2.models.card import ModelCard, card_bytes
from qupath_her2.models.count_heads import fit_count_head, save_count_head
from qupath_her2.project.exchange.patch_files import patches_of_run
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.report.build import write_report
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.training.types import TrainedNetwork
from tests.unit.runs.methods.predictions import predicted

pytestmark = pytest.mark.slow


def test_every_patch_is_predicted_once(
    count_study: Path, count_network: TrainedNetwork, tmp_path: Path
) -> None:
    results = predicted(count_study, count_network, tmp_path)
    assert {result.state for result in results} == {"predicted"}
    first = results[0]
    assert first.run_dir is not None
    record, cells, score = read_run(first.run_dir)
    patches = patches_of_run(first.run_dir, record)
    assert patches is not None
    assert cells is not None
    assert len(cells) == 0
    # 192 px of tissue in patches of 64 px; the grid starts at the corner of the image.
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
    assert {result.state for result in predicted(count_study, count_network, tmp_path)} == {"up to date"}
    report = write_report(tmp_path)
    assert f"{len(results)} predicted" in report.counts
    table = (tmp_path / "predictions.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(table) == 1 + 4 * len(results)


def test_coarse_pixels_are_refused_and_fine_ones_resampled(
    count_study: Path, count_network: TrainedNetwork, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    for name in ("g3_0.ome.tif", "g3_0.geojson"):
        shutil.copyfile(count_study / name, folder / name)
    coarse = predicted(folder, count_network, folder / "her2", pixel_size_um=1.0)[0]
    assert coarse.state == "failed"
    assert coarse.error is not None
    assert "too coarse for patches at 0.5 µm/px" in coarse.error
    # 64 px of 0.5 µm are 128 px of 0.25 µm, and one such patch fits into 224 px.
    fine = predicted(folder, count_network, folder / "her2", pixel_size_um=0.25)[0]
    assert fine.state == "predicted"
    assert fine.run_dir is not None
    patches = patches_of_run(fine.run_dir, read_run(fine.run_dir)[0])
    assert patches is not None
    assert patches.box_xywh.tolist() == [[0, 0, 128, 128]]


def test_images_without_a_region_or_a_patch_are_refused(
    count_study: Path, count_network: TrainedNetwork, tmp_path: Path
) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    shutil.copyfile(count_study / "g3_0.ome.tif", folder / "g3_0.ome.tif")
    refused = predicted(folder, count_network, folder / "her2")[0]
    assert refused.score is not None
    assert refused.score.refusal_code == "no_tumour_region"
    assert predicted(folder, count_network, folder / "her2", whole_tissue=True)[0].state == "predicted"
    region = json.loads((count_study / "g3_0.geojson").read_text())
    region["features"][0]["geometry"]["coordinates"] = [[[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]]]
    region["features"].append({"type": "Feature", "id": "odd", "geometry": None, "properties": {}})
    (folder / "g3_0.geojson").write_text(json.dumps(region))
    small = predicted(folder, count_network, folder / "her2")[0]
    assert small.score is not None
    assert small.score.refusal_code == "no_patches"
    assert "1 feature of the region file set aside, the first: feature 1 (odd)" in small.score.warnings[0]


def test_a_head_counts_all_tissue_and_not_the_tumour_alone(
    count_study: Path, count_network: TrainedNetwork, tmp_path: Path
) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    shutil.copyfile(count_study / "g3_0.ome.tif", folder / "g3_0.ome.tif")
    region = json.loads((count_study / "g3_0.geojson").read_text())
    region["features"][0]["geometry"]["coordinates"] = [[[0, 0], [70, 0], [70, 200], [0, 200], [0, 0]]]
    (folder / "g3_0.geojson").write_text(json.dumps(region))
    names = count_network.card.class_names
    save_count_head(
        tmp_path / "head.json", fit_count_head("majority", [], [], patch_classes=names, slide_classes=names)
    )
    (found,) = predicted(folder, count_network, folder / "her2", head=tmp_path / "head.json")
    assert found.score is not None
    assert found.score.prediction is not None
    assert found.run_dir is not None
    patches = patches_of_run(found.run_dir, read_run(found.run_dir)[0])
    assert patches is not None
    assert (len(patches), found.score.prediction.n_patches) == (3, 9)
    assert found.score.prediction.rule == "majority over the counts of the patches of all tissue"


def test_a_missing_checkpoint_stops_before_the_first_image(count_study: Path, tmp_path: Path) -> None:
    options = RunOptions(out=tmp_path, method=PatchesMethod(count_study / "none"))
    with pytest.raises(ModelError, match=r"none.*has no card"):
        plan_jobs(count_study, options)


def test_a_segmenter_is_no_classifier(project: Path, tmp_path: Path) -> None:
    half = (0.5, 0.5, 0.5)
    names = ("background", "nucleus", "membrane")
    card = ModelCard("unet", names, "segmentation", 0.5, 64, half, half, {"width": 2})
    (tmp_path / "net.json").write_bytes(card_bytes(card))
    with pytest.raises(ModelError, match=r"is a segmenter.*--cells unet:.*net"):
        plan_jobs(project, RunOptions(method=PatchesMethod(tmp_path / "net")))
