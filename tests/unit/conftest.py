from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.training.types import TrainedNetwork


@pytest.fixture(scope="session")
def _drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small drawn fields with their Tumor regions: an unstained one and a 3+."""
    from qupath_her2.synthetic.example_project import write_field

    folder = tmp_path_factory.mktemp("drawn")
    write_field(folder, "pale", score="0", seed=7, side_px=420, stroma=0.1, out_of_focus=0.0)
    write_field(folder, "strong", score="3+", seed=8, side_px=420, stroma=0.1, out_of_focus=0.0)
    return folder


@pytest.fixture
def project(_drawn_once: Path, tmp_path: Path) -> Path:
    """A fresh folder with ``pale.ome.tif`` and ``strong.ome.tif`` and their regions."""
    return shutil.copytree(_drawn_once, tmp_path / "study")


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """A function: {relative path: content} of all files below a folder."""

    def read(folder: Path) -> dict[str, bytes]:
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    return read


@pytest.fixture(scope="session")
def count_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn study for the recipe ``patch-count``, read-only but for ``her2``."""
    from tests.helpers.recipes import DRAWN

    folder = tmp_path_factory.mktemp("network") / "study"
    DRAWN["patch-count"].draw(folder)
    return folder


@pytest.fixture(scope="session")
def count_manifest(count_study: Path) -> PatchManifest:
    """The labelled patches of `count_study`, split by case."""
    from qupath_her2.patches.cutting.cut_patches import manifest_from_regions
    from qupath_her2.recipes import RECIPES
    from qupath_her2.runs.plan import find_settings
    from tests.helpers.recipes import DRAWN

    recipe = RECIPES["patch-count"]
    settings = find_settings(count_study, None, DRAWN["patch-count"].settings(), recipe=recipe)
    return manifest_from_regions(count_study, settings.patches)


@pytest.fixture(scope="session")
def count_network(count_study: Path, count_manifest: PatchManifest) -> TrainedNetwork:
    """A tiny network trained for two epochs on `count_manifest`, in ``her2/models/net`` of its study."""
    pytest.importorskip("torch")
    from qupath_her2.recipes import RECIPES
    from qupath_her2.runs.plan import find_settings
    from qupath_her2.training.classifier import train_network
    from qupath_her2.training.types import TrainJob
    from tests.helpers.recipes import DRAWN

    recipe = RECIPES["patch-count"]
    short = {"epochs": 2, "schedule": {"learning_rate": 3e-3, "least_learning_rate": 0.0}}
    settings = find_settings(count_study, None, DRAWN["patch-count"].settings(**short), recipe=recipe)
    out = count_study / "her2" / "models" / "net"
    return train_network(TrainJob(count_manifest, recipe, settings, out, "timm:test_convnext", "random"))
