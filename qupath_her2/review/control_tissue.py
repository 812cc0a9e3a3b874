"""Labels from on-slide control tissue: cells of a control region with a known score, measured like tumour.

A region of a control class whose name holds one score, as in "3+" or "cell line 2+", is taken at its word: each of its
cells is labelled with that class. Cell lines and other uniform controls suit; in a mixed one the cells of other classes
count as slips of the labels, of which the fit bears some. Controls are measured into ``her2/controls``, a folder of
runs of its own, since they are subtracted from every score.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from qupath_her2.errors import ExchangeError
from qupath_her2.project.class_names import ClassNames, class_role
from qupath_her2.project.exchange.images import CONTROLS
from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.records import NOT_MEASURED, CellTable
from qupath_her2.review.labels import CellLabel
from qupath_her2.review.region_changes import is_geojson, read_drawn
from qupath_her2.scoring.rules import SCORES

if TYPE_CHECKING:
    from qupath_her2.records import SlideRef

__all__ = ["CONTROL_READER", "as_tumour", "control_labels", "control_scores"]

#: Who labelled, in a profile.
CONTROL_READER = "control tissue"
#: Cells of one region that are used at most: one large control must not outweigh all others.
_MOST_CELLS = 60
_SCORE = re.compile(r"(?<![\w.+])(0|[123]\+)(?![\w+])")


def as_tumour(names: ClassNames) -> ClassNames:
    """Return class names by which control regions alone are measured."""
    return replace(names, tumour=names.control, control=(), unclassified_is_tumour=False)


def control_scores(ref: SlideRef, names: ClassNames) -> dict[UUID, int]:
    """Return {region: class, 0..3} of the control regions of an image whose name holds one score.

    Parameters
    ----------
    ref
        The image.
    names
        Which annotation classes mean control tissue.

    Returns
    -------
    dict[UUID, int]
        Empty where no region is such a control.

    Raises
    ------
    ExchangeError
        The regions of the image are damaged.
    """
    if ref.regions_path is None or not is_geojson(ref.regions_path):
        return {}
    found = {}
    for uuid, one in read_drawn(ref.regions_path).items():
        named = _SCORE.findall(one.name)
        if len(set(named)) == 1 and class_role(one.class_name or None, names) == "control":
            found[UUID(uuid)] = SCORES.index(named[0])
    return found


def control_labels(
    her2: Path, images: Sequence[SlideRef], names: ClassNames, *, seed: int = 0
) -> tuple[list[CellLabel], list[str]]:
    """Return labels of the cells of measured control regions.

    Parameters
    ----------
    her2
        The exchange folder.
    images
        Its images.
    names
        Which annotation classes mean control tissue.
    seed
        Of the choice of cells where a region has many.

    Returns
    -------
    labels : list[CellLabel]
        At most 60 of a region.
    notes : list[str]
        Sentences about images whose controls are not used.
    """
    labels: list[CellLabel] = []
    notes: list[str] = []
    for ref in images:
        try:
            scores = control_scores(ref, names)
            run = current_run(her2 / CONTROLS, ref.id) if scores else None
            if run is None:
                continue
            record, table, score = read_run(run)
        except ExchangeError as error:
            notes.append(f"{ref.name}: its controls are not used: {error}")
            continue
        if table is None:
            notes.append(f"{ref.name}: its controls are not used: {score.reason}")
            continue
        places = [scores.get(UUID(region["uuid"])) for region in record.regions]
        labels += _region_labels(ref, table, places, seed)
    return labels, notes


def _region_labels(
    ref: SlideRef, table: CellTable, places: Sequence[int | None], seed: int
) -> list[CellLabel]:
    rng = np.random.default_rng(seed)
    labels = []
    for region, code in enumerate(places):
        rows = np.flatnonzero((table.region == region) & (table.cell_class != NOT_MEASURED))
        if code is None:
            continue
        if len(rows) > _MOST_CELLS:
            rows = np.sort(rng.choice(rows, _MOST_CELLS, replace=False))
        labels += [
            CellLabel(ref.id, str(UUID(bytes=table.uuid[row].tobytes())), code, CONTROL_READER, False)
            for row in rows.tolist()
        ]
    return labels
