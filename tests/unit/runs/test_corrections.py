"""Corrections from QuPath in a whole run: cells count as a person left them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import CELL_CLASSES, CellTable, ImageResult, SlideScore
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import find_settings, plan_jobs
from qupath_her2.runs.rescore import rescore_folder
from qupath_her2.runs.score_image import score_image
from tests.helpers.pulled_project import pull_image

SENTENCE = "10 cells you changed and 3 you deleted are counted as you left them."


def h_score(classes: np.ndarray) -> float:
    """Return the H-score as QuPath computes it from the classes of its cells."""
    return 100 * float(classes.sum()) / len(classes)


def read(result: ImageResult) -> tuple[CellTable, SlideScore]:
    assert result.run_dir is not None
    _, table, score = read_run(result.run_dir)
    assert table is not None
    return table, score


@dataclass
class Corrected:
    """A scored image and what a person made of it: ten cells one class higher or lower, three deleted."""

    project: Path
    her2: Path
    before: ImageResult

    def score(self) -> ImageResult:
        (job,) = plan_jobs(self.project).jobs
        return score_image(job)

    def write(self, changed: dict[int, str | None], deleted: list[int]) -> None:
        table, _ = read(self.before)
        features: list[dict[str, Any]] = []
        for row in [*changed, *deleted]:
            ring = table.cell_xy[table.cell_offsets[row] : table.cell_offsets[row + 1]].astype(float)
            geometry = {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}
            properties: dict[str, Any] = {"change": "deleted"}
            if row in changed:
                properties = {"change": "class", "class": changed[row], "centroid": ring.mean(0).tolist()}
            features.append({"type": "Feature", "id": None, "geometry": geometry, "properties": properties})
        path = self.her2 / "regions" / "1_strong.corrections.geojson"
        path.write_bytes(orjson.dumps({"type": "FeatureCollection", "features": features}))


@pytest.fixture
def image(project: Path) -> Corrected:
    her2 = pull_image(project)
    (job,) = plan_jobs(project).jobs
    return Corrected(project, her2, score_image(job))


def other_classes(table: CellTable) -> dict[int, str | None]:
    """Return ten cells with the next class, 3+ becoming negative."""
    return {row: CELL_CLASSES[(int(table.cell_class[row]) + 1) % 4] for row in range(20, 120, 10)}


def test_cells_count_as_a_person_left_them(image: Corrected) -> None:
    table, score = read(image.before)
    changed, deleted = other_classes(table), [33, 44, 55]
    image.write(changed, deleted)
    expected = table.cell_class.copy()
    for row, name in changed.items():
        expected[row] = CELL_CLASSES.index(str(name))
    expected = np.delete(expected, deleted)

    after = image.score()
    assert after.state == "scored"
    found, corrected = read(after)
    assert np.array_equal(found.cell_class, expected)
    assert corrected.n_cells == score.n_cells - 3
    assert corrected.h_score == pytest.approx(h_score(expected), abs=1e-9)
    assert corrected.h_score != score.h_score
    assert SENTENCE in corrected.reason
    assert SENTENCE not in score.reason
    (region,) = corrected.regions.values()
    assert region.h_score == corrected.h_score
    # The same corrections again change nothing; without them the first result returns.
    assert image.score().state == "up to date"
    (image.her2 / "regions" / "1_strong.corrections.geojson").unlink()
    restored = image.score()
    assert read(restored)[1] == score


def test_corrected_classes_survive_another_guideline(image: Corrected) -> None:
    table, _ = read(image.before)
    changed = other_classes(table)
    image.write(changed, [])
    found, _ = read(image.score())
    settings = find_settings(image.project, None, {"scoring": {"guideline": "gastric-resection"}})
    _, (again,) = rescore_folder(image.project, RunOptions(), settings)
    rescored, score = read(again)
    assert "gastric" in score.guideline.lower()
    for row, name in changed.items():
        assert rescored.cell_class[row] == CELL_CLASSES.index(str(name))
    assert len(rescored) == len(found)
    assert "10 cells you changed are counted as you left them." in score.reason


def test_a_cell_of_another_class_is_no_tumour_cell(image: Corrected) -> None:
    image.write({40: "Stroma", 50: None}, [])
    found, score = read(image.score())
    assert len(found) == len(read(image.before)[0]) - 2
    assert "2 cells you changed are counted as you left them." in score.reason


def test_damaged_corrections_stop_the_image_and_keep_the_score(image: Corrected) -> None:
    path = image.her2 / "regions" / "1_strong.corrections.geojson"
    path.write_text("{", encoding="utf-8")
    (job,) = plan_jobs(image.project).jobs
    failed = score_image(job)
    assert failed.state == "failed"
    assert "corrections" in (failed.error or "")
    with pytest.raises(ExchangeError):
        score_image(replace(job, options=replace(job.options, debug=True)))
    assert image.before.run_dir is not None
    assert (image.before.run_dir.parent / "current.json").is_file()
