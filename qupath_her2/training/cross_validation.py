"""Cross-validation by case: one network per fold, and mean and SD of its metrics (``train --folds K``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.errors import TrainingError
from qupath_her2.patches.folds import fold_splits
from qupath_her2.patches.splits import leaked_cases
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.scoring.agreement.study import FoldFigure, agreement_over_folds
from qupath_her2.scoring.agreement.tables import fold_table
from qupath_her2.training.classifier import train_network
from qupath_her2.training.types import TrainedNetwork, TrainJob

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qupath_her2.learning.train.loop import TrainProgress
    from qupath_her2.scoring.agreement.study import Agreement

__all__ = ["TrainedFolds", "train_folds"]

_FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class TrainedFolds:
    """A finished cross-validation.

    Attributes
    ----------
    networks
        One per fold, each with the metrics of its own test cases.
    figures
        {"patches" | "images" | "images by HEAD": metrics over the folds}, HEAD a head over patch counts that every
        fold has.
    """

    networks: tuple[TrainedNetwork, ...]
    figures: dict[str, tuple[FoldFigure, ...]]


def train_folds(
    job: TrainJob,
    k: int,
    *,
    on_fold: Callable[[int], None] | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
    predicting: Callable[[int, int], None] | None = None,
) -> TrainedFolds:
    """Train and evaluate one network per fold, and write ``folds.json`` and ``folds.csv``.

    Every case is tested once, by a network that saw it neither in training nor in validation. The networks are written
    to ``fold-01``, ``fold-02`` … in the job's folder; a stopped cross-validation resumes.

    Parameters
    ----------
    job
        As for a single training; its manifest is split again, by case.
    k
        Number of folds, >= 3: one to test, one to validate, the rest to train.
    on_fold
        Called with the number of each fold, from 1, before it starts.
    progress, predicting
        See `train_network`.

    Returns
    -------
    TrainedFolds
        The networks and their metrics over the folds.

    Raises
    ------
    PatchError
        Fewer cases than folds.
    TrainingError
        A fold has no labelled test patch, or shares a case between its parts.
    """
    splits = fold_splits(job.manifest, k, job.settings.patches.seed)
    for number, manifest in enumerate(splits, start=1):
        # Checked before hours of training, and on the manifest itself rather than trusting the split.
        if leaked := leaked_cases(manifest):
            raise TrainingError(f"Fold {number} has cases in more than one part: {', '.join(leaked[:5])}.")
        if not ((manifest.split == 2) & (manifest.label >= 0)).any():
            raise TrainingError(f"Fold {number} of {k} has no labelled test patch. Use fewer folds.")
    networks = []
    for number, manifest in enumerate(splits, start=1):
        if on_fold is not None:
            on_fold(number)
        # A folder of its own for each fold: a finished one is found and not trained again.
        one = replace(job, manifest=manifest, out=job.out / f"fold-{number:02d}")
        networks.append(train_network(one, progress=progress, predicting=predicting))
    found = TrainedFolds(tuple(networks), _figures(networks))
    _write(job.out, job, found)
    return found


def _figures(networks: Sequence[TrainedNetwork]) -> dict[str, tuple[FoldFigure, ...]]:
    # A mean over fewer folds than planned would leave out the most difficult slides without saying so.
    tests = [one.test for one in networks if one.test is not None]
    if len(tests) < len(networks):
        raise TrainingError(
            f"{len(networks) - len(tests)} folds have no test patch without the slides whose stains cannot be "
            "normalised. Use fewer folds, or fix or remove those slides."
        )
    parts: dict[str, list[Agreement]] = {
        "patches": [test.patches for test in tests],
        "images": [test.images for test in tests],
    }
    for head in networks[0].heads:
        # A fold that lacks a head has said why; a mean over the others would hide it.
        if all(head in one.heads for one in networks):
            parts[f"images by {head}"] = [one.heads[head] for one in networks]
    return {name: agreement_over_folds(figures) for name, figures in parts.items()}


def _write(folder: Path, job: TrainJob, found: TrainedFolds) -> None:
    content: dict[str, Any] = {
        "format": _FORMAT,
        "recipe": job.recipe.name,
        "model": job.model,
        "is_control": job.is_control,
        "folds": [str(one.checkpoint.parent.name) for one in found.networks],
        "figures": found.figures,
    }
    rows: list[Sequence[str]] = []
    for name, figures in found.figures.items():
        table = fold_table(figures)
        # An empty row between the tables, as spreadsheets separate them.
        rows += [[]] if rows else []
        rows += [[f"{name}: {table.title}"], table.header, *table.rows, *([note] for note in table.notes)]
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    # orjson writes NaN, a metric that a fold lacks, as null.
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    replace_file(folder / "folds.json", orjson.dumps(content, option=options))
    replace_file(folder / "folds.csv", csv_bytes(rows))
