"""Images of a QuPath project, as they were pulled: scored in QuPath's frame, or refused with its reason."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from qupath_her2.batch.local import run_jobs
from qupath_her2.project.exchange.runs import read_record, read_run
from qupath_her2.records import ImageResult
from qupath_her2.report.build import write_report
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs, select_images

H_AND_E = '{"Stain 1":"Hematoxylin","Values 1":"0.65 0.7 0.29","Stain 2":"Eosin","Values 2":"0.2 0.8 0.5"}'


def pull(project: Path, **changes: Any) -> Path:
    """An exchange folder as the exporter leaves it, of the one image, with its whole frame as a region."""
    her2 = project / "her2"
    (her2 / "regions").mkdir(parents=True, exist_ok=True)
    image = {
        "id": "1_strong",
        "entry_id": "1",
        "name": "strong",
        "path": "strong.ome.tif",
        "pixel_size_um": 0.5,
    }
    image |= {"width": 420, "height": 420, "chain": [], "refusal": None, **changes}
    (her2 / "images.json").write_bytes(orjson.dumps({"format": 1, "images": [image]}))
    width, height = image["width"], image["height"]
    ring = [[0, 0], [width, 0], [width, height], [0, height], [0, 0]]
    feature = {
        "type": "Feature",
        "id": "0b2f5c1e-9f0a-4c9e-8a57-33d2f1c0a001",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor", "color": None}},
    }
    content = orjson.dumps({"type": "FeatureCollection", "features": [feature]})
    (her2 / "regions" / "1_strong.geojson").write_bytes(content)
    (project / "strong.geojson").unlink(missing_ok=True)
    return her2


def run(project: Path) -> ImageResult:
    (result,) = run_jobs(plan_jobs(project, RunOptions()).jobs)
    return result


def test_the_projects_images_are_scored_and_no_others(project: Path) -> None:
    pull(project)
    shutil.copy(project / "strong.ome.tif", project / "other.ome.tif")
    assert [ref.name for ref in select_images(project)] == ["strong"]
    result = run(project)
    assert result.score is not None
    assert result.score.score == "3+"
    assert run(project).state == "up to date"


def test_a_turned_image_is_measured_in_its_own_frame(project: Path) -> None:
    pull(project)
    plain = run(project)
    assert plain.run_dir is not None
    _, whole, _ = read_run(plain.run_dir)
    shutil.rmtree(project / "her2")
    box = [40, 24, 360, 320]
    pull(project, chain=[{"crop": box}, {"rotate": 270}], width=320, height=360)
    turned = run(project)
    assert turned.run_dir is not None
    _, cells, _ = read_run(turned.run_dir)
    assert whole is not None
    assert cells is not None
    x, y = cells.centroid_xy.T
    inner = (x > 30) & (x < 290) & (y > 30) & (y < 330)
    assert inner.sum() > 100
    # Turned back by a quarter, and back into the whole image.
    back = np.stack([box[0] + box[2] - y, box[1] + x], axis=1)[inner]
    away = np.linalg.norm(back[:, None] - whole.centroid_xy[None], axis=2).min(axis=1)
    assert np.mean(away < 2) > 0.9
    image = read_record(turned.run_dir).image
    assert (image["width"], image["height"], image["entry_id"]) == (320, 360, "1")
    assert image["chain"] == [{"crop": box}, {"rotate": 270}]
    assert turned.score is not None
    assert turned.score.score == "3+"
    # The report opens the image again, in the same frame.
    html = write_report(project / "her2").html.read_text(encoding="utf-8")
    assert "No thumbnail" not in html


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"refusal": {"code": "z_stack", "reason": "the image is a stack"}}, "z_stack"),
        ({"refusal": {"code": "not_exported", "reason": "it is gone"}, "path": "gone.svs"}, "not_exported"),
        ({"stains": H_AND_E}, "not_ihc"),
    ],
)
def test_what_qupath_refused_is_a_result(project: Path, changes: dict[str, Any], code: str) -> None:
    her2 = pull(project, **changes)
    result = run(project)
    assert result.state == "not assessable"
    assert result.score is not None
    assert result.score.refusal_code == code
    assert run(project).state == "up to date"
    report = write_report(her2)
    assert "strong" in report.csv.read_text(encoding="utf-8")


def test_another_size_than_qupaths_is_a_failure_that_says_the_way(project: Path) -> None:
    pull(project, width=419)
    result = run(project)
    assert result.state == "failed"
    assert "420 × 420 px here but 419 × 420 px in QuPath" in (result.error or "")
