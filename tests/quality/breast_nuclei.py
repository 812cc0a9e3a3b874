"""Nuclei of breast fields counted by eye: ``python -m tests.quality.breast_nuclei DIR [DIR] [--more] [--out DIR]``.

Two crops of 256 x 256 px from each of six public fields of readable focus (three of the BCI data set, about 0.75 µm/px
by their nuclei whatever their publishers say, three of MIST, 0.46 µm/px); the fields themselves are not part of this
project. Corners were drawn with seed 13, field by field, and kept where at least 60 % of the crop is tissue, 3 % of it
haematoxylin darker than its surroundings, and, for the first crop of a field with stained cells, 15 % of it DAB; a
field that gave none in 200 draws had its first crop drawn without the last. Nuclei were marked in nine-fold enlargement
before any outline of a program was seen, by a language model, not by a pathologist (`breast_nuclei.csv`): centre in
pixels of the crop, kind, and whether it is certain. Doubtful marks (out of focus, ghosts, tangential cuts) count
neither as missed when not found nor as false when found. Of 1,162 marks 579 are certain.

Fourteen more crops (`more_nuclei.csv`, counted with ``--more``) were marked later in the same way, in four-fold
enlargement: eleven of the same fields, and three of two breast fields under PD-L1 (0.46 µm/px by their nuclei). Their
corners were drawn with seeds 131 to 133, at least 130 px in x or y from those before them, so that a few overlap at
their edges; crops too blurred to be marked were left out. Of 1,204 marks 722 are certain. All 26 train the trees of the
detector (`nucleus_trees`); `left_out_nuclei` counts each field with trees that never saw it.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.measure import CellSettings, find_cells
from qupath_her2.cells.samples import read_samples
from qupath_her2.cells.stain_planes import PlaneSettings
from qupath_her2.cells.tile_cells import TileCells
from qupath_her2.records import Region
from qupath_her2.regions import map_regions
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons
from tests.helpers.matching import Matches, match_nuclei
from tests.quality.chain import group_vectors

__all__ = [
    "MARKS",
    "MORE_MARKS",
    "MORE_UM_PX",
    "UM_PX",
    "CropFigures",
    "breast_figures",
    "breast_table",
    "field_file",
    "marked_crops",
    "marks_xy",
    "sure_and_doubtful",
]

MARKS = Path(__file__).with_name("breast_nuclei.csv")
MORE_MARKS = Path(__file__).with_name("more_nuclei.csv")
#: Pixel size by the start of the field's name, µm.
UM_PX = {"00052": 0.75, "00118": 0.75, "00249": 0.75, "100M": 0.46, "15M": 0.46, "19M": 0.46}
#: Pixel size of the fields of `MORE_MARKS`, µm.
MORE_UM_PX = {**UM_PX, "25_singlecell": 0.46, "13_aggregate": 0.46}
CROP_PX = 256
#: Nuclei closer to the edge of a crop are not counted: half of them cannot be seen.
_EDGE_PX = 6
#: Radius around a mark within which a centre lies in the nucleus, µm.
_NUCLEUS_UM = 3.5
#: A false cell farther than this from all epithelium lies in stroma, µm.
_EPITHELIUM_UM = 15.0
_ZOOM = 4
_COLOURS = {"found": (0, 160, 0), "false": (0, 0, 255), "ignored": (150, 150, 150), "missed": (255, 0, 0)}

Mark = dict[str, str]
Crop = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class CropFigures:
    """Counts of one crop: `found`, `false` and `missed` nuclei, missed ones by kind, and false ones in stroma."""

    crop: Crop
    found: int
    false: int
    missed: int
    ignored: int
    missed_kinds: dict[str, int]
    false_in_stroma: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.found / max(2 * self.found + self.false + self.missed, 1)


def marked_crops(marks: Path = MARKS) -> dict[Crop, list[Mark]]:
    """Return the marks of a file by crop: start of the field's name, x, y."""
    crops: dict[Crop, list[Mark]] = {}
    with marks.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            crops.setdefault((row["field"], int(row["crop_x"]), int(row["crop_y"])), []).append(row)
    return crops


