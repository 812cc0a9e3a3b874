"""Plug-in detectors: a small package is installed for real, found by its entry point, and finds the cells of a run."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.detectors import cellpose, instanseg, stardist
from qupath_her2.cells.detectors.cellpose import CellposeDetector
from qupath_her2.cells.detectors.instanseg import InstanSegDetector
from qupath_her2.cells.detectors.plugins import detector_names, load_detector
from qupath_her2.cells.detectors.stardist import StarDistDetector
from qupath_her2.cells.nuclei.detection import CellDetector, Tile
from qupath_her2.errors import MissingExtraError, SettingsError
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.runs.cell_sources import CellSource, cell_source
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.score_image import score_image

#: Finds blue blobs by a threshold: poor as a detector, but one that knows nothing of this package's own.
FAKE = """
    import cv2
    import numpy as np
    from qupath_her2.cells.detectors.label_image import nuclei_from_labels

    class BlueBlobs:
        name = "blue-blobs 1.2"

        def __init__(self, limit=0.25):
            self.limit = limit

        def prepared(self, samples):
            return BlueBlobs(float(np.percentile(np.concatenate([s.planes.nuclear.ravel() for s in samples]), 80)))

        def detect(self, tile):
            mask = (cv2.GaussianBlur(tile.planes.nuclear, (0, 0), 2) > self.limit).astype(np.uint8)
            return nuclei_from_labels(cv2.connectedComponents(mask)[1])

    class NoDetector:
        pass
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A package with three entry points, built and installed by pip into a folder that is put on the path."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "blue_blobs.py").write_text(textwrap.dedent(FAKE))
    (source / "pyproject.toml").write_text(
        textwrap.dedent(
            """
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"
            [project]
            name = "blue-blobs"
            version = "1.2"
            [project.entry-points."qupath_her2.cell_detectors"]
            blue-blobs = "blue_blobs:BlueBlobs"
            no-detector = "blue_blobs:NoDetector"
            gone = "blue_blobs:Gone"
            [tool.hatch.build.targets.wheel]
            include = ["blue_blobs.py"]
            """
        )
    )
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--disable-pip-version-check", "--target", str(target), str(source)],
        check=True, timeout=120,
    )  # fmt: skip
    sys.path.insert(0, str(target))
    load_detector.cache_clear()
    yield target
    sys.path.remove(str(target))
    load_detector.cache_clear()


def test_an_installed_plug_in_is_listed_and_loaded(plugin: Path) -> None:
    assert {"stardist", "instanseg", "cellpose", "blue-blobs"} <= set(detector_names())
    assert load_detector("blue-blobs").name == "blue-blobs 1.2"
    assert cell_source("blue-blobs") == CellSource("plugin", plugin="blue-blobs")


def test_a_run_with_its_cells(plugin: Path, project: Path) -> None:
    by_plugin = RunOptions(images=("strong",), method=CellsMethod(cell_source("blue-blobs")))
    result = score_image(plan_jobs(project, by_plugin).jobs[0])
    assert result.state == "scored", result.error
    assert result.run_dir is not None
    record, table, _ = read_run(result.run_dir)
    assert record.settings["used"]["cells"] == "blue-blobs"
    assert table is not None
    assert len(table) > 20
    own = score_image(plan_jobs(project, RunOptions(images=("strong",))).jobs[0])
    assert own.state == "scored"
    assert own.run_dir is not None
    assert own.run_dir.name != result.run_dir.name
    # Every outline holds its centre, and no two nuclei are the same object found by two tiles.
    assert len(np.unique(table.centroid_xy.round(1), axis=0)) == len(table)


def test_what_is_no_detector_is_refused_with_its_entry_point(plugin: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"'no-detector' \(blue_blobs:NoDetector\).*without name, prepared"
    ):
        load_detector("no-detector")
    with pytest.raises(SettingsError, match=r"'gone' \(blue_blobs:Gone\) cannot be loaded"):
        load_detector("gone")
    with pytest.raises(SettingsError, match="No cell detector 'none'"):
        load_detector("none")


@pytest.mark.parametrize(
    ("name", "module", "line"),
    [
        ("stardist", "stardist", "pip install stardist tensorflow"),
        ("instanseg", "instanseg", "pip install instanseg-torch"),
        ("cellpose", "cellpose", "pip install cellpose"),
    ],
)
def test_a_missing_package_says_the_pip_line(
    name: str, module: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.models", None)
    load_detector.cache_clear()
    with pytest.raises(MissingExtraError, match=line):
        cell_source(name)


class SimulatedModel:
    """Simulates the three packages' models: squares of 8 px where the picture is bright; keeps what it was given."""

    def __init__(self, labels: NDArray[np.int32]) -> None:
        self.labels, self.seen = labels, None

    def predict_instances(self, picture: NDArray[np.float32], scale: float) -> tuple[NDArray[np.int32], dict]:
        self.seen = picture, scale
        return self.labels, {}

    def eval(self, picture: NDArray[np.float32], *, diameter: float, normalize: bool) -> tuple[object, ...]:
        self.seen = picture, diameter
        assert not normalize
        return self.labels.astype(np.uint16), [], []

    def eval_small_image(
        self, picture: NDArray[np.float32], pixel_size: float, **options: object
    ) -> SimpleNamespace:
        self.seen = picture, pixel_size
        assert options == {"normalise": False, "return_image_tensor": False, "target": "nuclei"}
        return SimpleNamespace(cpu=lambda: self.labels[None, None].astype(np.float32))


@pytest.mark.parametrize(
    ("kind", "module", "expected"),
    [
        (StarDistDetector, stardist, (64, 48, 3)),
        (InstanSegDetector, instanseg, (3, 64, 48)),
        (CellposeDetector, cellpose, (64, 48)),
    ],
)
def test_each_adapter_hands_on_the_picture_and_reads_the_labels(
    kind: type, module: object, expected: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "version", lambda package: "9.9")
    labels = np.zeros((64, 48), np.int32)
    labels[20:28, 10:18], labels[40:48, 30:38] = 1, 2
    model = SimulatedModel(labels)
    random = np.random.default_rng(3)
    planes = SimpleNamespace(hematoxylin=random.random((64, 48), np.float32), um_px=0.25)
    tile = Tile(random.integers(0, 256, (64, 48, 3), np.uint8), planes)  # type: ignore[arg-type]
    detector: CellDetector = kind(model).prepared([tile])
    assert "9.9" in detector.name
    nuclei = detector.detect(tile)
    assert model.seen is not None
    picture, scale = model.seen
    assert picture.shape == expected
    assert picture.dtype == np.float32
    # Normalised by the range of the image: nearly all values lie between 0 and 1.
    assert 0.97 < np.mean((picture >= 0) & (picture <= 1)) <= 1
    assert (
        scale == {"StarDistDetector": 0.5, "InstanSegDetector": 0.25, "CellposeDetector": 36.0}[kind.__name__]
    )
    assert nuclei.centre.tolist() == [[13.5, 23.5], [33.5, 43.5]]
    boxes = [shapely.box(*(centre - 4), *(centre + 4)) for centre in nuclei.centre]
    assert all(abs(float(np.pi * np.mean(r**2)) - box.area) < 0.15 * box.area
               for r, box in zip(nuclei.radii, boxes, strict=True))  # fmt: skip
