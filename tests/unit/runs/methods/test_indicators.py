from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from qupath_her2.errors import ModelError
from qupath_her2.models.card import ModelCard, card_bytes, read_card
from qupath_her2.project.exchange.runs import read_run
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


def test_an_image_is_scored_by_its_patches_with_a_heat_map(project: Path) -> None:
    drawn_image(project)
    options = RunOptions(method=IndicatorsMethod(), whole_tissue=True, pixel_size_um=0.5)
    # Pieces under 0.1 mm² are debris by default, and this drawing has 0.08 mm².
    settings = find_settings(project, None, {"control": {"piece_area_mm2_min": 0.01}})
    (job,) = plan_jobs(project, options, settings).jobs
    result = score_image(job)
    assert result.state == "scored"
    assert result.score is not None
    assert result.score.score in ("2+", "3+")
    assert result.run_dir is not None
    record, table, _ = read_run(result.run_dir)
    assert "heatmap.png" in record.files
    assert table is not None
    assert len(table) == 0
    assert record.settings["used"]["method"] == "indicators"
    assert score_image(job).state == "up to date"


def drawn_image(project: Path) -> None:
    """One 3+ field and nothing else."""
    from qupath_her2.synthetic.field import draw_field
    from qupath_her2.synthetic.presets import preset

    for path in project.iterdir():
        path.unlink()
    field = draw_field(preset("score", 5, score="3+", width_px=560, height_px=560))
    cv2.imwrite(str(project / "a.png"), cv2.cvtColor(field.rgb, cv2.COLOR_RGB2BGR))


def checkpoint_of(folder: Path, task: str, class_names: tuple[str, ...]) -> Path:
    """A card without weights: enough where nobody asks the network."""
    card = ModelCard("tumour-resnet34", class_names, task, 0.5, 56, (0.5,) * 3, (0.5,) * 3, recipe="finder")
    (folder / "net.json").write_bytes(card_bytes(card))
    return folder / "net"


def run_with_finder(project: Path, checkpoint: Path) -> ImageResult:
    options = RunOptions(method=IndicatorsMethod(checkpoint), pixel_size_um=0.5)
    settings = find_settings(
        project, None, {"control": {"piece_area_mm2_min": 0.01}, "tumour": {"area_mm2_min": 0.01}}
    )
    (job,) = plan_jobs(project, options, settings).jobs
    return score_image(job)


@pytest.mark.parametrize(("least", "found"), [(0, True), (560, False)])
def test_a_network_finds_the_tumour(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int, found: bool
) -> None:
    drawn_image(project)
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
    said = PredictedPatches(None, read_card(checkpoint), None, None, table, ())  # type: ignore[arg-type]
    monkeypatch.setattr(tumour_map, "predict_patches", lambda *_, **__: said)
    result = run_with_finder(project, checkpoint)
    assert result.score is not None
    if not found:
        assert result.score.refusal_code == "no_tumour_region"
        assert (
            "the network 'finder' found no tumour of at least 0.01 mm² in 100 patches" in result.score.reason
        )
        return
    assert result.state == "scored"
    assert any("found by the network 'finder'" in text for text in result.score.warnings)
    assert NO_ONE_CHOSE not in result.score.warnings
    assert result.run_dir is not None
    overlays = read_overlays((result.run_dir / "overlays.json").read_bytes())
    assert [one.file for one in overlays] == ["heatmap.png", "tumour.png"]
    assert {(one.width, one.height) for one in overlays[1:]} == {(560, 560)}


def test_a_network_of_another_task_finds_no_tumour(project: Path, tmp_path: Path) -> None:
    drawn_image(project)
    with pytest.raises(ModelError, match=r"a network of the task 'her2-4'.*--recipe tumour-resnet34"):
        run_with_finder(project, checkpoint_of(tmp_path, "her2-4", ("0", "3+")))


def test_without_a_region_it_is_refused(project: Path) -> None:
    (project / "pale.geojson").unlink()
    job = plan_jobs(project, RunOptions(method=IndicatorsMethod())).jobs[0]
    result = score_image(job)
    assert result.score is not None
    assert result.score.refusal_code == "no_tumour_region"
