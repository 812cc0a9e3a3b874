"""Predictions of the drawn study by its tiny network, as the tests of this folder need them."""

from __future__ import annotations

from pathlib import Path

from qupath_her2.batch.local import run_jobs
from qupath_her2.recipes import RECIPES
from qupath_her2.records import ImageResult
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import find_settings, plan_jobs
from qupath_her2.training.types import TrainedNetwork

__all__ = ["predicted"]


def predicted(
    study: Path,
    trained: TrainedNetwork,
    out: Path,
    *,
    cam: bool = False,
    head: Path | None = None,
    **flags: object,
) -> list[ImageResult]:
    """Predict the images of `study` into the exchange folder `out`; `flags` are further fields of `RunOptions`."""
    method = PatchesMethod(trained.checkpoint, head)
    options = RunOptions(out=out, method=method, **flags)  # type: ignore[arg-type]
    changed = {"patches": {"drop": {"white_share": 0.0}}, "cam": {"is_on": cam, "shown": 3}}
    settings = find_settings(study, None, changed, recipe=RECIPES["patch-count"])
    return run_jobs(plan_jobs(study, options, settings).jobs)
