"""Scoring one image: idempotent, cancellable, and in the frame in which QuPath shows it."""

from __future__ import annotations

import csv
import io
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import cv2
import numpy as np
import orjson
import pytest
import shapely

from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.runs import read_record, read_run
from qupath_her2.provenance import are_ours, is_ours
from qupath_her2.records import ImageResult
from qupath_her2.report.build import write_report
from qupath_her2.runs import score_image as job_module
from qupath_her2.runs.cell_sources import CellSource
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.proposed_tumour import DRAWN, NOBODY_CONFIRMED
from qupath_her2.runs.score_image import score_image
from qupath_her2.runs.whole_tissue import NO_ONE_CHOSE
from qupath_her2.scoring.score_cells import ScoringSettings
from tests.helpers.fake_finder import tumour_left_of
from tests.helpers.pulled_project import pull_image


def jobs(project: Path, **options: object) -> dict[str, ScoreJob]:
    if "cells" in options:
        options["method"] = CellsMethod(CellSource(options.pop("cells")))  # type: ignore[arg-type]
    planned = plan_jobs(project, RunOptions(**options)).jobs  # type: ignore[arg-type]
    return {job.name.split(".")[0]: job for job in planned}


def changed(job: ScoreJob, **options: object) -> ScoreJob:
    return replace(job, options=replace(job.options, **options))


def set_regions(project: Path, name: str, features: list[dict[str, object]]) -> None:
    text = json.dumps({"type": "FeatureCollection", "features": features})
    (project / f"{name}.geojson").write_text(text)


def feature(shape: shapely.Geometry, class_name: str | None = "Tumor", **more: object) -> dict[str, object]:
    properties: dict[str, object] = {"objectType": "annotation", **more}
    if class_name:
        properties["classification"] = {"name": class_name, "color": [200, 0, 0]}
    return {
        "type": "Feature",
        "id": str(UUID(int=hash(shape.wkt) & ((1 << 64) - 1))),
        "geometry": shapely.geometry.mapping(shape),
        "properties": properties,
    }


def test_a_job_leaves_a_finished_run(project: Path) -> None:
    job = jobs(project)["strong"]
    result = score_image(job)
    assert (result.state, result.error) == ("scored", None)
    assert result.score is not None
    assert result.score.score == "3+"
    assert result.run_dir is not None
    record, table, score = read_run(result.run_dir)
    assert set(record.files) == {"cells.npz", "regions.geojson", "score.json", "overlay.jpg"}
    assert score == result.score
    assert table is not None
    assert len(table) == record.counts["cells"]
    assert are_ours(table.uuid).all()
    assert len(np.unique(table.uuid, axis=0)) == len(table)
    assert record.image["pixel_size_um"] == 0.5
    assert record.image["pixel_size_source"] == "file"
    assert record.settings["used"]["method"] == "cells"
    assert len(record.regions) > 0
    assert {entry["class"] for entry in record.regions} == {"Tumor"}
    assert cv2.imread(str(result.run_dir / "overlay.jpg")) is not None