def field_file(folders: Sequence[Path], name: str) -> Path:
    """Return the file of a field, whose name holds `name`; masks of the same name come after it."""
    return next(path for folder in folders for path in sorted(folder.iterdir()) if name in path.name)


def crop_cells(folders: Sequence[Path], name: str, corners: Sequence[tuple[int, int]]) -> Iterator[TileCells]:
    """Yield the cells of each crop of a field, found as if the whole field were scored."""
    um_px = MORE_UM_PX[name]
    slide = open_slide(field_file(folders, name))
    try:
        tissue = find_tissue(slide, pixel_size_um=um_px)
        (stains,) = group_vectors([(slide, tissue)], um_px)
        stains, grid = replace(stains, background_rgb=tissue.background_rgb), make_grid(um_px)
        whole = Region(UUID(int=1), shapely.MultiPolygon(tissue_polygons(tissue)), "tumour")
        samples = read_samples(slide, map_regions([whole]), grid, stains, PlaneSettings())
        for x, y in corners:
            crop = Region(UUID(int=2), shapely.box(x, y, x + CROP_PX, y + CROP_PX), "tumour")
            yield find_cells(slide, map_regions([crop]), grid, stains, samples, CellSettings())
    finally:
        slide.close()


def sure_and_doubtful(marks: Sequence[Mark]) -> tuple[list[Mark], list[Mark]]:
    """Return the certain marks and the others."""
    sure = [mark for mark in marks if mark["sure"] == "1"]
    return sure, [mark for mark in marks if mark["sure"] != "1"]


def marks_xy(marks: Sequence[Mark]) -> NDArray[np.float64]:
    """Return the places of marks, pixels of their crop, (N, 2)."""
    return np.array([[float(mark["x_px"]), float(mark["y_px"])] for mark in marks]).reshape(-1, 2)


def _rings(marks: Sequence[Mark], um_px: float) -> list[NDArray[np.float64]]:
    discs = shapely.buffer(shapely.points(marks_xy(marks)), _NUCLEUS_UM / um_px)
    return [shapely.get_coordinates(disc) for disc in discs]


