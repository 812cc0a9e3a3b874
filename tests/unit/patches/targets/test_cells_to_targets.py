"""Windows for a segmenter: cells pulled from QuPath and the same cells of a run give the same pixel labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from qupath_her2.cli import app
from qupath_her2.patches.cutting.cut_windows import cut_windows
from qupath_her2.patches.cutting.grid import GridSettings
from qupath_her2.patches.datasets.sources import project_source
from qupath_her2.patches.manifest import PatchManifest, read_manifest
from qupath_her2.patches.settings import PatchSettings
from qupath_her2.patches.targets.settings import SegmentationSettings
from qupath_her2.patches.targets.stored_targets import Targets, read_targets
from qupath_her2.patches.targets.targets import IGNORE, NUCLEUS, TARGET_CLASSES, TargetFrame, cell_target
from qupath_her2.patches.tasks import find_task
from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.score_image import score_image
from tests.helpers.pulled_project import pull_image
from tests.unit.project.exchange.test_existing_cell_files import write

SIDE = 70


def cut(project: Path, her2: Path, truth: str) -> tuple[PatchManifest, Targets]:
    dense = SegmentationSettings(truth=truth, crop_px=0)  # type: ignore[arg-type]
    settings = PatchSettings(
        task="segmentation", grid=GridSettings(SIDE, 0.5), split="none", segmentation=dense
    )
    source = project_source(project, task=find_task("segmentation"))
    return cut_windows(source, settings, her2=her2)


def test_cells_of_a_run_and_pulled_cells_make_the_same_windows(project: Path) -> None:
    her2 = pull_image(project)
    score_image(plan_jobs(project).jobs[0])
    place = current_run(her2, "1_strong")
    assert place is not None
    _, cells, _ = read_run(place)
    assert cells is not None
    manifest, targets = cut(project, her2, "results")
    assert len(manifest) == 36
    seen = targets.read(np.arange(36))
    # The whole frame is a tumour region with cells in it: everything is known but cells without a nucleus.
    assert (seen != IGNORE).mean() > 0.9
    whole = cell_target(cells, TargetFrame(0, 0, 420, 420, 0.5), labelled=None)
    for window, (x, y, w, h) in zip(seen, manifest.box_xywh.tolist(), strict=True):
        assert np.array_equal(window == NUCLEUS, whole[y : y + h, x : x + w] == NUCLEUS)

    write(
        her2 / "regions" / "1_strong.cells.npz",
        {
            "uuid": cells.uuid,
            "cell_xy": cells.cell_xy,
            "cell_offsets": cells.cell_offsets,
            "nucleus_xy": cells.nucleus_xy,
            "nucleus_offsets": cells.nucleus_offsets,
            "cell_class": np.full(len(cells), -1, "<i4"),
            "is_cell": np.ones(len(cells), np.uint8),
            "measurements": np.zeros((len(cells), 0), np.float32),
        },
        {"format": 1, "classes": [], "measurements": []},
    )
    pulled, of_pulled = cut(project, her2, "auto")
    assert np.array_equal(pulled.box_xywh, manifest.box_xywh)
    assert np.array_equal(of_pulled.read(np.arange(36)), seen)

    words = [
        "patches",
        str(project),
        "--recipe",
        "her2net",
        "--truth",
        "cells",
        "--crop",
        "0",
        "--size",
        "70",
    ]
    done = CliRunner().invoke(app, [*words, "--um-px", "0.5", "--split", "none", "--progress", "off"])
    assert done.exit_code == 0, done.output
    folder = her2 / "patches" / "her2net"
    again = read_manifest(folder)
    assert np.array_equal(read_targets(folder, again).read(np.arange(36)), seen)
    assert again.class_names == TARGET_CLASSES
