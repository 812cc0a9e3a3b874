"""Calibration on drawn cases with a shifted stain: accuracy on cases not labelled, and labels needed to get there.

``python -m tests.quality.calibration`` draws cases of all classes whose DAB is denser or paler by a factor, fits
cut-points to labelled cells of three of them, and prints the share of cells of the other cases that get their drawn
class, before and after; then the same for growing numbers of labels, chosen by the queue and at random (means of many
draws), with the number from which on each way stays within 1.5 percentage points of what all labels give. Seeds from
910 000 on are used here only; the queue was chosen on them, so that those from 940 000 on (``--seed 940000``) judge it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.existing_cells import select_rings
from qupath_her2.cells.membrane.class_model import model_features
from qupath_her2.cells.membrane.grading import Estimates, GradingSettings
from qupath_her2.review.cut_point_fit import (
    LabelledCells,
    classes_of,
    fit_cut_points,
    plausible_cut_points,
)
from qupath_her2.review.queue import QueueImage, QueueSettings, choose_cells
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.settings import FieldSettings
from tests.helpers.matching import match_nuclei
from tests.quality.chain import score_picture

__all__ = ["Curve", "DrawnCase", "Transfer", "draw_case", "label_curve", "transfer"]

FIRST_SEED = 910_000
#: Labels after which accuracy is measured.
STEPS = (4, 8, 12, 16, 24, 32, 48, 64, 96)
_UM_PX = 0.5
_SIDE_PX = 700
#: Shares of classes of three cases as they come: mostly 0, mostly 1+, mostly 3+.
SKEWED = ((0.78, 0.14, 0.05, 0.03), (0.3, 0.5, 0.15, 0.05), (0.05, 0.1, 0.15, 0.7))
#: Accuracy within this of what all labels give is as good.
_AS_GOOD = 0.015


@dataclass(frozen=True, slots=True)
class DrawnCase:
    """A drawn case: its measured cells that match a drawn one, with the drawn class, and the image for the queue."""

    cells: LabelledCells
    queue: QueueImage


@dataclass(frozen=True, slots=True)
class Transfer:
    """Accuracy on the cases that were not labelled, by the built-in and by the fitted cut-points."""

    before: float
    after: float
    n_labels: int
    n_cells: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy on cases not labelled after each number of labels, by the queue and at random, and with all labels."""

    labels: tuple[int, ...]
    queue: tuple[float, ...]
    random: tuple[float, ...]
    all_labels: float

    def needed(self, values: Sequence[float]) -> int | None:
        """Return the number of labels from which on accuracy stays as good as with all; None if it never does."""
        good = [value >= self.all_labels - _AS_GOOD for value in values]
        first = next((i for i in range(len(good)) if all(good[i:])), None)
        return None if first is None else self.labels[first]