def _inner(xy: NDArray[np.float64]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = ((xy > _EDGE_PX) & (xy < CROP_PX - _EDGE_PX)).all(1)
    return inside


def count(crop: Crop, marks: Sequence[Mark], xy: NDArray[np.float64]) -> tuple[CropFigures, Matches]:
    """Count found, false and missed nuclei of a crop; `xy` are centres found, pixels of the crop, (N, 2)."""
    um_px = MORE_UM_PX[crop[0]]
    sure, doubtful = sure_and_doubtful(marks)
    matches = match_nuclei(xy, _rings(sure, um_px), um_px, _rings(doubtful, um_px))
    # Both sides of the edge are left out, but only after matching.
    near, seen = _inner(xy), _inner(marks_xy(sure))
    missed = [sure[i]["kind"] for i in matches.missed if seen[i]]
    false = matches.false[near[matches.false]]
    epithelium = marks_xy([mark for mark in marks if mark["kind"] in ("tumour", "other")])
    distance = np.hypot(*(xy[false][:, None] - epithelium[None]).transpose(2, 0, 1)) * um_px
    in_stroma = int((distance > _EPITHELIUM_UM).all(1).sum()) if len(false) else 0
    figures = CropFigures(
        crop, int(seen[matches.truth].sum()), len(false), len(missed), int(near[matches.ignored].sum()),
        dict(Counter(missed)), in_stroma,
    )  # fmt: skip
    return figures, matches


def _drawn(
    rgb: NDArray[np.uint8], cells: TileCells, crop: Crop, marks: Sequence[Mark], matches: Matches
) -> NDArray[np.uint8]:
    """Return the crop enlarged, with outlines of nuclei (by match) and cells (thin), and dots on missed nuclei."""
    corner = np.array(crop[1:])
    picture = cv2.resize(rgb, None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_CUBIC)
    colours = [_COLOURS["found"]] * len(cells)
    for kind, rows in (("false", matches.false), ("ignored", matches.ignored)):
        for row in rows:
            colours[row] = _COLOURS[kind]
    for row, colour in enumerate(colours):
        for ring, width in ((cells.nucleus_xy[row], 2), (cells.cell_xy[row], 1)):
            points = ((ring - corner) * _ZOOM).round().astype(np.int32)
            cv2.polylines(picture, [points], True, colour, width, cv2.LINE_AA)
    sure = marks_xy(sure_and_doubtful(marks)[0])
    for i in matches.missed:
        cv2.circle(picture, [int(v) for v in sure[i] * _ZOOM], 5, _COLOURS["missed"], -1)
    return np.asarray(picture, np.uint8)


def breast_figures(
    folders: Sequence[Path],
    marks: Path = MARKS,
    out: Path | None = None,
    fields: Sequence[str] | None = None,
) -> list[CropFigures]:
    """Find the nuclei of all crops of a file of marks and compare them with the marks.

    Parameters
    ----------
    folders : folders of the fields.
    marks : `MARKS` or `MORE_MARKS`.
    out : pictures are written there where given.
    fields : fields counted; all of the file where not given.
    """
    crops = marked_crops(marks)
    figures = []
    for name in dict.fromkeys(crop[0] for crop in crops) if fields is None else fields:
        own = [crop for crop in crops if crop[0] == name]
        if not own:
            continue
        for crop, cells in zip(own, crop_cells(folders, name, [c[1:] for c in own]), strict=True):
            found, matches = count(crop, crops[crop], cells.centre_xy - np.array(crop[1:]))
            figures.append(found)
            if out is not None:
                x, y = crop[1:]
                rgb = cv2.imread(str(field_file(folders, name)))[y : y + CROP_PX, x : x + CROP_PX]
                picture = _drawn(rgb, cells, crop, crops[crop], matches)
                cv2.imwrite(str(out / f"{name}_{x}_{y}.png"), picture)
    return figures


def breast_table(figures: Sequence[CropFigures]) -> str:
    """Return the table: one line per crop, and the total."""
    lines = [
        f"{'crop':18}{'found':>7}{'false':>7}{'stroma':>8}{'missed':>8}{'ignored':>9}{'F1':>8}   missed by kind"
    ]
    for one in figures:
        kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(one.missed_kinds.items()))
        lines.append(
            f"{one.crop[0] + ' ' + str(one.crop[1:]):18}{one.found:>7}{one.false:>7}{one.false_in_stroma:>8}"
            f"{one.missed:>8}{one.ignored:>9}{one.f1:>8.3f}   {kinds}"
        )
    found, false, missed, stroma = (
        sum(getattr(one, name) for one in figures) for name in ("found", "false", "missed", "false_in_stroma")
    )
    f1 = 2 * found / (2 * found + false + missed)
    ignored = sum(one.ignored for one in figures)
    lines.append(f"{'all':18}{found:>7}{false:>7}{stroma:>8}{missed:>8}{ignored:>9}{f1:>8.3f}")
    lines.append(
        f"false cells in stroma: {100 * stroma / max(found + false + ignored, 1):.1f} of 100 cells (at most 2)"
    )
    return "\n".join(lines)


def main() -> None:
    """Print the table, and write the pictures where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        help="folder of the breast fields (IHC), and with --more of those under PD-L1",
    )
    parser.add_argument("--more", action="store_true", help="count the crops that were marked later")
    parser.add_argument("--out", type=Path, help="folder for pictures of the crops with outlines")
    given = parser.parse_args()
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
    print(breast_table(breast_figures(given.folders, MORE_MARKS if given.more else MARKS, given.out)))


if __name__ == "__main__":
    main()
