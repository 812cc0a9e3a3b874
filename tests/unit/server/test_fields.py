from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from shapely.geometry import box, mapping

import qupath_her2 as qh
from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.cells.profiles import Place, Profile, profile_path, write_profile
from qupath_her2.config import Settings
from qupath_her2.project.exchange.images import field_folder
from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.provenance import canonical_json
from qupath_her2.runs.stains_file import STAINS_FILE, KeptGroup, StainsFile, write_stains_file
from qupath_her2.server.settings import ServiceSettings
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from tests.helpers.pulled_project import pull_image
from tests.unit.server.conftest import Caller, call

REGION = "5ad4b1f0-6c0b-4d0e-9a61-3f6f0f5c1a2b"
PLACE = Place("any", "HER2", "", QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab)
FIELD = {"x": 60, "y": 40, "width": 300, "height": 320}


def request_of(slides: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(slides / "strong.ome.tif"), "rectangle": FIELD, **more}


def test_a_field_has_the_cells_of_a_run_with_this_region(
    caller: Caller, slides: Path, tmp_path: Path
) -> None:
    answer = caller.http.post("/api/v1/fields", json=request_of(slides))
    assert answer.status_code == 200
    field = answer.json()

    x, y = FIELD["x"], FIELD["y"]
    ring = [[x, y], [x + 300, y], [x + 300, y + 320], [x, y + 320], [x, y]]
    region = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
    }
    shutil.copy(slides / "strong.ome.tif", tmp_path)
    (tmp_path / "strong.geojson").write_text(
        json.dumps({"type": "FeatureCollection", "features": [region]}), encoding="utf-8"
    )
    (by_run,) = qh.run(tmp_path)
    assert by_run.run_dir is not None
    _, cells, score = read_run(by_run.run_dir)
    assert cells is not None
    assert len(cells) > 20
    features = field["cells"]["features"]
    assert (field["score"], field["reason"], field["n_cells"]) == (score.score, score.reason, len(cells))
    assert [": ".join(one["properties"]["classification"]["names"]) for one in features] == [
        cells.class_names[number] for number in cells.cell_class
    ]
    for one, row in zip(features, range(len(cells)), strict=True):
        (outline,) = one["geometry"]["coordinates"]
        assert np.allclose(np.array(outline[:-1]), cells.outline(row), atol=0.0051)


def test_a_field_may_come_as_a_run_of_an_exchange_folder(
    caller: Caller, slides: Path, tmp_path: Path
) -> None:
    polygon = {"type": "Polygon", "coordinates": [[[20, 20], [400, 30], [380, 390], [20, 20]]]}
    uuid = "0f4df1a6-7b54-4a3b-9a86-0d6f2c1c7b11"
    wanted = {"path": str(slides / "strong.ome.tif"), "polygon": polygon, "id": uuid}
    answer = caller.http.post("/api/v1/fields", json=wanted, headers={"Accept": "application/zip"})
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    (run,) = tmp_path.iterdir()
    record, cells, _ = read_run(run)
    assert cells is not None
    assert len(cells) > 10
    assert [region["uuid"] for region in record.regions] == [uuid]
    # Nothing is kept of a field.
    assert list((caller.service.settings.state / "fields").iterdir()) == []


def test_the_slide_of_a_job_and_a_second_field_use_the_same_process(caller: Caller, slides: Path) -> None:
    job = caller.post_slide(slides / "pale.ome.tif").json()
    caller.until_ended(job["id"])
    first = caller.http.post("/api/v1/fields", json={"job": job["id"], "rectangle": FIELD})
    pids = caller.service.fields.pids()
    second = caller.http.post("/api/v1/fields", json={"job": job["id"], "rectangle": FIELD})
    assert (first.status_code, second.status_code) == (200, 200)
    assert caller.service.fields.pids() == pids
    assert first.json()["cells"] == second.json()["cells"]
    assert first.json()["score"] == "0"


@pytest.mark.parametrize(
    ("more", "status", "says"),
    [
        ({"rectangle": {**FIELD, "width": 0}}, 422, "width"),
        ({"rectangle": {**FIELD, "width": 9000, "height": 9000}}, 422, "megapixels"),
        ({"polygon": {"type": "Polygon", "coordinates": []}}, 422, "one rectangle or one polygon"),
        ({"region": REGION}, 422, "one rectangle or one polygon, or a region"),
        ({"rectangle": None, "region": REGION}, 422, "of a project"),
        ({"rectangle": None, "polygon": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}, 422, "none"),
        ({"rectangle": None, "polygon": {"type": "Polygon", "coordinates": "x"}}, 422, "coordinates"),
        (
            {
                "rectangle": None,
                "polygon": {"type": "Polygon", "coordinates": [[[0, 0], [9, 9], [0, 9], [9, 0], [0, 0]]]},
            },
            422,
            "Self-intersection",
        ),
        ({"path": None}, 422, "needs its slide"),
        ({"path": "/etc/passwd"}, 403, "no allowed folder"),
        ({"path": None, "job": "none"}, 404, "no such job"),
        ({"options": {"verb": "predict", "checkpoint": "x"}}, 422, "by its cells"),
        ({"options": {"guideline": "lung"}}, 422, "lung"),
        ({"nonsense": 1}, 422, "nonsense"),
    ],
)
def test_what_is_no_field_is_said(
    idle_caller: Caller, slides: Path, more: dict[str, Any], status: int, says: str
) -> None:
    answer = idle_caller.http.post("/api/v1/fields", json=request_of(slides, **more))
    assert answer.status_code == status
    assert says in answer.json()["error"]