def draw_case(seed: int, scale: float) -> DrawnCase:
    """Draw a case of all classes and measure its cells.

    Parameters
    ----------
    seed : of the field.
    scale : factor on all DAB.
    """
    shares = (0.25, 0.25, 0.25, 0.25)
    field = draw_field(
        FieldSettings(
            seed=seed,
            shares=shares,
            stain_scale=scale,
            pixel_size_um=_UM_PX,
            width_px=_SIDE_PX,
            height_px=_SIDE_PX,
        )
    )
    scored = score_picture(field.rgb, _UM_PX, field.truth.tumour_region)
    if scored.cells is None:
        raise ValueError(f"the field of seed {seed} was refused: {scored.score.reason}")
    table, own = scored.cells.table, scored.cells.estimates
    matches = match_nuclei(table.centroid_xy, field.truth.nuclei, _UM_PX, field.truth.other_nuclei)
    measured = np.isfinite(own.own_od[matches.detected]) & np.isfinite(own.completeness[matches.detected])
    rows, truth = matches.detected[measured], matches.truth[measured]
    label = field.truth.cell_class[truth]
    name = f"{seed}"
    cells = LabelledCells(
        Estimates(own.own_od[rows], own.completeness[rows], own.lateral[rows]),
        model_features(table)[rows],
        label,
        np.array([name] * len(rows)),
        np.array(["breast-2018"] * len(rows)),
    )
    # The queue sees the same cells in the same order: row i of both is one cell.
    seen = replace(
        table,
        uuid=np.array([list(UUID(int=seed * 2**32 + row).bytes) for row in rows.tolist()], np.uint8),
        centroid_xy=table.centroid_xy[rows],
        cell_xy=np.concatenate([table.outline(row) for row in rows.tolist()]),
        cell_offsets=np.concatenate([[0], np.cumsum([len(table.outline(row)) for row in rows.tolist()])]),
        nucleus_xy=np.zeros((0, 2), np.float32),
        nucleus_offsets=np.zeros(len(rows) + 1, np.int64),
        region=table.region[rows],
        measurements=table.measurements[rows],
        cell_class=classes_of(cells, GradingSettings()),
    )
    return DrawnCase(cells, QueueImage(name, name, seen, GradingSettings(), {}))


def joined(parts: Sequence[LabelledCells]) -> LabelledCells:
    """Return the cells of several cases as one table."""
    own = [one.estimates for one in parts]
    return LabelledCells(
        Estimates(
            np.concatenate([one.own_od for one in own]),
            np.concatenate([one.completeness for one in own]),
            np.concatenate([one.lateral for one in own]),
        ),
        np.concatenate([one.features for one in parts]),
        np.concatenate([one.label for one in parts]),
        np.concatenate([one.case for one in parts]),
        np.concatenate([one.guideline for one in parts]),
    )


def _accuracy(cells: LabelledCells, cut_points: GradingSettings) -> float:
    return float((classes_of(cells, cut_points) == cells.label).mean())


def _picked(cases: Sequence[DrawnCase], steps: Sequence[int], seed: int = 0) -> list[LabelledCells]:
    """Return the cells that the queue asks for, after each step: each queue knows the labels of those before."""
    rows: dict[str, list[int]] = {case.queue.image: [] for case in cases}
    found: list[LabelledCells] = []
    for n in steps:
        plausible = tuple(plausible_cut_points(found[-1] if found else None, n=16))
        images = [
            replace(case.queue, plausible=plausible, labelled=frozenset(_uuids(case, rows[case.queue.image])))
            for case in cases
        ]
        for one in choose_cells(images, QueueSettings(n - sum(map(len, rows.values())), seed)):
            rows[one.image].append(one.row)
        found.append(
            joined([case.cells.where(_mask(len(case.cells), rows[case.queue.image])) for case in cases])
        )
    return found


def _uuids(case: DrawnCase, rows: Sequence[int]) -> list[str]:
    return [str(UUID(bytes=case.queue.table.uuid[row].tobytes())) for row in rows]


def _mask(n: int, rows: Sequence[int]) -> NDArray[np.bool_]:
    mask = np.zeros(n, bool)
    mask[list(rows)] = True
    return mask


def skewed(case: DrawnCase, shares: Sequence[float], seed: int) -> DrawnCase:
    """Return a case of which as many cells are kept as its classes have these shares.

    Parameters
    ----------
    case : with cells of all classes.
    shares : of the classes 0, 1+, 2+, 3+; they add up to 1.
    seed : of the choice.
    """
    rng = np.random.default_rng(seed)
    by_class = [np.flatnonzero(case.cells.label == code) for code in range(4)]
    total = min(len(found) / share for found, share in zip(by_class, shares, strict=True))
    rows = np.sort(
        np.concatenate(
            [
                rng.choice(found, int(total * share), replace=False)
                for found, share in zip(by_class, shares, strict=True)
            ]
        )
    )
    table = case.queue.table
    cell_xy, cell_offsets = select_rings(table.cell_xy, table.cell_offsets, rows)
    seen = replace(
        table,
        uuid=table.uuid[rows],
        centroid_xy=table.centroid_xy[rows],
        cell_xy=cell_xy,
        cell_offsets=cell_offsets,
        nucleus_offsets=np.zeros(len(rows) + 1, np.int64),
        region=table.region[rows],
        measurements=table.measurements[rows],
        cell_class=table.cell_class[rows],
    )
    return DrawnCase(case.cells.where(_mask(len(case.cells), rows.tolist())), replace(case.queue, table=seen))


