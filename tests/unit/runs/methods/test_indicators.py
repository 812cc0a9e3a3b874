"""The method ``indicators`` on a drawn image, without a network."""

from __future__ import annotations

from pathlib import Path

from qupath_her2.project.exchange.runs import read_run
from qupath_her2.runs.methods.indicators import IndicatorsMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import find_settings, plan_jobs
from qupath_her2.runs.score_image import score_image
from qupath_her2.scoring.indicators.measured import read_measured
from tests.unit.runs.methods.drawn_image import draw_only_image


def test_an_image_is_scored_by_its_patches_with_a_heat_map(project: Path) -> None:
    draw_only_image(project)
    method = IndicatorsMethod(accept_ranges=True)
    options = RunOptions(method=method, whole_tissue=True, pixel_size_um=0.5)
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
    assert record.settings["used"]["recipe"] == "ihc-indicators"
    # What the ranges are fitted on, kept with the run; the first warning says that they were not.
    measured, where = read_measured((result.run_dir / "indicators.json").read_bytes())
    assert measured.n_cells == result.score.n_cells
    assert (where.area, where.pixel_size_um, where.scanner) == ("all tissue", 0.5, "")
    assert "were never fitted on this scanner and stain" in result.score.warnings[0]
    assert score_image(job).state == "up to date"


def test_an_image_without_a_region_is_refused(project: Path) -> None:
    (project / "pale.geojson").unlink()
    job = plan_jobs(project, RunOptions(method=IndicatorsMethod())).jobs[0]
    result = score_image(job)
    assert result.score is not None
    assert result.score.refusal_code == "no_tumour_region"
