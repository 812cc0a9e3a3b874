"""qupath-her2: a bridge between QuPath and Python for HER2 scoring. Research use only.

The verbs of the command line are functions on the same records:

>>> import qupath_her2 as qh
>>> project = qh.open_project("example_projects/01_score_cells")
>>> len(project), project.images[0].case.case
(4, 'K-01')
>>> results = qh.run(project)                                  # doctest: +SKIP
>>> qh.read_cells(results[0])["class"].value_counts()          # doctest: +SKIP

Names are resolved on first use (PEP 562), so that importing the package starts neither an image library nor Java.
``qupath_her2.models`` and ``qupath_her2.batch`` are rooms of the package; the verbs of these names, and ``status``, are
`list_models`, `batch_images` and `batch_status`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qupath_her2.api.batches import batch_images, batch_status
    from qupath_her2.api.networks import list_models, make_patches, predict, save_result, train
    from qupath_her2.api.project import open_project, pull, push
    from qupath_her2.api.scoring import propose, run, score
    from qupath_her2.api.tables import read_cells
    from qupath_her2.batch.local import run_jobs
    from qupath_her2.batch.score_folder import score_folder
    from qupath_her2.cells.measure import CellSettings, measure_cells
    from qupath_her2.config import Settings, load_settings
    from qupath_her2.errors import Her2Error
    from qupath_her2.patches.cutting.cut_patches import manifest_from_regions
    from qupath_her2.project.exchange.runs import read_run
    from qupath_her2.project.geojson.regions import read_regions
    from qupath_her2.recipes import find_recipe
    from qupath_her2.records import CaseInfo, CellTable, ImageResult, Region, SlideScore
    from qupath_her2.report.build import write_report
    from qupath_her2.runs.options import RunOptions, ScoreJob
    from qupath_her2.runs.plan import plan_jobs
    from qupath_her2.runs.score_image import score_image
    from qupath_her2.scoring.score_cells import ScoringSettings, score_cells
    from qupath_her2.slides.readers.slide import open_slide
    from qupath_her2.slides.stains.vectors import StainVectors
    from qupath_her2.slides.tissue import find_tissue
    from qupath_her2.synthetic.field import draw_field
    from qupath_her2.training.classifier import train_network
    from qupath_her2.training.types import TrainJob

#: Where each public name lives; the block above says the same to type checkers, and a test compares them.
_LAZY = {
    "open_project": "qupath_her2.api.project",
    "pull": "qupath_her2.api.project",
    "push": "qupath_her2.api.project",
    "run": "qupath_her2.api.scoring",
    "score": "qupath_her2.api.scoring",
    "propose": "qupath_her2.api.scoring",
    "make_patches": "qupath_her2.api.networks",
    "train": "qupath_her2.api.networks",
    "predict": "qupath_her2.api.networks",
    "save_result": "qupath_her2.api.networks",
    "list_models": "qupath_her2.api.networks",
    "batch_images": "qupath_her2.api.batches",
    "batch_status": "qupath_her2.api.batches",
    "read_cells": "qupath_her2.api.tables",
    "ScoreJob": "qupath_her2.runs.options",
    "score_image": "qupath_her2.runs.score_image",
    "run_jobs": "qupath_her2.batch.local",
    "RunOptions": "qupath_her2.runs.options",
    "plan_jobs": "qupath_her2.runs.plan",
    "score_folder": "qupath_her2.batch.score_folder",
    "TrainJob": "qupath_her2.training.types",
    "train_network": "qupath_her2.training.classifier",
    "CellSettings": "qupath_her2.cells.measure",
    "measure_cells": "qupath_her2.cells.measure",
    "Settings": "qupath_her2.config",
    "load_settings": "qupath_her2.config",
    "Her2Error": "qupath_her2.errors",
    "manifest_from_regions": "qupath_her2.patches.cutting.cut_patches",
    "read_run": "qupath_her2.project.exchange.runs",
    "read_regions": "qupath_her2.project.geojson.regions",
    "find_recipe": "qupath_her2.recipes",
    "CaseInfo": "qupath_her2.records",
    "CellTable": "qupath_her2.records",
    "ImageResult": "qupath_her2.records",
    "Region": "qupath_her2.records",
    "SlideScore": "qupath_her2.records",
    "write_report": "qupath_her2.report.build",
    "ScoringSettings": "qupath_her2.scoring.score_cells",
    "score_cells": "qupath_her2.scoring.score_cells",
    "StainVectors": "qupath_her2.slides.stains.vectors",
    "find_tissue": "qupath_her2.slides.tissue",
    "open_slide": "qupath_her2.slides.readers.slide",
    "draw_field": "qupath_her2.synthetic.field",
}

__all__ = [
    "__version__",
    "open_project",
    "pull",
    "push",
    "run",
    "score",
    "propose",
    "make_patches",
    "train",
    "predict",
    "save_result",
    "list_models",
    "batch_images",
    "batch_status",
    "read_cells",
    "open_slide",
    "find_tissue",
    "read_regions",
    "StainVectors",
    "measure_cells",
    "score_cells",
    "score_folder",
    "score_image",
    "plan_jobs",
    "run_jobs",
    "read_run",
    "write_report",
    "draw_field",
    "manifest_from_regions",
    "find_recipe",
    "TrainJob",
    "train_network",
    "load_settings",
    "Settings",
    "CellSettings",
    "ScoringSettings",
    "RunOptions",
    "ScoreJob",
    "CaseInfo",
    "CellTable",
    "ImageResult",
    "Region",
    "SlideScore",
    "Her2Error",
]


def __getattr__(name: str) -> Any:
    """Import the room that `name` lives in."""
    if name == "__version__":
        # importlib.metadata costs more than the rest of this import together.
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("qupath-her2")
        except PackageNotFoundError:
            # Run from a checkout on the path; the run record says the same word.
            return "not installed"
    if name not in _LAZY:
        import difflib

        near = difflib.get_close_matches(name, __all__, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise AttributeError(f"module 'qupath_her2' has no attribute '{name}'.{hint}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