def test_scoring_again_is_up_to_date_and_changes_no_file(
    project: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    job = jobs(project)["pale"]
    first = score_image(job)
    before = tree(job.out)
    again = score_image(job)
    assert again.state == "up to date"
    assert again.run_dir == first.run_dir
    assert again.score == first.score
    assert tree(job.out) == before


def test_force_gives_the_same_cells_with_the_same_uuids(project: Path) -> None:
    job = jobs(project)["strong"]
    first, again = score_image(job), score_image(changed(job, force=True))
    assert again.state == "scored"
    assert first.run_dir != again.run_dir
    assert first.run_dir is not None
    assert again.run_dir is not None
    for name in ("cells.npz", "score.json", "regions.geojson"):
        assert (first.run_dir / name).read_bytes() == (again.run_dir / name).read_bytes()


def test_a_moved_region_makes_a_new_run(project: Path) -> None:
    first = score_image(jobs(project)["strong"])
    set_regions(project, "strong", [feature(shapely.box(20, 20, 400, 400))])
    again = score_image(jobs(project)["strong"])
    assert again.state == "scored"
    assert again.run_dir != first.run_dir


def test_an_image_without_regions_is_refused_unless_whole_tissue_is_requested(project: Path) -> None:
    (project / "strong.geojson").unlink()
    refused = score_image(jobs(project)["strong"])
    assert refused.state == "not assessable"
    assert refused.score is not None
    assert refused.score.refusal_code == "no_tumour_region"
    assert "--whole-tissue" in refused.score.reason
    whole = score_image(jobs(project, whole_tissue=True)["strong"])
    assert whole.state == "scored"
    assert whole.score is not None
    assert NO_ONE_CHOSE in whole.score.warnings
    assert [is_ours(UUID(uuid)) for uuid in whole.score.regions] == [True]


def test_whole_tissue_does_not_replace_a_drawn_region(project: Path) -> None:
    plain, whole = jobs(project)["strong"], jobs(project, whole_tissue=True)["strong"]
    assert score_image(plain).state == "scored"
    assert score_image(whole).state == "up to date"


def without_pixel_size(project: Path) -> None:
    """Replace the strong image by a PNG of the same pixels, which says nothing about their size."""
    from qupath_her2.slides.readers.slide import open_slide

    with open_slide(project / "strong.ome.tif") as slide:
        rgb = slide.read(0, 0, slide.width, slide.height)
    (project / "strong.ome.tif").unlink()
    cv2.imwrite(str(project / "strong.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def test_pixel_size_is_never_guessed_and_the_flag_wins(project: Path) -> None:
    without_pixel_size(project)
    refused = score_image(jobs(project)["strong"])
    assert refused.state == "not assessable"
    assert refused.score is not None
    assert refused.score.refusal_code == "pixel_size_missing"
    assert "Image 'strong.png' has no pixel size".lower() in refused.score.reason.lower()
    assert "--pixel-size-um 0.25" in refused.score.reason
    result = score_image(jobs(project, pixel_size_um=0.5)["strong"])
    assert result.state == "scored"
    assert result.run_dir is not None
    assert read_run(result.run_dir)[0].image["pixel_size_source"] == "flag"


def test_a_missing_image_fails_and_is_named(project: Path) -> None:
    job = jobs(project)["pale"]
    job.ref.path.unlink()
    result = score_image(job)
    assert result.state == "failed"
    assert result.error is not None
    assert "pale.ome.tif" in result.error


@pytest.mark.parametrize("damage", ["deleted", "emptied"])
def test_an_image_lost_while_it_is_scored_leaves_a_whole_result_or_none(project: Path, damage: str) -> None:
    job = jobs(project)["pale"]

    def progress(done: int, total: int, cells: int) -> None:
        if damage == "deleted":
            job.ref.path.unlink(missing_ok=True)
        else:
            job.ref.path.write_bytes(b"")

    result = score_image(job, progress=progress)
    assert result.state in ("scored", "failed")
    if result.state == "failed":
        assert result.error is not None
        assert "pale.ome.tif" in result.error
        assert not any((job.out / "results").glob("*/*.tmp"))


def test_cancelling_leaves_nothing(project: Path) -> None:
    job = jobs(project)["strong"]

    def progress(done: int, total: int, cells: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_image(job, progress=progress)
    assert [path.name for path in (job.out / "results").rglob("*")] == []
    assert score_image(job).state == "scored"


def test_an_unexpected_error_fails_one_image_and_is_reported(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprise(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("never thought of")

    monkeypatch.setattr(job_module, "set_up_image", surprise)
    job = jobs(project)["pale"]
    result = score_image(job)
    assert result.state == "failed"
    assert result.error is not None
    assert "unexpected ZeroDivisionError: never thought of" in result.error
    assert "--debug" in result.error
    with pytest.raises(ZeroDivisionError):
        score_image(changed(job, debug=True))


def test_an_image_that_another_process_is_scoring_is_left_alone(project: Path) -> None:
    job = jobs(project)["pale"]
    with lock_image(job.out, job.image):
        result = score_image(job)
    assert result.state == "failed"
    assert result.error is not None
    assert "is being scored by process" in result.error


def test_two_runs_at_once_leave_one_whole_result(
    project: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    job = jobs(project)["pale"]
    together = threading.Barrier(2)

    def score() -> ImageResult:
        together.wait()
        return score_image(job)

    with ThreadPoolExecutor(2) as pool:
        results = [future.result() for future in [pool.submit(score) for _ in range(2)]]
    for result in results:
        # The slower one finds the image locked, or finished.
        assert result.state in ("scored", "up to date") or "is being scored by" in (result.error or "")
    (done,) = {result.run_dir for result in results if result.run_dir is not None}
    read_run(done)
    files = tree(job.out)
    assert not [name for name in files if name.endswith((".lock", ".tmp", ".takeover"))]
    assert sum(name.endswith("run.json") for name in files) == 1


def test_another_guideline_uses_the_measured_cells(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs(project)["strong"]
    score_image(job)
    monkeypatch.setattr(job_module, "set_up_image", None)
    scoring = replace(job.settings.scoring, guideline="csco-2021")
    result = score_image(replace(job, settings=replace(job.settings, scoring=scoring)))
    assert result.state == "scored"
    assert result.score is not None
    assert result.score.guideline == "CSCO breast 2021"


def test_bad_features_are_set_aside_with_a_warning(project: Path) -> None:
    # The middle of a pentagram is inside by one filling rule and outside by the other, so it cannot be repaired.
    angle = np.radians(90 + 144 * np.arange(5))
    pentagram = shapely.Polygon(np.stack([100 + 90 * np.cos(angle), 100 + 90 * np.sin(angle)], 1))
    set_regions(project, "strong", [feature(shapely.box(10, 10, 410, 410)), feature(pentagram)])
    result = score_image(jobs(project)["strong"])
    assert result.state == "scored"
    assert result.score is not None
    assert any("1 feature of the region file set aside" in warning for warning in result.score.warnings)
    assert result.run_dir is not None
    assert len(read_run(result.run_dir)[0].quarantined) == 1


def test_an_unreadable_region_file_fails_the_image(project: Path) -> None:
    (project / "strong.geojson").write_text("{")
    result = score_image(jobs(project)["strong"])
    assert result.state == "failed"
    assert result.error is not None
    assert "strong.geojson" in result.error


def test_ignored_regions_subtract(project: Path) -> None:
    set_regions(project, "strong", [feature(shapely.box(0, 0, 420, 420))])
    whole = score_image(jobs(project)["strong"])
    half = [feature(shapely.box(0, 0, 420, 420)), feature(shapely.box(0, 0, 210, 420), "Ignore*")]
    set_regions(project, "strong", half)
    result = score_image(jobs(project)["strong"])
    assert 0 < result.n_cells < 0.75 * whole.n_cells
    assert result.run_dir is not None
    table = read_run(result.run_dir)[1]
    assert table is not None
    assert (table.centroid_xy[:, 0] >= 209).all()


def core(box: shapely.Polygon, name: str) -> dict[str, object]:
    return feature(box, None, objectType="tmaCore", name=name, isMissing=False)


def test_tma_cores_have_scores_of_their_own_and_the_slide_has_none(project: Path) -> None:
    cores = [core(shapely.box(0, 0, 205, 420), "A-1"), core(shapely.box(215, 0, 420, 420), "A-2")]
    set_regions(project, "strong", cores)
    refused = score_image(jobs(project)["strong"])
    assert refused.score is not None
    result = score_image(jobs(project, whole_tissue=True)["strong"])
    assert result.score is not None
    assert result.score.score is None
    assert result.score.refusal_code == "tma_cores"
    assert len(result.score.regions) == 2


def existing_cells(project: Path) -> list[dict[str, object]]:
    cells = []
    for y in range(30, 400, 26):
        for x in range(30, 400, 26):
            cells.append(feature(shapely.Point(x, y).buffer(11, 8), None, objectType="cell"))
    return cells


def own_cells(project: Path) -> list[dict[str, object]]:
    """Cells of another program that lie where our own do."""
    run = score_image(jobs(project)["strong"]).run_dir
    assert run is not None
    table = read_run(run)[1]
    assert table is not None
    return [
        feature(shapely.Polygon(table.outline(row)), None, objectType="cell") for row in range(len(table))
    ]


def test_existing_cells_keep_their_uuids(project: Path) -> None:
    cells = existing_cells(project)
    set_regions(project, "strong", [feature(shapely.box(0, 0, 420, 420)), *cells])
    result = score_image(jobs(project, cells="from-regions")["strong"])
    assert result.error is None
    assert result.run_dir is not None
    table = read_run(result.run_dir)[1]
    assert table is not None
    known = {UUID(str(cell["id"])).bytes for cell in cells}
    assert len(table) > 0
    assert {row.tobytes() for row in table.uuid} <= known


def test_from_regions_without_cells_names_the_flag(project: Path) -> None:
    result = score_image(jobs(project, cells="from-regions")["strong"])
    assert result.state == "failed"
    assert result.error is not None
    assert "--cells from-regions" in result.error


@pytest.mark.parametrize(
    "name", ["ein Größen-Fall (2)", 'it\'s "quoted"', "日本語", "a" * 120, "-dash", "a.b.c"]
)
def test_unusual_file_names_are_scored(project: Path, name: str) -> None:
    (project / "strong.ome.tif").rename(project / f"{name}.ome.tif")
    (project / "strong.geojson").rename(project / f"{name}.geojson")
    (job,) = plan_jobs(project, RunOptions(images=(f"{name}.ome.tif",))).jobs
    result = score_image(job)
    assert (result.state, result.name) == ("scored", f"{name}.ome.tif")
    assert result.run_dir is not None
    assert result.run_dir.parent.name.isascii()


def test_time_and_progress_are_reported(project: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    result: ImageResult = score_image(jobs(project)["strong"], progress=lambda *numbers: seen.append(numbers))
    assert result.seconds > 0
    assert seen
    assert seen[-1][0] == seen[-1][1]
    assert result.run_dir is not None
    assert orjson.loads((result.run_dir / "run.json").read_bytes())["timings_s"]["total"] > 0


def score_pulled(project: Path) -> ImageResult:
    (job,) = plan_jobs(project).jobs
    return score_image(job)


def test_a_rotated_crop_is_measured_in_its_own_frame(project: Path) -> None:
    pull_image(project)
    plain = score_pulled(project)
    assert plain.run_dir is not None
    _, whole, _ = read_run(plain.run_dir)
    shutil.rmtree(project / "her2")
    box = [40, 24, 360, 320]
    pull_image(project, chain=[{"crop": box}, {"rotate": 270}], width=320, height=360)
    turned = score_pulled(project)
    assert turned.run_dir is not None
    _, cells, _ = read_run(turned.run_dir)
    assert whole is not None
    assert cells is not None
    x, y = cells.centroid_xy.T
    inner = (x > 30) & (x < 290) & (y > 30) & (y < 330)
    assert inner.sum() > 100
    # Rotated back by a quarter turn, and back into the whole image.
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


def test_a_size_other_than_in_qupath_fails_and_names_both(project: Path) -> None:
    pull_image(project, width=419)
    result = score_pulled(project)
    assert result.state == "failed"
    assert "420 × 420 px here but 419 × 420 px in QuPath" in (result.error or "")


def test_found_tumour_is_scored_and_says_that_nobody_confirmed_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the 210 µm wide field, the left 120 µm are found, and of these a strip is ignored."""
    set_regions(project, "strong", [feature(shapely.box(0, 0, 420, 60), "Ignore*")])
    tumour_left_of(monkeypatch, 120.0)
    job = jobs(project, find_tumour=True)["strong"]
    result = score_image(job)
    assert (result.state, result.error) == ("scored", None)
    assert result.score is not None
    assert result.run_dir is not None
    assert result.score.reason.startswith(
        "3+ in tumour regions that the program proposed and nobody confirmed: "
    )
    assert result.score.warnings[0] == NOBODY_CONFIRMED
    record, table, _ = read_run(result.run_dir)
    assert record.warnings[0] == NOBODY_CONFIRMED
    assert record.settings["used"]["tumour_origin"] == "proposed"
    assert {(entry["class"], entry["role"]) for entry in record.regions} == {("Tumor?", "tumour")}
    assert all(is_ours(UUID(entry["uuid"])) for entry in record.regions)
    assert table is not None
    assert (table.centroid_xy[:, 0] < 250).all()
    assert (table.centroid_xy[:, 1] > 60).all()
    assert len(table) == result.score.n_cells
    assert table.column("HER2: Tumour probability") == pytest.approx(0.9, abs=0.05)
    report = write_report(project / "her2")
    first = "The tumour regions were proposed by the program and nobody confirmed them."
    page = report.html.read_text(encoding="utf-8")
    assert page.index(first) < page.index("Research use only. Not a medical device")
    assert "that the program proposed and nobody confirmed" in report.csv.read_text(encoding="utf-8-sig")
    (row, *_) = csv.DictReader(io.StringIO(report.regions_csv.read_text(encoding="utf-8-sig")))
    assert (row["kind"], row["class"]) == ("proposed region", "Tumor?")
    assert score_image(job).state == "up to date"


def test_existing_cells_are_searched_and_keep_their_uuids(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = own_cells(project)
    set_regions(project, "strong", cells)
    tumour_left_of(monkeypatch, 120.0)
    result = score_image(jobs(project, cells="from-regions", find_tumour=True)["strong"])
    assert (result.state, result.error) == ("scored", None)
    assert result.run_dir is not None
    record, table, _ = read_run(result.run_dir)
    assert table is not None
    regions = json.loads((result.run_dir / "regions.geojson").read_bytes())["features"]
    proposed = shapely.union_all([shapely.geometry.shape(one["geometry"]) for one in regions])
    held = {
        UUID(str(cell["id"])).bytes
        for cell in cells
        if proposed.contains(shapely.geometry.shape(cell["geometry"]).centroid)  # type: ignore[arg-type]
    }
    assert {row.tobytes() for row in table.uuid} == held
    assert 0 < len(held) < len(cells)
    assert {entry["class"] for entry in record.regions} == {"Tumor?"}


def test_found_tumour_is_rescored_to_the_same_bytes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "strong.geojson").unlink()
    tumour_left_of(monkeypatch, 120.0)
    job = jobs(project, find_tumour=True)["strong"]
    score_image(job)
    other = replace(job, settings=replace(job.settings, scoring=ScoringSettings(min_cells=20)))
    again, fresh = score_image(other), score_image(changed(other, force=True))
    assert again.run_dir is not None
    assert fresh.run_dir is not None
    assert again.score == fresh.score
    assert "nobody confirmed" in again.score.reason  # type: ignore[union-attr]
    for name in ("cells.npz", "score.json", "regions.geojson", "overlay.jpg"):
        assert (again.run_dir / name).read_bytes() == (fresh.run_dir / name).read_bytes()


def test_where_regions_were_drawn_nothing_is_searched_for(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = score_image(jobs(project)["strong"])
    tumour_left_of(monkeypatch, -1.0)
    asked = score_image(jobs(project, find_tumour=True)["strong"])
    assert plain.score is not None
    assert asked.score is not None
    assert asked.score == replace(plain.score, tags=(*plain.score.tags, DRAWN))


def test_no_tumour_found_is_a_refusal_of_its_own(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "strong.geojson").unlink()
    tumour_left_of(monkeypatch, -1.0)
    result = score_image(jobs(project, find_tumour=True)["strong"])
    assert result.state == "not assessable"
    assert result.score is not None
    assert result.run_dir is not None
    assert result.score.refusal_code == "no_tumour_found"
    assert result.score.reason.startswith("Not assessable: no tumour was found: of ")
    assert "draw a region around it and set its class to Tumor" in result.score.reason
    assert result.score.regions == {}
    assert read_record(result.run_dir).regions == ()


def test_an_accepted_proposal_is_scored_like_any_region(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands in the result, only its class changed: no trace of the search is left."""
    (project / "strong.geojson").unlink()
    tumour_left_of(monkeypatch, 120.0)
    found = score_image(jobs(project, find_tumour=True)["strong"])
    assert found.run_dir is not None
    content = json.loads((found.run_dir / "regions.geojson").read_bytes())
    for proposed in content["features"]:
        proposed["properties"]["classification"] = {"name": "Tumor"}
    (project / "strong.geojson").write_text(json.dumps(content))
    accepted = score_image(jobs(project)["strong"])
    assert accepted.state == "scored"
    assert accepted.score is not None
    assert found.score is not None
    assert set(accepted.score.regions) == {proposed["id"] for proposed in content["features"]}
    assert "nobody confirmed" not in accepted.score.reason
    assert NOBODY_CONFIRMED not in accepted.score.warnings
    assert accepted.run_dir is not None
    assert {entry["class"] for entry in read_record(accepted.run_dir).regions} == {"Tumor"}
    report = write_report(project / "her2")
    rows = csv.DictReader(io.StringIO(report.regions_csv.read_text(encoding="utf-8-sig")))
    assert {row["kind"] for row in rows} == {"annotation"}
