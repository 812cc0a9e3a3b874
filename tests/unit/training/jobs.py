"""One-epoch trainings of a tiny network."""

from __future__ import annotations

from pathlib import Path

from qupath_her2.patches.cutting.cut_patches import manifest_from_regions
from qupath_her2.patches.manifest import PatchManifest
from qupath_her2.recipes import RECIPES
from qupath_her2.runs.plan import find_settings
from qupath_her2.training.types import TrainJob
from tests.helpers.recipes import DRAWN

__all__ = ["job_of"]

TINY = "timm:test_convnext"
SHORT = {"epochs": 1, "schedule": {"learning_rate": 3e-3, "least_learning_rate": 0.0}}


def job_of(folder: Path, recipe: str, manifest: PatchManifest | None = None) -> TrainJob:
    settings = find_settings(folder, None, DRAWN[recipe].settings(**SHORT), recipe=RECIPES[recipe])
    patches = manifest or manifest_from_regions(folder, settings.patches)
    return TrainJob(patches, RECIPES[recipe], settings, folder / "her2" / "models" / "net", TINY, "random")
