"""Labelled cells with their measurements, grouped by scanner, stain and laboratory."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from qupath_her2.cells.membrane.class_model import model_features
from qupath_her2.cells.membrane.grading import Estimates
from qupath_her2.cells.membrane.measurements import stored_estimates
from qupath_her2.errors import ExchangeError, Her2Error
from qupath_her2.project.exchange.images import CONTROLS
from qupath_her2.project.exchange.runs import read_record
from qupath_her2.provenance import canonical_json
from qupath_her2.review.cell_changes import WrittenCells
from qupath_her2.review.cut_point_fit import LabelledCells
from qupath_her2.review.labels import NOT_TUMOUR, CellLabel
from qupath_her2.runs.profile_choice import image_place
from qupath_her2.scoring.guidelines import guideline_for
from qupath_her2.slides.stains.groups import deviation_deg
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors

if TYPE_CHECKING:
    from qupath_her2.cells.profiles import Place
    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.records import CellTable, SlideRef

__all__ = ["LabelGroup", "is_uuid", "label_groups"]


@dataclass(frozen=True, slots=True)
class LabelGroup:
    """Labelled cells of one scanner, stain and laboratory.

    Attributes
    ----------
    place
        Where the images come from; stain vectors of the first of them.
    cells
        The cells.
    labelled_by
        {reader: number of cells}.
    images
        Ids of the images.
    n_corrected
        Cells that the program had called otherwise when they were labelled.
    digest
        SHA-256 of cells, measurements and labels.
    """

    place: Place
    cells: LabelledCells
    labelled_by: Mapping[str, int]
    images: tuple[str, ...]
    n_corrected: int
    digest: str


@dataclass(frozen=True, slots=True)
class _Cell:
    label: CellLabel
    place: Place
    case: str
    guideline: str
    own: tuple[float, float, bool]
    features: tuple[float, ...]


def label_groups(
    her2: Path,
    images: Sequence[SlideRef],
    labels: Sequence[CellLabel],
    laboratory: Callable[[SlideRef], str],
    *,
    reach_deg: float,
) -> tuple[list[LabelGroup], list[str]]:
    """Return the labelled cells with their measurements, a group for each scanner, stain and laboratory.

    Parameters
    ----------
    her2
        The exchange folder with the runs that measured the cells.
    images
        Images of the project.
    labels
        One for each cell.
    laboratory
        Laboratory of an image, from `profile_choice.laboratories`.
    reach_deg
        Largest distance of stain vectors within a group, degrees.

    Returns
    -------
    groups : list[LabelGroup]
        The largest first.
    notes : list[str]
        Sentences about labels that cannot be used.
    """
    refs = {ref.id: ref for ref in images}
    by_image: dict[str, list[CellLabel]] = defaultdict(list)
    for one in labels:
        by_image[one.image].append(one)
    cells: list[_Cell] = []
    notes: list[str] = []
    for image, found in sorted(by_image.items()):
        ref = refs.get(image)
        if ref is None:
            notes.append(f"image '{image}' is not in the project; its {len(found)} labels are not used")
            continue
        try:
            cells += _image_cells(her2, ref, found, laboratory(ref), notes)
        except Her2Error as error:
            # One damaged or removed image must not hold back the labels of the others.
            notes.append(f"{ref.name}: its {len(found)} labels are not used: {error}")
    return _grouped(cells, reach_deg), notes


class _MeasuredRun:
    """A run of an image with what its cells are graded by."""

    def __init__(self, run: Path, table: CellTable, ref: SlideRef, laboratory: str) -> None:
        record = read_record(run)
        size = record.image.get("pixel_size_um")
        self.place = image_place(ref, laboratory, _stains(record, run), size, record.image.get("scanner"))
        named = record.settings.get("scoring", {}).get("guideline", "auto")
        self.guideline = guideline_for(ref.case, named).key
        try:
            self._own: Estimates | None = stored_estimates(table)
            self._features = model_features(table)
        except KeyError:
            # Cells that were measured by an older version, or not at all.
            self._own = None

    def cell(self, row: int, label: CellLabel, case: str) -> _Cell | None:
        """Return a labelled cell.

        Parameters
        ----------
        row
            Row of the cell in the run's table.
        label
            What a person said about it.
        case
            Case of the image.

        Returns
        -------
        _Cell | None
            None where its membrane was not measured.
        """
        own = self._own
        if own is None or not np.isfinite([own.own_od[row], own.completeness[row]]).all():
            return None
        facts = (float(own.own_od[row]), float(own.completeness[row]), bool(own.lateral[row]))
        features = tuple(map(float, self._features[row]))
        return _Cell(label, self.place, case, self.guideline, facts, features)


def _image_cells(
    her2: Path, ref: SlideRef, labels: Sequence[CellLabel], laboratory: str, notes: list[str]
) -> list[_Cell]:
    written, controls = WrittenCells(her2, ref.id), WrittenCells(her2 / CONTROLS, ref.id)
    runs: dict[Path, _MeasuredRun] = {}
    found = []
    lost: Counter[str] = Counter()
    for one in labels:
        if one.code == NOT_TUMOUR:
            continue
        place = None
        if is_uuid(one.uuid):
            place = written.find(UUID(one.uuid)) or controls.find(UUID(one.uuid))
        # Cells of runs that are gone, and annotations of a graded class, are known by their place.
        if place is None and one.x and one.y:
            place = written.find_place(float(one.x), float(one.y))
        if place is None:
            lost["of an unknown UUID, of no result that is left"] += 1
            continue
        run, table, row = place
        if run not in runs:
            runs[run] = _MeasuredRun(run, table, ref, laboratory)
        cell = runs[run].cell(row, one, ref.case.case or ref.id)
        if cell is None:
            lost["without a measured membrane"] += 1
            continue
        found.append(cell)
    notes += [
        f"{ref.name}: {n} labelled cell{'s' * (n != 1)} {why}; the others are used" for why, n in lost.items()
    ]
    return found


def is_uuid(text: str) -> bool:
    """Return whether a text is a UUID."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _stains(record: RunRecord, run: Path) -> StainVectors:
    stored = record.settings.get("used", {}).get("stains")
    if stored is None:
        return QUPATH_H_DAB
    try:
        return StainVectors(tuple(stored["hematoxylin"]), tuple(stored["dab"]))
    except (KeyError, TypeError) as error:
        raise ExchangeError(
            f"'{run}' is damaged ({error}). Score the image again with --force (run or predict)."
        ) from error


