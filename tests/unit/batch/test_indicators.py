from __future__ import annotations

from pathlib import Path
from uuid import UUID

import cv2
import numpy as np
import shapely

from qupath_her2.batch.indicators import region_mask
from qupath_her2.batch.job import score_image
from qupath_her2.batch.plan import RunOptions, find_settings, plan_jobs
from qupath_her2.project.exchange import read_run
from qupath_her2.records import Region, RegionRole
from qupath_her2.report.overlay import Frame


def region(shape: shapely.Geometry, role: RegionRole = "tumour") -> Region:
    return Region(UUID(int=1), shape, role)


def test_mask_is_the_regions_area() -> None:
    hole = shapely.Polygon(
        [(0, 0), (100, 0), (100, 100), (0, 100)], [[(20, 20), (40, 20), (40, 40), (20, 40)]]
    )
    mask = region_mask([region(hole)], (100, 200), Frame(0, 0, 1.0))
    assert abs(int(mask.sum()) - hole.area) < 0.04 * hole.area
    assert not mask[30, 30]
    assert not mask[:, 110:].any()


def test_what_subtracts_wins_whatever_the_order() -> None:
    tumour, ignored = region(shapely.box(0, 0, 100, 100)), region(shapely.box(0, 0, 50, 100), "ignore")
    masks = [
        region_mask(both, (100, 100), Frame(0, 0, 1.0)) for both in ([tumour, ignored], [ignored, tumour])
    ]
    assert np.array_equal(*masks)
    assert masks[0][50, 60]
    assert not masks[0][50, 40]


def test_an_image_is_scored_by_its_patches_with_a_heat_map(project: Path) -> None:
    from qupath_her2.synthetic import draw_field, preset

    for path in project.iterdir():
        path.unlink()
    field = draw_field(preset("score", 5, score="3+", width_px=560, height_px=560))
    cv2.imwrite(str(project / "a.png"), cv2.cvtColor(field.rgb, cv2.COLOR_RGB2BGR))
    options = RunOptions(method="indicators", whole_tissue=True, pixel_size_um=0.5)
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


def test_without_a_region_it_is_refused(project: Path) -> None:
    (project / "pale.geojson").unlink()
    job = plan_jobs(project, RunOptions(method="indicators")).jobs[0]
    result = score_image(job)
    assert result.score is not None
    assert result.score.refusal_code == "no_tumour_region"
