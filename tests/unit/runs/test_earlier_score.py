"""An earlier score stands where other cells of the same picture could not be scored."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from qupath_her2.config import Settings
from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.report.build import write_report
from qupath_her2.runs.cell_sources import CellSource
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.rescore import rescore_folder
from qupath_her2.runs.score_image import score_image

EXISTING = CellsMethod(CellSource("from-regions"))


def job(project: Path, **options: object) -> ScoreJob:
    return plan_jobs(project, RunOptions(images=("strong*",), **options)).jobs[0]  # type: ignore[arg-type]


@pytest.fixture
def few_cells(project: Path) -> Path:
    """The project, with five existing cells beside the drawn region of ``strong``."""
    path = project / "strong.geojson"
    content = json.loads(path.read_text(encoding="utf-8"))
    for number in range(5):
        x = 120 + 30 * number
        ring = [[x, 200], [x + 16, 200], [x + 16, 216], [x, 216], [x, 200]]
        content["features"].append(
            {
                "type": "Feature",
                "id": f"20000000-0000-4000-8000-{number:012d}",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"objectType": "cell"},
            }
        )
    path.write_text(json.dumps(content), encoding="utf-8")
    return project


def test_refusal_of_existing_cells_leaves_the_earlier_score(few_cells: Path) -> None:
    first = score_image(job(few_cells))
    assert first.score is not None
    assert first.score.score == "3+"
    assert (first.earlier, first.is_current) == ("", True)

    for state in ("not assessable", "up to date", "not assessable"):
        refused = score_image(job(few_cells, method=EXISTING, force=state == "not assessable"))
        assert refused.state == state
        assert refused.score is not None
        assert refused.score.refusal_code == "too_few_cells"
        assert refused.earlier == f"The earlier score 3+ of {date.today().isoformat()} was left as it was."
        assert not refused.is_current
        # The refusal is stored as well, with its own cells and reason.
        assert refused.run_dir is not None
        assert read_run(refused.run_dir)[2].score is None
        assert current_run(few_cells / "her2", refused.image) == first.run_dir

    table = write_report(few_cells / "her2").html.with_name("summary.csv").read_text(encoding="utf-8-sig")
    (row,) = [line for line in table.splitlines() if line.startswith("strong")]
    assert "3+" in row.split(",")
    again = score_image(job(few_cells))
    assert (again.state, again.run_dir) == ("up to date", first.run_dir)


def test_refusal_without_an_earlier_score_counts(few_cells: Path) -> None:
    refused = score_image(job(few_cells, method=EXISTING))
    assert (refused.state, refused.earlier, refused.is_current) == ("not assessable", "", True)
    assert current_run(few_cells / "her2", refused.image) == refused.run_dir
    # A score replaces a refusal.
    scored = score_image(job(few_cells))
    assert (scored.state, scored.is_current) == ("scored", True)
    assert current_run(few_cells / "her2", scored.image) == scored.run_dir


def test_locked_and_renamed_regions_are_the_same(few_cells: Path) -> None:
    """QuPath's cell detection locks the annotation that it runs in."""
    first = score_image(job(few_cells))
    path = few_cells / "strong.geojson"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["features"][0]["properties"] |= {"isLocked": True, "name": "mine"}
    path.write_text(json.dumps(content), encoding="utf-8")
    refused = score_image(job(few_cells, method=EXISTING))
    assert (refused.state, refused.is_current) == ("not assessable", False)
    assert current_run(few_cells / "her2", refused.image) == first.run_dir


@pytest.mark.parametrize("change", ["regions", "pixel size"])
def test_earlier_score_of_another_state_does_not_stand(few_cells: Path, change: str) -> None:
    first = score_image(job(few_cells))
    options: dict[str, object] = {"method": EXISTING}
    if change == "regions":
        path = few_cells / "strong.geojson"
        content = json.loads(path.read_text(encoding="utf-8"))
        content["features"][0]["geometry"]["coordinates"][0] = [
            [40, 40],
            [380, 40],
            [380, 380],
            [40, 380],
            [40, 40],
        ]
        path.write_text(json.dumps(content), encoding="utf-8")
    else:
        options["pixel_size_um"] = 0.4
    refused = score_image(job(few_cells, **options))
    assert refused.state == "not assessable"
    assert (refused.earlier, refused.is_current) == ("", True)
    assert current_run(few_cells / "her2", refused.image) == refused.run_dir != first.run_dir


def test_damaged_earlier_run_is_no_score(few_cells: Path) -> None:
    first = score_image(job(few_cells))
    assert first.run_dir is not None
    (first.run_dir / "score.json").write_text("{", encoding="utf-8")
    refused = score_image(job(few_cells, method=EXISTING))
    assert (refused.state, refused.earlier, refused.is_current) == ("not assessable", "", True)


def test_another_guideline_than_before_is_said(project: Path) -> None:
    first = score_image(job(project))
    assert first.score is not None
    assert "Guideline: ASCO/CAP breast 2018/2023 (default)." in first.score.reason
    assert first.earlier == ""
    gastric = score_image(job(project, guideline="gastric-biopsy"))
    said = (
        "Another guideline than before: CAP/ASCP/ASCO gastric 2016, biopsy (chosen for this image) instead of "
        "ASCO/CAP breast 2018/2023 (default) (3+ before, 3+ now)."
    )
    assert gastric.earlier == said
    # Also where the earlier run is found as stored.
    back = score_image(job(project))
    assert (back.state, back.run_dir) == ("up to date", first.run_dir)
    assert back.earlier.startswith(
        "Another guideline than before: ASCO/CAP breast 2018/2023 (default) instead of"
    )
    (again,) = rescore_folder(project, RunOptions(images=("strong*",), guideline="csco-2021"), Settings())[1]
    assert again.earlier.startswith("Another guideline than before: CSCO breast 2021 (chosen for this image)")
    assert score_image(job(project, guideline="csco-2021")).earlier == ""
