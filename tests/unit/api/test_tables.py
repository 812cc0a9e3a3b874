from __future__ import annotations

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

import qupath_her2 as qh
from qupath_her2.api.tables import manifest_frame, patch_frame
from qupath_her2.errors import MissingExtraError
from qupath_her2.patches.manifest import ManifestImage, PatchManifest
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import NOT_MEASURED, PatchTable

pytest.importorskip("pandas")


@pytest.fixture
def result(project: Path) -> qh.ImageResult:
    (found,) = qh.run(project, images=("strong*",))
    return found


def test_one_row_per_cell_with_its_measurements(result: qh.ImageResult) -> None:
    assert result.run_dir is not None
    _, table, _ = read_run(result.run_dir)
    assert table is not None
    cells = qh.read_cells(result)
    assert cells.equals(qh.read_cells(str(result.run_dir)))
    assert len(cells) == len(table)
    assert UUID(cells.index[3]).bytes == table.uuid[3].tobytes()
    assert np.array_equal(
        cells["HER2: Membrane completeness"], table.column("HER2: Membrane completeness"), equal_nan=True
    )
    assert cells["x_px"].to_numpy() == pytest.approx(table.centroid_xy[:, 0])
    shares = cells["class"].value_counts(normalize=True)
    assert result.score is not None
    assert shares["Tumor: 3+"] == pytest.approx(result.score.shares["Tumor: 3+"])
    assert int(cells["class"].isna().sum()) == int((table.cell_class == NOT_MEASURED).sum())


def test_outlines_as_a_geodataframe(result: qh.ImageResult) -> None:
    pytest.importorskip("geopandas")
    cells = qh.read_cells(result, frame="geopandas")
    assert cells.geometry.area.min() > 0
    assert (cells["nucleus"].area < cells.geometry.area * 1.01).all()
    assert cells.geometry.centroid.distance(cells["nucleus"].centroid).median() < 8


def test_without_geopandas_the_pip_line_is_given(
    result: qh.ImageResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install .qupath-her2\[frames\]."):
        qh.read_cells(result, frame="geopandas")


def test_a_result_without_a_run_raises_her2error(project: Path) -> None:
    failed = qh.ImageResult("a", "a.tif", "failed", error="the file is empty")
    with pytest.raises(qh.Her2Error, match=r"'a\.tif' has no finished run: the file is empty"):
        qh.read_cells(failed)


def test_patches_of_a_manifest_and_of_a_prediction(tmp_path: Path) -> None:
    images = tuple(
        ManifestImage(f"{i}", f"{i}.png", tmp_path / f"{i}.png", f"c{i}", 0.5, 99, 99, (), "") for i in (0, 1)
    )
    boxes = np.array([[0, 0, 8, 8], [8, 0, 8, 8], [0, 8, 8, 8]], np.int32)
    manifest = PatchManifest(
        np.array([0, 1, 1], np.int32), boxes, np.array([1, 0, -1], np.int16), np.array([1, 0.5, 0], np.float32),
        np.zeros((3, 16), np.uint8), np.array([0, 2, -1], np.int8), images, ("low", "high"), 8, 0.5, "t", {}, {},
    )  # fmt: skip
    frame = manifest_frame(manifest)
    assert frame["label"].astype(object).where(frame["label"].notna(), None).tolist() == ["high", "low", None]
    assert frame["split"].astype(object).where(frame["split"].notna(), None).tolist() == [
        "train",
        "test",
        None,
    ]
    assert frame["case"].tolist() == ["c0", "c1", "c1"]
    assert frame[["x", "y", "width", "height"]].to_numpy().tolist() == boxes.tolist()
    table = PatchTable(
        np.zeros((3, 16), np.uint8), boxes, np.zeros(3, np.int32),
        np.array([[0.2, 0.8], [0.9, 0.1], [np.nan, np.nan]], np.float32),
        np.array([1, 0, NOT_MEASURED], np.uint8), ("HER2 patch low", "HER2 patch high"),
    )  # fmt: skip
    predicted = patch_frame(table)
    assert predicted["class"].tolist()[:2] == ["HER2 patch high", "HER2 patch low"]
    assert predicted["class"].isna().tolist() == [False, False, True]
    assert predicted["HER2 patch high"].to_numpy()[:2] == pytest.approx([0.8, 0.1])
