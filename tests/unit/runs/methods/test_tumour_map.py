"""Tumour found by a network: its area is measured, its map is shown, and no tumour is a refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import ModelError
from qupath_her2.models.card import ModelCard, card_bytes, read_card
from qupath_her2.provenance import object_uuids
from qupath_her2.records import ImageResult, PatchTable
from qupath_her2.report.heat import read_overlays
from qupath_her2.runs.methods import tumour_map
from qupath_her2.runs.methods.indicators import IndicatorsMethod
from qupath_her2.runs.methods.patches import PredictedPatches
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import find_settings, plan_jobs
from qupath_her2.runs.score_image import score_image
from qupath_her2.runs.whole_tissue import NO_ONE_CHOSE
from tests.unit.runs.methods.drawn_image import draw_only_image


def checkpoint_of(folder: Path, task: str, class_names: tuple[str, ...]) -> Path:
    """A card without weights: enough where the network is not run."""
    card = ModelCard("tumour-resnet34", class_names, task, 0.5, 56, (0.5,) * 3, (0.5,) * 3, recipe="finder")
    (folder / "net.json").write_bytes(card_bytes(card))
    return folder / "net"


def run_with_finder(project: Path, checkpoint: Path) -> ImageResult:
    options = RunOptions(method=IndicatorsMethod(checkpoint, accept_ranges=True), pixel_size_um=0.5)
    settings = find_settings(
        project, None, {"control": {"piece_area_mm2_min": 0.01}, "tumour": {"area_mm2_min": 0.01}}
    )
    (job,) = plan_jobs(project, options, settings).jobs
    return score_image(job)


@pytest.mark.parametrize(("least", "found"), [(0, True), (560, False)])
def test_a_network_finds_the_tumour(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int, found: bool
) -> None:
    draw_only_image(project)
    checkpoint = checkpoint_of(tmp_path, "tumour", ("non-tumour", "tumour"))
    boxes = np.array([(x, y, 56, 56) for y in range(0, 560, 56) for x in range(0, 560, 56)], np.int32)
    tumour = np.where(boxes[:, 0] >= least, 0.9, 0.2).astype(np.float32)
    table = PatchTable(
        uuid=object_uuids("0" * 64, len(boxes)),
        box_xywh=boxes,
        region=np.zeros(len(boxes), np.int32),
        probabilities=np.stack([1 - tumour, tumour], 1),
        patch_class=(tumour > 0.5).astype(np.uint8),
        class_names=("HER2 patch non-tumour", "HER2 patch tumour"),
    )
    prediction = PredictedPatches(None, read_card(checkpoint), None, None, table, ())  # type: ignore[arg-type]
    monkeypatch.setattr(tumour_map, "predict_patches", lambda *_, **__: prediction)
    (project / "a.geojson").write_text(
        '[{"type": "Feature", "id": "odd", "geometry": null, "properties": {}}]'
    )
    result = run_with_finder(project, checkpoint)
    assert result.score is not None
    assert any("1 feature of the region file set aside" in text for text in result.score.warnings)
    assert NO_ONE_CHOSE not in result.score.warnings
    if not found:
        assert result.score.refusal_code == "no_tumour_region"
        assert (
            "the network 'finder' found no tumour of at least 0.01 mm² in 100 patches" in result.score.reason
        )
        return
    assert result.state == "scored"
    assert any("found by the network 'finder'" in text for text in result.score.warnings)
    assert result.run_dir is not None
    overlays = read_overlays((result.run_dir / "overlays.json").read_bytes())
    assert [one.file for one in overlays] == ["heatmap.png", "tumour.png"]
    assert {(one.width, one.height) for one in overlays[1:]} == {(560, 560)}


def test_a_network_of_another_task_is_refused(project: Path, tmp_path: Path) -> None:
    draw_only_image(project)
    with pytest.raises(
        ModelError, match=r"a network of the task 'her2-4', not 'tumour'.*--recipe tumour-resnet34"
    ):
        run_with_finder(project, checkpoint_of(tmp_path, "her2-4", ("0", "3+")))
