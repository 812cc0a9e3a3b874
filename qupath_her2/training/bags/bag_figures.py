"""Figures of a slide-level network: agreement of each part, mean and SD over folds, intervals of all slides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from qupath_her2.errors import TrainingError
from qupath_her2.learning.bags.bag_source import Bags
from qupath_her2.patches.folds import fold_splits
from qupath_her2.patches.splits import case_groups
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.scoring.agreement.area_intervals import bootstrap_figures, delong_interval
from qupath_her2.scoring.agreement.study import agreement_over_folds
from qupath_her2.scoring.agreement.tables import NO_VALUE, Table, fold_table
from qupath_her2.training.bags.bag_job import BagJob, SlidePredictions, train_part
from qupath_her2.training.evaluation import agreement_of_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.learning.bags.train_bags import BagEpoch
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.scoring.agreement.kappa import Estimate
    from qupath_her2.scoring.agreement.study import Agreement, FoldFigure

__all__ = [
    "BagFigures",
    "bag_figures",
    "cross_validate_bags",
    "interval_table",
    "pooled_intervals",
    "train_one_split",
]


@dataclass(frozen=True, slots=True, eq=False)
class BagFigures:
    """Figures of the test slides of one split or of all folds.

    Attributes
    ----------
    parts
        Agreement of each part's test slides.
    folds
        Mean and SD over the parts; empty for one split.
    intervals
        {figure: estimate} of all test slides together.
    predictions
        Of each part.
    """

    parts: tuple[Agreement, ...]
    folds: tuple[FoldFigure, ...]
    intervals: dict[str, Estimate]
    predictions: tuple[SlidePredictions, ...]


def train_one_split(
    job: BagJob, *, progress: Callable[[BagEpoch, int], None] | None = None
) -> BagFigures | None:
    """Train on the manifest's own split; None where it has no labelled test slide.

    Parameters
    ----------
    job
        The training.
    progress
        Called after each epoch.

    Returns
    -------
    BagFigures | None
        Figures of the test slides; written to the job's folder.
    """
    bags = Bags(job.features, job.settings.bags.memory_gb)
    found = train_part(job, job.manifest, job.out, bags, progress=progress)
    if len(found.rows) == 0:
        return None
    figures = bag_figures(job.manifest, (found,))
    write_figures(job, figures)
    return figures


def cross_validate_bags(
    job: BagJob,
    k: int,
    *,
    on_fold: Callable[[int], None] | None = None,
    progress: Callable[[BagEpoch, int], None] | None = None,
) -> BagFigures:
    """Train one network per fold, each case tested once; finished folds are read back.

    Parameters
    ----------
    job
        The training; its manifest is split again, by case.
    k
        Number of folds, >= 3.
    on_fold
        Called with the number of each fold, from 1, before it starts.
    progress
        Called after each epoch.

    Returns
    -------
    BagFigures
        Also written as ``folds.csv``, ``folds.json`` and ``predictions.csv`` to the job's folder.

    Raises
    ------
    PatchError
        Fewer cases than folds.
    TrainingError
        A fold has no labelled test slide, or shares a case between its parts.
    """
    splits = fold_splits(job.manifest, k, job.settings.patches.seed)
    for number, manifest in enumerate(splits, start=1):
        if not ((manifest.split == 2) & (manifest.label >= 0)).any():
            raise TrainingError(f"Fold {number} of {k} has no labelled test slide. Use fewer folds.")
    bags = Bags(job.features, job.settings.bags.memory_gb)
    found = []
    for number, manifest in enumerate(splits, start=1):
        if on_fold is not None:
            on_fold(number)
        found.append(train_part(job, manifest, job.out / f"fold-{number:02d}", bags, progress=progress))
    figures = bag_figures(job.manifest, found)
    write_figures(job, figures)
    return figures


def bag_figures(manifest: PatchManifest, found: Sequence[SlidePredictions]) -> BagFigures:
    """Return the figures of predictions of test slides.

    Parameters
    ----------
    manifest
        One row a slide, with the true labels.
    found
        Predictions of each part; each row in at most one of them.

    Returns
    -------
    BagFigures
        At slide level.
    """
    names = manifest.class_names
    parts = tuple(
        agreement_of_images(
            manifest,
            manifest.image[one.rows].tolist(),
            names,
            [names[code] for code in one.probabilities.argmax(axis=1).tolist()],
            one.probabilities,
        )
        for one in found
    )
    folds = agreement_over_folds(parts) if len(parts) > 1 else ()
    rows = np.concatenate([one.rows for one in found])
    probabilities = np.concatenate([one.probabilities for one in found])
    return BagFigures(parts, folds, pooled_intervals(manifest, rows, probabilities), tuple(found))


def pooled_intervals(
    manifest: PatchManifest, rows: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> dict[str, Estimate]:
    """Return intervals of the figures of all test slides together.

    Parameters
    ----------
    manifest
        One row a slide.
    rows
        int64 (n,), the test slides.
    probabilities
        float32 (n, C).

    Returns
    -------
    dict[str, Estimate]
        AUC of each class by DeLong; macro AUC, macro F1 and accuracy by bootstrap over cases.
    """
    group, names = case_groups(manifest)
    truth = manifest.label[rows].astype(np.int64)
    found = {
        f"AUC {name} (DeLong)": delong_interval(probabilities[:, code], truth == code)
        for code, name in enumerate(manifest.class_names)
    }
    boot = bootstrap_figures(truth, probabilities, [names[number] for number in group[rows].tolist()])
    return {**{f"{name} (bootstrap)": one for name, one in boot.items()}, **found}


def interval_table(intervals: dict[str, Estimate], n: int) -> Table:
    """Return the intervals of all `n` test slides as a text table."""
    rows = tuple(
        (
            name,
            f"{one.value:.3f}" if np.isfinite(one.value) else NO_VALUE,
            f"{one.low:.3f} to {one.high:.3f}" if np.isfinite(one.low) else NO_VALUE,
        )
        for name, one in intervals.items()
    )
    note = "of folds, probabilities of different networks are pooled; DeLong's interval takes slides as independent"
    return Table(f"All {n} test slides", ("figure", "value", "95 % interval"), rows, (note,))


def write_figures(job: BagJob, figures: BagFigures) -> None:
    """Write ``folds.json``, ``folds.csv`` and ``predictions.csv`` into the job's folder; raises OutputError."""
    n = sum(len(one.rows) for one in figures.predictions)
    tables = [interval_table(figures.intervals, n)]
    if figures.folds:
        tables.insert(0, fold_table(figures.folds))
    lines: list[Sequence[str]] = []
    for table in tables:
        lines += [[]] if lines else []
        lines += [[table.title], table.header, *table.rows, *([note] for note in table.notes)]
    content: dict[str, Any] = {
        "format": 1,
        "recipe": job.recipe.name,
        "model": job.model,
        "is_control": job.is_control,
        "parts": [len(one.rows) for one in figures.predictions],
        "folds": figures.folds,
        "intervals": figures.intervals,
    }
    with output_errors(job.out):
        job.out.mkdir(parents=True, exist_ok=True)
    # orjson writes NaN, a figure that a fold lacks, as null.
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    replace_file(job.out / "folds.json", orjson.dumps(content, option=options))
    replace_file(job.out / "folds.csv", csv_bytes(lines))
    replace_file(job.out / "predictions.csv", csv_bytes(_prediction_rows(job.manifest, figures.predictions)))


def _prediction_rows(manifest: PatchManifest, found: Sequence[SlidePredictions]) -> list[Sequence[str]]:
    names = manifest.class_names
    rows: list[Sequence[str]] = [("image", "case", "fold", "truth", "answer", *names)]
    for number, one in enumerate(found, start=1):
        for row, shares in zip(one.rows.tolist(), one.probabilities, strict=True):
            image = manifest.images[manifest.image[row]]
            rows.append(
                (
                    image.name,
                    image.case or "",
                    str(number),
                    names[manifest.label[row]],
                    names[int(shares.argmax())],
                    *(f"{share:.4f}" for share in shares.tolist()),
                )
            )
    return rows
