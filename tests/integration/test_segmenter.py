"""Cells with nuclei in a QuPath project become the reference masks that a segmenter is trained on."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.patches.manifest import read_manifest
from qupath_her2.patches.targets.stored_targets import read_targets
from qupath_her2.patches.targets.targets import BACKGROUND, IGNORE, MEMBRANE, NUCLEUS
from qupath_her2.project.exchange.existing_cell_files import read_existing_cells
from qupath_her2.project.exchange.runs import current_run, read_run
from tests.helpers.recipes import as_toml
from tests.integration.conftest import Study

pytestmark = [pytest.mark.qupath, pytest.mark.slow]
SIDE = 75
SETTINGS = {
    "patches": {
        "grid": {"patch_size_px": SIDE, "target_um_px": 0.5},
        "split": "by-patch",
        "segmentation": {"crop_px": 0},
    },
    "train": {"epochs": 1, "batch_size": 8, "micro_batch_size": 0},
}


def polygons(
    xy: NDArray[np.float32], offsets: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> list[shapely.Polygon]:
    """The outlines of some rows; rows without one are skipped."""
    rings = np.split(xy, offsets[1:-1])
    return [
        shapely.Polygon(ring)
        for ring, is_wanted in zip(rings, wanted, strict=True)
        if is_wanted and len(ring)
    ]


def test_from_cells_of_a_project_to_a_segmenter(field: Study) -> None:
    (field.folder / "her2.toml").write_text(as_toml(SETTINGS), encoding="utf-8")
    field.her2("pull", str(field.project), "--cells")
    done = field.her2("patches", str(field.project), "--recipe", "her2net")
    assert "64 patches of 1 images" in done.stdout, done.stdout + done.stderr
    folder = field.folder / "her2" / "patches" / "her2net"
    manifest = read_manifest(folder)
    targets = read_targets(folder, manifest)
    seen = targets.read(np.arange(len(manifest)))
    # Areas of QuPath's own outlines by shapely: overlaps count once, and membranes cover nuclei.
    (path,) = (field.folder / "her2" / "regions").glob("*.cells.npz")
    cells = read_existing_cells(path)
    outlines = polygons(cells.cell_xy, cells.cell_offsets, cells.is_cell)
    nuclei = polygons(cells.nucleus_xy, cells.nucleus_offsets, cells.is_cell)
    bands = shapely.union_all([outline.boundary.buffer(1.0) for outline in outlines])
    filled = shapely.union_all(nuclei).difference(bands)
    frame = shapely.box(0, 0, 600, 600)
    assert (seen == MEMBRANE).sum() == pytest.approx(bands.intersection(frame).area, rel=0.02)
    assert (seen == NUCLEUS).sum() == pytest.approx(filled.intersection(frame).area, rel=0.02)
    # The whole image is a tumour region; only the inside of cells without a nucleus is unlabelled.
    assert 0 < (seen == IGNORE).mean() < 0.1
    assert (seen == BACKGROUND).any()

    train = ("train", str(field.project), "--recipe", "her2net", "--model", "unet", "--width", "2")
    done = field.her2(*train, "--name", "net", "--device", "cpu")
    assert "Each class against the rest" in done.stdout
    _, card = load_checkpoint(field.folder / "her2" / "models" / "net" / "best")
    assert (card.task, card.patch_size_px, card.data_hash != "") == ("segmentation", SIDE, True)
    # Resuming a finished training changes nothing.
    weights = (field.folder / "her2" / "models" / "net" / "best.safetensors").read_bytes()
    field.her2(*train, "--name", "net", "--device", "cpu")
    assert (field.folder / "her2" / "models" / "net" / "best.safetensors").read_bytes() == weights


def test_the_recipes_own_network_goes_round_qupath(field: Study) -> None:
    """Her2Net at full width after one epoch (the paper took a week): what it finds comes back, even nothing."""
    (field.folder / "her2.toml").write_text(as_toml(SETTINGS), encoding="utf-8")
    field.her2("pull", str(field.project), "--cells")
    field.her2("train", str(field.project), "--recipe", "her2net", "--name", "own", "--device", "cpu")
    checkpoint = field.folder / "her2" / "models" / "own" / "best"
    _, card = load_checkpoint(checkpoint)
    assert (card.model, card.recipe) == ("her2net", "her2net")
    field.her2("run", str(field.project), "--cells", f"her2net:{checkpoint}", "--images", "plain*")
    run_dir = current_run(field.folder / "her2", "1_plain")
    assert run_dir is not None
    record, cells, score = read_run(run_dir)
    assert cells is not None
    (image,) = [one for one in field.look() if one["name"] == "plain.tif"]
    drawn = {one["id"].replace("-", "") for one in image["objects"] if one["kind"] == "PathCellObject"}
    assert drawn == {row.tobytes().hex() for row in cells.uuid}
    assert image["metadata"]["HER2 run"] == record.run
    assert image["metadata"]["HER2 score"] == (score.score or "not assessable")