def test_a_refused_field_says_why_and_has_no_cells(caller: Caller, slides: Path) -> None:
    wanted = request_of(slides, options={"pixel_size_um": 0.9})
    field = caller.http.post("/api/v1/fields", json=wanted).json()
    assert (field["status"], field["score"], field["n_cells"]) == ("not assessable", None, 0)
    assert field["cells"]["features"] == []
    assert "0.9" in field["reason"]


def test_a_file_that_is_no_slide_is_refused(caller: Caller, slides: Path) -> None:
    text = slides / "text.svs"
    text.write_text("no slide", encoding="utf-8")
    try:
        answer = caller.http.post("/api/v1/fields", json={"path": str(text), "rectangle": FIELD})
    finally:
        text.unlink()
    assert answer.status_code == 415
    assert "text.svs" in answer.json()["error"]


@pytest.mark.slow
def test_an_image_of_a_project_has_its_calibration_and_crop(project: Path, tmp_path: Path) -> None:
    """The upper left quarter of the image, as QuPath shows it, at another pixel size than the file's."""
    crop = [{"crop": [30, 20, 300, 300]}]
    her2 = pull_image(project, chain=crop, width=300, height=300, pixel_size_um=0.45)
    outside = tmp_path / "elsewhere.ome.tif"
    shutil.copy(project / "strong.ome.tif", outside)
    request = {
        "project": str(her2),
        "image": "1_strong",
        "rectangle": {"x": 0, "y": 0, "width": 300, "height": 300},
    }
    for caller in call(ServiceSettings(tmp_path / "state", roots=(project,))):
        answer = caller.http.post("/api/v1/fields", json=request, headers={"Accept": "application/zip"})
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            archive.extractall(tmp_path / "field")
        (run,) = (tmp_path / "field").iterdir()
        record, cells, _ = read_run(run)
        assert cells is not None
        assert len(cells) > 10
        assert (record.image["id"], record.image["width"], record.image["pixel_size_um"]) == (
            "1_strong",
            300,
            0.45,
        )
        assert cells.centroid_xy.max() < 300
        unknown = caller.http.post("/api/v1/fields", json={**request, "image": "2_other"})
        assert (unknown.status_code, "no image '2_other'" in unknown.json()["error"]) == (404, True)
        # A project may name any file: it is asked for like one that a caller names.
        pull_image(project, path=str(outside))
        assert caller.http.post("/api/v1/fields", json=request).status_code == 403


@pytest.mark.slow
@pytest.mark.parametrize("has_group", [False, True])
def test_a_region_of_a_project_is_scored_as_by_the_command(
    project: Path, tmp_path: Path, has_group: bool
) -> None:
    """An annotation without a class, from which a carcinoma in situ takes points, by the project's own settings."""
    her2 = pull_image(project)
    in_use = QUPATH_H_DAB.hematoxylin, (0.3, 0.55, 0.78)
    if has_group:
        kind = "tif, 0.50 µm, HER2"
        recipe = canonical_json({"estimate": Settings().stains, "tissue": Settings().tissue}).decode()
        groups = {kind: [KeptGroup(*in_use, "estimated from 7 images", {})]}
        write_stains_file(her2 / STAINS_FILE, StainsFile(recipe, groups))
    (project / "her2.toml").write_text('profile = "ours"\n', encoding="utf-8")
    write_profile(profile_path(her2, "ours"), Profile("ours", PLACE, GradingSettings(intense_od=0.6)))
    content = json.loads((her2 / "regions" / "1_strong.geojson").read_text(encoding="utf-8"))
    (whole,) = content["features"]
    plain = {"objectType": "annotation", "name": "hot spot"}
    in_situ = {"objectType": "annotation", "classification": {"name": "In situ"}}
    content["features"] += [
        {**whole, "id": REGION, "geometry": mapping(box(40, 40, 360, 340)), "properties": plain},
        {
            **whole,
            "id": REGION[:-1] + "1",
            "geometry": mapping(box(200, 40, 400, 200)),
            "properties": in_situ,
        },
    ]
    (her2 / "regions" / "1_strong.geojson").write_text(json.dumps(content), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "qupath_her2", "run", str(project), "--no-qupath", "--region", REGION],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    by_run = current_run(field_folder(her2, UUID(REGION)), "1_strong")
    assert by_run is not None
    assert not (her2 / "results").exists()

    request = {"project": str(her2), "image": "1_strong", "region": REGION}
    for caller in call(ServiceSettings(tmp_path / "state", roots=(project,))):
        answer = caller.http.post("/api/v1/fields", json=request, headers={"Accept": "application/zip"})
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            archive.extractall(tmp_path / "field")
        (by_service,) = (tmp_path / "field").iterdir()
        assert by_service.name == by_run.name
        for name in ("cells.npz", "score.json", "regions.geojson"):
            assert (by_service / name).read_bytes() == (by_run / name).read_bytes()
        record, cells, score = read_run(by_service)
        assert [(one["uuid"], one["class"], one["name"]) for one in record.regions] == [
            (REGION, None, "hot spot")
        ]
        assert cells is not None
        assert len(cells) > 10
        x, y = cells.centroid_xy.T
        assert not ((x > 200) & (y < 200)).any()
        assert "profile ours" in str(score)
        assert ("estimated from 7 images" in str(score)) == has_group
        unknown = caller.http.post("/api/v1/fields", json={**request, "region": REGION[:-1] + "0"})
        assert unknown.status_code == 422
        assert "is not in it" in unknown.json()["error"]
