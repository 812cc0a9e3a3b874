"""Heat maps of a prediction as QuPath finds and reads them; tests/gui tests how its window shows them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.project.exchange.images import PREDICTIONS
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.runs import new_run, read_record
from qupath_her2.records import PatchTable, Prediction
from qupath_her2.report.heat import HeatPlanes, heat_planes, map_slice
from qupath_her2.runs.methods.patch_maps import CamMap, overlay_files
from tests.groovy.conftest import HERE, PATIENCE_S
from tests.groovy.studies import HEIGHT, WIDTH, Study
from tests.groovy.test_writeback_patches import drawn_patches
from tests.helpers.qupath import QuPath

pytestmark = [pytest.mark.qupath, pytest.mark.slow]


def with_maps(study: Study) -> tuple[Path, PatchTable, dict[str, bytes]]:
    """A prediction with a heat map and a Grad-CAM map, as the image's current run."""
    table = drawn_patches(7)
    said = Prediction("net", "her2-4", "3+", {"0": 0.25, "3+": 0.75}, len(table), "mean of patches")
    run = study.write_run(7, patches=table, prediction=said)
    cam = CamMap("3+", HeatPlanes(("3+",), np.full((1, 30, 40), 0.5, np.float32), 10.0), b"jpeg")
    files = overlay_files(table, (WIDTH, HEIGHT), 0.5, cam)
    record = read_record(run)
    with (
        lock_image(study.her2 / PREDICTIONS, study.image) as lock,
        new_run(lock, record.input_hash) as writer,
    ):
        for name in record.files:
            writer.write(name, (run / name).read_bytes())
        for name, data in files.items():
            writer.write(name, data)
        writer.finish(record)
    return writer.final, table, files


def test_maps_are_found_and_maps_of_another_image_are_refused(study: Study) -> None:
    assert "There is no heat map of this image" in study.run("show_heat_map.groovy")
    run, table, _ = with_maps(study)
    before = study.data.read_bytes()
    said = study.run("show_heat_map.groovy")
    last = table.class_names[-1]
    assert re.findall("^HER2_.*$", said, re.MULTILINE) == [
        "HER2_SHOW_HEAT_MAP_OK maps=2 shown=none, there is no window "
        f"of=[Probability of {last}, Grad-CAM for 3+]"
    ]
    assert study.data.read_bytes() == before
    path = run / "run.json"
    content = json.loads(path.read_bytes())
    content["image"]["width"] = WIDTH + 1
    path.write_text(json.dumps(content))
    refused = study.run("show_heat_map.groovy")
    assert (
        f"were made for an image of {WIDTH + 1} x {HEIGHT} px, but this image has {WIDTH} x {HEIGHT} px"
        in refused
    )


def test_qupath_reads_the_pyramid_as_it_was_written(study: Study, qupath: QuPath, tmp_path: Path) -> None:
    run, table, _ = with_maps(study)
    heat = heat_planes(table, WIDTH, HEIGHT)
    known = int(np.flatnonzero(np.isfinite(table.probabilities).all(axis=1))[-1])
    rows, columns = map_slice(table.box_xywh[known], heat.step)
    at = (columns.start, rows.start)
    words = [word for one in (run / "heatmap.ome.tif", *at) for word in ("--args", str(one))]
    done = qupath.run(HERE / "read_heat.groovy", *words, private=tmp_path / "heat", timeout_s=PATIENCE_S)
    said = re.findall("^HEAT (.*)$", done.stdout, re.MULTILINE)
    high, wide = heat.values.shape[1:]
    assert said[0] == f"size {wide} {high}", done.stdout + done.stderr
    assert float(said[1].split()[1]) == pytest.approx(0.5 * heat.step)
    assert said[3] == "type FLOAT32"
    for line, name, value in zip(said[4:], heat.names, heat.values[:, at[1], at[0]], strict=True):
        _, _, found, shown = line.split(" ", 3)
        assert shown == name
        assert float(found) == pytest.approx(float(value), abs=1e-6)