def transfer(cases: Sequence[DrawnCase], n_labelled: int = 3, n_labels: int = 60) -> Transfer:
    """Calibrate on cells that the queue chooses in the first cases, and judge the other cases.

    Parameters
    ----------
    cases : at least one more than `n_labelled`.
    n_labelled : number of cases with labels.
    n_labels : number of labelled cells, the default of ``review queue``, in two queues.
    """
    labelled = _picked(cases[:n_labelled], (n_labels // 3, n_labels))[-1]
    others = joined([case.cells for case in cases[n_labelled:]])
    before, after = _accuracy(others, GradingSettings()), _accuracy(others, fit_cut_points(labelled))
    return Transfer(before, after, len(labelled), len(others))


def label_curve(cases: Sequence[DrawnCase], n_labelled: int = 3, draws: int = 12) -> Curve:
    """Return the accuracy on the other cases after growing numbers of labels.

    Parameters
    ----------
    cases : at least one more than `n_labelled`.
    n_labelled : number of cases with labels.
    draws : queues and random choices of each size.
    """
    pool = joined([case.cells for case in cases[:n_labelled]])
    others = joined([case.cells for case in cases[n_labelled:]])
    rng = np.random.default_rng(0)
    queues = [_picked(cases[:n_labelled], STEPS, seed) for seed in range(draws)]
    queue, random = [], []
    for step, n in enumerate(STEPS):
        queue.append(float(np.mean([_accuracy(others, fit_cut_points(one[step])) for one in queues])))
        picks = [rng.choice(len(pool), n, replace=False).tolist() for _ in range(draws)]
        random.append(
            float(
                np.mean(
                    [_accuracy(others, fit_cut_points(pool.where(_mask(len(pool), one)))) for one in picks]
                )
            )
        )
    return Curve(STEPS, tuple(queue), tuple(random), _accuracy(others, fit_cut_points(pool)))


def main() -> None:
    """Print both tables for each factor on the stain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scales", type=float, nargs="+", default=[0.5, 0.7, 1.0, 1.5, 2.0])
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first case")
    given = parser.parse_args()
    for scale in given.scales:
        cases = [draw_case(given.seed + number, scale) for number in range(given.cases)]
        found = transfer(cases)
        print(
            f"DAB x {scale:g}: {found.n_cells} cells of {given.cases - 3} cases not labelled: "
            f"{100 * found.before:.1f} % -> {100 * found.after:.1f} % right, {found.n_labels} labels of 3 cases",
            flush=True,
        )
        _say(label_curve(cases), "cells of all classes alike in the labelled cases")
        first = [skewed(case, shares, i) for i, (case, shares) in enumerate(zip(cases, SKEWED, strict=False))]
        _say(label_curve([*first, *cases[3:]]), "labelled cases of mostly 0, 1+ and 3+ cells")


def _say(curve: Curve, of: str) -> None:
    print(f"  {of}:")
    for n, queue, random in zip(curve.labels, curve.queue, curve.random, strict=True):
        print(f"  {n:4d} labels: queue {100 * queue:.1f} %, random {100 * random:.1f} %")
    print(
        f"  all labels {100 * curve.all_labels:.1f} %; within 1.5 points of that from: queue "
        f"{curve.needed(curve.queue)}, random {curve.needed(curve.random)} labels",
        flush=True,
    )


if __name__ == "__main__":
    main()
