"""The method ``cells``: what its measurement depends on, identities of cells, and loading of stored cells."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.config import Settings
from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.provenance import are_ours
from qupath_her2.records import NOT_MEASURED, CaseInfo, ImageResult
from qupath_her2.runs.cell_sources import CellSource
from qupath_her2.runs.methods.cells import CellsMethod, load_measured_cells, score_measured_cells
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.score_image import score_image
from qupath_her2.scoring.score_cells import ScoringSettings

HASH = "12" * 32


@pytest.fixture
def scored(project: Path) -> ImageResult:
    job = next(job for job in plan_jobs(project).jobs if job.name.startswith("strong"))
    return score_image(job)


def test_every_source_is_recorded_under_its_name() -> None:
    assert CellsMethod().record(None) == {"method": "cells", "network": None, "cells": "detect"}
    plugin = CellsMethod(CellSource("plugin", plugin="stardist"))
    assert plugin.record(None)["cells"] == "stardist"
    assert [CellsMethod(CellSource(kind)).uses_existing_cells for kind in ("detect", "from-regions")] == [
        False,
        True,
    ]
    assert CellsMethod().measurement_settings(Settings(), None) == {"cells": Settings().cells}


def test_stored_cells_score_as_they_were_scored(project: Path, scored: ImageResult) -> None:
    assert scored.run_dir is not None
    job = next(job for job in plan_jobs(project).jobs if job.name.startswith("strong"))
    record, table, score = read_run(scored.run_dir)
    loaded = load_measured_cells(scored.run_dir, record, table, score)
    assert loaded is not None
    cells, context = loaded
    finished = score_measured_cells(
        cells, context, case=job.ref.case, scoring=job.settings.scoring, input_hash=record.input_hash
    )
    assert finished.score == score
    assert table is not None
    assert np.array_equal(finished.table.cell_class, table.cell_class)
    assert np.array_equal(finished.table.uuid, table.uuid)


def test_our_cells_get_uuids_of_the_run_and_existing_cells_keep_theirs(scored: ImageResult) -> None:
    assert scored.run_dir is not None
    record, table, score = read_run(scored.run_dir)
    assert table is not None
    loaded = load_measured_cells(scored.run_dir, record, table, score)
    assert loaded is not None
    cells, context = loaded
    uuid = cells.table.uuid.copy()
    brought = UUID("0b2f5c1e-9f0a-4c9e-8a57-33d2f1c0a001").bytes
    uuid[0] = np.frombuffer(brought, np.uint8)
    uuid[1] = 0
    mixed = replace(cells, table=replace(cells.table, uuid=uuid))
    found = score_measured_cells(
        mixed, context, case=CaseInfo(), scoring=ScoringSettings(), input_hash=HASH
    ).table.uuid
    assert found[0].tobytes() == brought
    assert are_ours(found[1:]).all()
    assert len(np.unique(found, axis=0)) == len(found)
    # Another run, another hash in each UUID.
    assert not (found[1:] == uuid[1:]).all(axis=1).any()


def test_refused_and_damaged_runs_hold_no_cells(scored: ImageResult) -> None:
    assert scored.run_dir is not None
    record, table, score = read_run(scored.run_dir)
    assert load_measured_cells(scored.run_dir, record, None, score) is None
    refused = replace(score, refusal_code="blurred")
    assert load_measured_cells(scored.run_dir, record, table, refused) is None
    too_few = replace(score, refusal_code="too_few_cells")
    assert load_measured_cells(scored.run_dir, record, table, too_few) is not None
    without = replace(
        record, settings={key: value for key, value in record.settings.items() if key != "used"}
    )
    with pytest.raises(ExchangeError, match=r"is damaged \('used'\).*--force"):
        load_measured_cells(scored.run_dir, without, table, score)


def test_pieces_of_membranes_are_said_in_the_sentence_and_after_another_guideline(
    project: Path, scored: ImageResult
) -> None:
    assert scored.run_dir is not None
    table = read_run(scored.run_dir)[1]
    assert table is not None
    path = project / "strong.geojson"
    content = json.loads(path.read_text(encoding="utf-8"))
    rings = [table.outline(row).astype(float) for row in range(len(table))]
    pieces = [shapely.Point(ring[len(ring) * k // 4]).buffer(3) for ring in rings for k in range(3)]
    for number, shape in enumerate([*map(shapely.Polygon, rings), *pieces]):
        content["features"].append(
            {
                "type": "Feature",
                "id": str(UUID(int=number + 1, version=4)),
                "geometry": shapely.geometry.mapping(shape),
                "properties": {"objectType": "cell"},
            }
        )
    path.write_text(json.dumps(content), encoding="utf-8")
    options = RunOptions(images=("strong*",), method=CellsMethod(CellSource("from-regions")))
    result = score_image(plan_jobs(project, options).jobs[0])
    assert result.run_dir is not None
    record, found, score = read_run(result.run_dir)
    assert found is not None
    n_empty = int((found.cell_class == NOT_MEASURED).sum())
    assert score.n_cells == len(found) - n_empty
    assert n_empty > len(rings)
    sentence = f"{n_empty:,} existing cells without a nucleus are not counted. Research use only."
    assert score.reason.endswith(sentence)
    assert [line for line in score.warnings if "not counted" in line] == [
        line for line in score.warnings if "hold no nucleus" in line
    ]

    cells = load_measured_cells(result.run_dir, record, found, score)
    assert cells is not None
    gastric = CaseInfo(site="gastric")
    again = score_measured_cells(*cells, case=gastric, scoring=ScoringSettings(), input_hash=HASH).score
    assert again.n_cells == score.n_cells
    assert "gastric" in again.guideline
    assert again.reason.endswith(sentence)
    assert len([line for line in again.warnings if "not counted" in line]) == 1
