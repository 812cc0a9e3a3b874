"""The result of a run in JSON: numbers in per cent, refusals without numbers, and the layers that the run has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import shapely

from qupath_her2.errors import ExchangeError
from qupath_her2.records import CutArea, Prediction
from qupath_her2.report.heat import OVERLAYS, Overlay, overlays_json
from qupath_her2.runs.cut_areas import cut_entries
from qupath_her2.server.job_files import JobFiles
from qupath_her2.server.run_summary import cut_geojson, pictures_of_run, run_summary
from qupath_her2.server.stored_cells import StoredRun, StoredRuns

SQUARE = shapely.box(10, 10, 30, 20)


@pytest.fixture
def run(scored_files: JobFiles) -> StoredRun:
    assert scored_files.run_dir is not None
    return StoredRuns().read(scored_files.run_dir)


def with_record(run: StoredRun, **changes: Any) -> StoredRun:
    return replace(run, record=replace(run.record, **changes))


def summary(run: StoredRun, folder: Path) -> dict[str, Any]:
    made = run_summary(run, folder, "a.svs")
    return orjson.loads(orjson.dumps(made))


def test_a_refused_slide_has_a_reason_and_no_numbers(run: StoredRun, tmp_path: Path) -> None:
    refused = replace(
        run.score, status="not assessable", score=None, reason="Out of focus.", refusal_code="blurred"
    )
    result = summary(replace(run, score=refused), tmp_path)
    assert (result["answer"], result["refusal_code"]) == ("not assessable", "blurred")
    assert (result["shares"], result["intervals"], result["h_score"]) == ({}, {}, None)


def test_a_prediction_names_its_network(run: StoredRun, tmp_path: Path) -> None:
    found = Prediction("net", "her2-status", "positive", {"negative": 0.2, "positive": 0.8}, 31, "mean")
    predicted = replace(run.score, status="predicted", score=None, prediction=found)
    result = summary(replace(run, score=predicted), tmp_path)
    assert result["answer"] == "positive"
    assert result["prediction"]["probabilities"] == {"negative": 0.2, "positive": 0.8}


def test_layers_are_what_the_run_has(run: StoredRun, tmp_path: Path) -> None:
    (tmp_path / OVERLAYS).write_bytes(
        overlays_json(
            [
                Overlay("Probability of 3+", "heatmap.png", 0, 0, 400, 300),
                Overlay("x", "/etc/hosts", 0, 0, 1, 1),
            ]
        )
    )
    used = {**run.record.settings["used"], "cut": cut_entries([CutArea("pen", SQUARE, 3)])}
    has_all = with_record(
        run, files={OVERLAYS: "", "heatmap.png": ""}, settings={**run.record.settings, "used": used}
    )
    layers = summary(has_all, tmp_path)["layers"]
    assert [layer["id"] for layer in layers] == ["heatmap.png", "regions", "cut", "cells"]
    assert (layers[0]["name"], layers[0]["width"], layers[0]["height"]) == ("Probability of 3+", 400, 300)
    # A file that is not the run's own is never named, whatever its table of pictures says.
    assert [overlay.file for overlay in pictures_of_run(has_all, tmp_path)] == ["heatmap.png"]
    (feature,) = orjson.loads(cut_geojson(has_all))["features"]
    assert shapely.geometry.shape(feature["geometry"]).equals(SQUARE)
    assert feature["properties"] == {"name": "pen", "n_cells": 3}


def test_cells_by_tumour_probability_are_a_layer_where_one_was_measured(
    run: StoredRun, tmp_path: Path
) -> None:
    names = ("HER2: Tumour probability", *run.cells.measurement_names)
    column = np.full((len(run.cells), 1), np.nan, np.float32)
    for value, expected in ((np.nan, False), (0.5, True)):
        column[3] = value
        table = replace(
            run.cells, measurement_names=names, measurements=np.hstack([column, run.cells.measurements])
        )
        layers = summary(replace(run, cells=table), tmp_path)["layers"]
        assert ("tumour" in [layer["id"] for layer in layers]) is expected


def test_a_run_without_cells_and_regions_has_no_layers(run: StoredRun, tmp_path: Path) -> None:
    none = replace(
        run.cells,
        uuid=run.cells.uuid[:0],
        cell_class=run.cells.cell_class[:0],
        measurements=run.cells.measurements[:0],
    )
    empty = with_record(replace(run, cells=none), regions=(), unscored=())
    assert summary(empty, tmp_path)["layers"] == []


def test_a_damaged_cut_is_said(run: StoredRun) -> None:
    damaged = with_record(run, settings={"used": {"cut": [{"kind": "pen"}]}})
    with pytest.raises(ExchangeError, match="'cut' is damaged"):
        cut_geojson(damaged)