def _grouped(cells: Sequence[_Cell], reach_deg: float) -> list[LabelGroup]:
    """Return the groups: the same names of scanner, stain and laboratory, and vectors near those of the first image."""
    groups: list[list[_Cell]] = []
    for one in cells:
        key = (one.place.scanner, one.place.stain, one.place.laboratory)
        for group in groups:
            first = group[0].place
            is_near = deviation_deg(first.vectors, one.place.vectors) <= reach_deg
            if key == (first.scanner, first.stain, first.laboratory) and is_near:
                group.append(one)
                break
        else:
            groups.append([one])
    return [_group(group) for group in sorted(groups, key=len, reverse=True)]


def _group(cells: Sequence[_Cell]) -> LabelGroup:
    own = np.array([one.own for one in cells], np.float64)
    table = LabelledCells(
        Estimates(own[:, 0].astype(np.float32), own[:, 1].astype(np.float32), own[:, 2] > 0),
        np.array([one.features for one in cells], np.float64),
        np.array([one.label.code for one in cells], np.uint8),
        np.array([one.case for one in cells], str),
        np.array([one.guideline for one in cells], str),
    )
    known = sorted((one.label.image, one.label.uuid, one.label.code, one.own) for one in cells)
    return LabelGroup(
        cells[0].place,
        table,
        dict(sorted(Counter(one.label.reader for one in cells).items())),
        tuple(sorted({one.label.image for one in cells})),
        sum(one.label.is_correction for one in cells),
        hashlib.sha256(canonical_json(known)).hexdigest(),
    )
