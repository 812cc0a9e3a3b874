"""Cells of real breast fields labelled by eye: a blind sheet of random cells, and calibration by leave-one-picture-out.

``python -m tests.quality.labelled_cells sheet FOLDER OUT`` measures the outlined epithelium of the fields of FOLDER and
writes contact sheets of random cells with their numbers and no class, and ``cells.csv`` with picture and centroid. A
reader adds the column ``value``: 0, 1+, 2+, 3+, or x for what is no measurable tumour or epithelial cell. The labels
that this project keeps are ``labelled_cells.csv``: picture, centroid and class alone. No pathologist gave them: a
language model looked at the sheets, before it saw any class of the program.

``python -m tests.quality.labelled_cells figures FOLDER`` fits cut-points to all pictures but one, judges that one, and
prints accuracy before and after with the figures of `review.calibrate`. Fields coarser than 0.5 µm/px are
enlarged to it, which adds no detail. No claim of accuracy rests on these cells.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely
import shapely.geometry
from numpy.typing import NDArray

from qupath_her2.cells.membrane.class_model import model_features
from qupath_her2.cells.membrane.grading import Estimates
from qupath_her2.cells.profiles import Place
from qupath_her2.errors import ReviewError
from qupath_her2.review.calibrate import CalibrationSettings, calibrate, figures_words
from qupath_her2.review.cut_point_fit import LabelledCells
from qupath_her2.review.label_groups import LabelGroup
from qupath_her2.review.labels import NOT_TUMOUR
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from tests.quality.breast_nuclei import UM_PX, field_file
from tests.quality.chain import Scored, score_picture
from tests.quality.tumour_outlines import OUTLINES

LABELS = Path(__file__).with_name("labelled_cells.csv")
CODES = {"0": 0, "1+": 1, "2+": 2, "3+": 3, "x": NOT_TUMOUR}
_SHOWN_UM_PX = 0.5
_CROP_UM = 30.0
_TILE_PX = 240
_COLUMNS = 6
_EPITHELIUM = ("tumour", "benign gland")


@dataclass(frozen=True, slots=True)
class Measured:
    """A field as it was measured: `rgb` uint8 (H, W, 3) at `um_px`, `scale` from pixels of the file."""

    name: str
    rgb: NDArray[np.uint8]
    um_px: float
    scale: float
    scored: Scored


def measured_fields(folder: Path) -> list[Measured]:
    """Return the fields in which cells are measured."""
    found = []
    for start, um_px in UM_PX.items():
        path = field_file([folder], start)
        rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        scale = max(1.0, um_px / _SHOWN_UM_PX)
        if scale > 1:
            rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        shape = shapely.transform(_epithelium(path.name), lambda xy, by=scale: xy * by)
        if shape.is_empty:
            continue
        scored = score_picture(np.asarray(rgb, np.uint8), um_px / scale, shape)
        if scored.cells is not None and len(scored.cells.table):
            found.append(Measured(path.name, np.asarray(rgb, np.uint8), um_px / scale, scale, scored))
    return found


def _epithelium(name: str) -> shapely.MultiPolygon:
    """Return the outlined tumour and benign glands of a picture, px of its file; empty where there are none."""
    features = json.loads(OUTLINES.read_text(encoding="utf-8"))["features"]
    parts = [
        shapely.geometry.shape(one["geometry"])
        for one in features
        if one["properties"]["picture"].endswith(f"/{name}") and one["properties"]["class"] in _EPITHELIUM
    ]
    joined = (
        shapely.union_all(shapely.make_valid(np.array(parts, object))) if parts else shapely.MultiPolygon()
    )
    return shapely.MultiPolygon(
        [one for one in shapely.get_parts(joined) if isinstance(one, shapely.Polygon)]
    )


def write_sheet(fields: list[Measured], out: Path, per_field: int, seed: int = 0) -> None:
    """Write sheets of random cells, a ring round each, and their places; the order tells nothing of the class."""
    rng = np.random.default_rng(seed)
    rows, tiles = [], []
    for field in fields:
        assert field.scored.cells is not None
        xy = field.scored.cells.table.centroid_xy
        half = round(_CROP_UM / 2 / field.um_px)
        height, width = field.rgb.shape[:2]
        inside = np.flatnonzero(((xy > half) & (xy < [width - half, height - half])).all(axis=1))
        for row in rng.choice(inside, min(per_field, len(inside)), replace=False).tolist():
            x, y = xy[row].round().astype(int).tolist()
            tile = cv2.resize(
                field.rgb[y - half : y + half, x - half : x + half],
                (_TILE_PX, _TILE_PX),
                interpolation=cv2.INTER_CUBIC,
            )
            cv2.circle(tile, (_TILE_PX // 2, _TILE_PX // 2), _TILE_PX // 4, (255, 255, 255), 1, cv2.LINE_AA)
            cv2.putText(
                tile, str(len(rows) + 1), (5, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 2, cv2.LINE_AA
            )
            rows.append((field.name, *(xy[row] / field.scale).round(1).tolist()))
            tiles.append(tile)
    out.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(tiles), 5 * _COLUMNS):
        page = tiles[first : first + 5 * _COLUMNS]
        page += [np.full_like(page[0], 255)] * (-len(page) % _COLUMNS)
        lines = [np.hstack(page[i : i + _COLUMNS]) for i in range(0, len(page), _COLUMNS)]
        cv2.imwrite(str(out / f"sheet_{first + 1}.png"), cv2.cvtColor(np.vstack(lines), cv2.COLOR_RGB2BGR))
    with (out / "cells.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("picture", "x", "y", "value"), *((*row, "") for row in rows)])


def labelled_group(fields: list[Measured], labels: Path = LABELS) -> LabelGroup:
    """Return the labelled cells with their measurements, each picture a case; cells no longer found are left out."""
    by_name = {field.name: field for field in fields}
    parts = []
    with labels.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            field, code = by_name.get(line["picture"]), CODES[line["value"]]
            if field is None or code == NOT_TUMOUR:
                continue
            assert field.scored.cells is not None
            table, own = field.scored.cells.table, field.scored.cells.estimates
            place = np.array([float(line["x"]), float(line["y"])]) * field.scale
            distance = np.hypot(*(table.centroid_xy - place).T)
            row = int(distance.argmin())
            if distance[row] * field.um_px < 2 and np.isfinite(own.own_od[row]):
                facts = (float(own.own_od[row]), float(own.completeness[row]), bool(own.lateral[row]))
                parts.append((facts, model_features(table)[row], code, line["picture"]))
    own_od, completeness, lateral = (np.array([one[0][i] for one in parts]) for i in range(3))
    cells = LabelledCells(
        Estimates(own_od.astype(np.float32), completeness.astype(np.float32), lateral.astype(bool)),
        np.array([one[1] for one in parts]),
        np.array([one[2] for one in parts], np.uint8),
        np.array([one[3] for one in parts]),
        np.array(["breast-2018"] * len(parts)),
    )
    place = Place("real fields", "HER2", "", QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab)
    return LabelGroup(place, cells, {"reader": len(parts)}, tuple(by_name), 0, "")


def figures(group: LabelGroup) -> str:
    """Return the outcome of the calibration by leave-one-picture-out in words, better or not."""
    settings = CalibrationSettings(min_cells=10)
    try:
        profile = calibrate(group, "real-fields", None, version="", settings=settings)
    except ReviewError as error:
        return f"refused: {error}"
    return f"better: {figures_words(dict(profile.figures))}; cut-points of all pictures: {profile.cut_points}"


def main() -> None:
    """Write the sheet, or print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["sheet", "figures"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path("sheet"))
    parser.add_argument("--per-field", type=int, default=12)
    given = parser.parse_args()
    fields = measured_fields(given.folder)
    if given.what == "sheet":
        write_sheet(fields, given.out, given.per_field)
    else:
        print(figures(labelled_group(fields)))


if __name__ == "__main__":
    main()
