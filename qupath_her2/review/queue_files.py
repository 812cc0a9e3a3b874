"""``her2/review/queue/``: the queue as CSV, and as GeoJSON to drag onto the image in QuPath.

``queue.csv`` says why each cell was chosen. ``blind.csv`` is for a second reader: the cells that somebody labelled, or
else those of the queue, shuffled, without class, reason or name of the first reader.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.cell_files import read_cells
from qupath_her2.project.exchange.image_ids import image_folder
from qupath_her2.project.exchange.runs import current_run, read_record
from qupath_her2.project.exchange.writing import output_errors, replace_file
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.review.cut_point_fit import plausible_cut_points
from qupath_her2.review.queue import COMPLETENESS, OWN_OD, Chosen, QueueImage
from qupath_her2.review.round_files import Round
from qupath_her2.scoring.guidelines import guideline_for

if TYPE_CHECKING:
    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.records import CellTable, SlideRef
    from qupath_her2.review.project_labels import ProjectLabels

__all__ = ["BLIND_COLUMNS", "QUEUE_COLUMNS", "blind_cells", "queue_image", "write_blind", "write_queue"]

#: Cut-points that stand for all plausible ones.
_N_PLAUSIBLE = 16

QUEUE_COLUMNS: tuple[str, ...] = ("order", "image", "case", "uuid", "x", "y", "class", "why")
BLIND_COLUMNS: tuple[str, ...] = ("order", "image", "uuid", "x", "y", "reader", "value")


def queue_image(
    her2: Path, ref: SlideRef, rounds: Sequence[Round], known: ProjectLabels | None = None
) -> QueueImage | None:
    """Return the cells of an image for the queue; None if it has no result with measured membranes.

    Parameters
    ----------
    her2
        The exchange folder.
    ref
        The image.
    rounds
        Rounds of all people; what they labelled is not asked again.
    known
        All labels of the project: they are not asked again, and those of the image's group say which cut-points are
        plausible. None for no labels beside those of `rounds`.

    Returns
    -------
    QueueImage | None
        With the tables of its other runs, as far as another source found their cells.

    Raises
    ------
    ExchangeError
        The current run is damaged.
    """
    run = current_run(her2, ref.id)
    if run is None:
        return None
    record = read_record(run)
    table = _table(run, record)
    if table is None or not {OWN_OD, COMPLETENESS} <= set(table.measurement_names):
        return None
    source = _source(record)
    others: dict[str, CellTable] = {}
    for path in sorted(image_folder(her2, ref.id).glob("*/run.json")):
        if path.parent == run or path.parent.suffix == ".tmp":
            continue
        other = read_record(path.parent)
        found = _table(path.parent, other)
        if found is not None and _source(other) != source:
            others[_source(other)] = found
    labelled = {one.uuid for known in rounds for one in known.changes if one.image == ref.id}
    grading = GradingSettings(**record.settings.get("cells", {}).get("grading", {}))
    if known is not None:
        labelled |= {one.uuid for one in known.labels if one.image == ref.id}
    groups = () if known is None else known.groups
    # An image of which nothing is labelled yet has the labels of its project where these are of one group.
    group = next((one for one in groups if ref.id in one.images), groups[0] if len(groups) == 1 else None)
    labels = None if group is None else group.cells
    plausible = tuple(plausible_cut_points(labels, start=grading, n=_N_PLAUSIBLE))
    named = guideline_for(ref.case, record.settings.get("scoring", {}).get("guideline", "auto")).key
    case = ref.case.case or ref.id
    return QueueImage(ref.id, case, table, grading, others, frozenset(labelled), plausible, named)


def write_queue(her2: Path, chosen: Sequence[Chosen], tables: dict[str, CellTable]) -> Path:
    """Write ``queue.csv`` and a GeoJSON file of outlines for each image; older ones are removed.

    Parameters
    ----------
    her2
        The exchange folder.
    chosen
        From `queue.choose_cells`.
    tables
        {image: its cells}, for the outlines.

    Returns
    -------
    Path
        ``queue.csv``.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    folder = _folder(her2)
    features: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rows = []
    for order, one in enumerate(chosen, 1):
        why = "; ".join(one.reasons)
        rows.append((str(order), one.image, one.case, one.uuid, *_place(one.x, one.y), one.class_name, why))
        features[one.image].append(_feature(tables[one.image], one, f"{order}: {why}"))
    with output_errors(folder):
        for path in folder.glob("*.geojson"):
            path.unlink()
    for image, found in features.items():
        content = {"type": "FeatureCollection", "features": found}
        replace_file(folder / f"{image}.geojson", orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
    path = folder / "queue.csv"
    replace_file(path, csv_bytes([QUEUE_COLUMNS, *rows]))
    return path


def blind_cells(rounds: Sequence[Round], chosen: Sequence[Chosen]) -> list[tuple[str, str, str, str]]:
    """Return (image, UUID, x, y) of the cells that somebody labelled; those of the queue where nobody did."""
    labelled = {
        (one.image, one.uuid): (one.image, one.uuid, one.x, one.y)
        for known in rounds
        for one in known.changes
        if one.aspect == "label" and one.uuid and not one.is_undone
    }
    queued = [(one.image, one.uuid, *_place(one.x, one.y)) for one in chosen]
    return sorted(labelled.values()) or queued


def write_blind(her2: Path, cells: Sequence[tuple[str, str, str, str]], seed: int) -> Path:
    """Write ``blind.csv`` in an order that tells nothing, with empty cells for reader and value.

    Parameters
    ----------
    her2
        Exchange folder.
    cells
        (image, UUID, x, y) of each cell; x and y in pixels of the full resolution, as text.
    seed
        Seed of the order.

    Returns
    -------
    Path
        The file written.
    """
    shuffled = list(cells)
    random.Random(seed).shuffle(shuffled)
    path = _folder(her2) / "blind.csv"
    rows = [(str(order), *one, "", "") for order, one in enumerate(shuffled, 1)]
    replace_file(path, csv_bytes([BLIND_COLUMNS, *rows]))
    return path


def _folder(her2: Path) -> Path:
    folder = her2 / "review" / "queue"
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _place(x: float, y: float) -> tuple[str, str]:
    return f"{x:.2f}", f"{y:.2f}"


def _feature(table: CellTable, one: Chosen, name: str) -> dict[str, Any]:
    ring = table.outline(one.row).round(2).tolist()
    shape: dict[str, Any] = {"type": "Point", "coordinates": [round(one.x, 2), round(one.y, 2)]}
    if len(ring) >= 3:
        shape = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    properties = {"objectType": "annotation", "name": name, "isLocked": True, "cell": one.uuid}
    return {"type": "Feature", "geometry": shape, "properties": properties}


def _source(record: RunRecord) -> str:
    """Return the source of a run's cells in words."""
    used = record.settings.get("used", {})
    return str(
        used.get("cell_source") or used.get("cell_origin") or record.settings.get("cell_source") or "detect"
    )


def _table(run: Path, record: RunRecord) -> CellTable | None:
    if "cells.npz" not in record.files:
        return None
    names = record.cells
    if not names.get("classes"):
        raise ExchangeError(
            f"'{run}' has cells without classes. Score the image again with --force (run or predict)."
        )
    return read_cells(
        run / "cells.npz",
        measurement_names=names.get("measurements", []),
        class_names=names["classes"],
    )
