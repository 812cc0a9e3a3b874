"""Cells of networks compared with those of the classical detector on the same freshly drawn fields.

``python -m tests.quality.network_cells CHECKPOINT …`` prints one line per detector: nuclei F1 (centres, as in the
quality report), nuclei and cells as instances (IoU 0.5: F1 and panoptic quality), error of membrane completeness,
accuracy of the class of matched cells. Measurement and scoring are the same for all. Seeds from 830 000 on are used
for this comparison only. With ``--cores DIR`` the nuclei that a reader marked on four real cores are used instead, with
``--breast DIR`` those of the crops of breast fields, with ``--tissue`` drawn whole tissue. ``--um-px 0.5`` shows
pictures as scanned at 20x.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.membrane.outlines import N_SECTORS
from qupath_her2.learning.metrics.instance_metrics import InstanceCounts, match_polygons
from qupath_her2.learning.segmentation.pixel_network import PixelNetwork
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.settings import SegmentSettings
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.presets import PLAIN_SHARES, preset
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.varied import varied_tissue
from tests.quality.breast_cells import breast_comparison, compare_breast
from tests.quality.breast_nuclei import UM_PX as BREAST_UM_PX
from tests.quality.chain import Scored, score_picture
from tests.quality.marked_cells import compare_marked, marked_table
from tests.quality.measures import BORDER_UM, Row, measured_row
from tests.quality.tables import summarise

__all__ = ["FIRST_SEED", "CellFigures", "compare_cells", "comparison_table"]

FIRST_SEED = 830_000
#: Pixel size without ``--um-px``, µm.
UM_PX = 0.25
EXTENT_UM = 200.0


@dataclass(frozen=True, slots=True)
class CellFigures:
    """Figures of one detector over all fields.

    `name` : name of the detector. `rows` : one per field, see `measures.Row`. `nuclei`, `cells` : instances matched at
    an IoU of 0.5, of tumour cells whose nucleus is at least 8 µm from the edge. `seconds` : CPU time without drawing.
    """

    name: str
    rows: tuple[Row, ...]
    nuclei: InstanceCounts
    cells: InstanceCounts
    seconds: float


def fields_of(
    seeds: Iterable[int], extent_um: float = EXTENT_UM, um_px: float = UM_PX, *, of_tissue: bool = False
) -> list[FieldSettings]:
    """Return a field of each plain score and one of all classes for every seed, or as many of varied whole tissue."""
    side = round(extent_um / um_px)
    size = {"pixel_size_um": um_px, "width_px": side, "height_px": side}
    chosen = []
    for seed in seeds:
        if of_tissue:
            chosen += [replace(varied_tissue(10 * seed + k), **size) for k in range(len(PLAIN_SHARES) + 1)]
            continue
        chosen += [preset("score", seed, score=score, **size) for score in PLAIN_SHARES]
        chosen.append(FieldSettings(seed=seed, shares=(0.25, 0.25, 0.25, 0.25), **size))
    return chosen


def compare_cells(
    checkpoints: Sequence[Path],
    seeds: Iterable[int] = range(FIRST_SEED, FIRST_SEED + 2),
    *,
    extent_um: float = EXTENT_UM,
    um_px: float = UM_PX,
    of_tissue: bool = False,
    settings: SegmentSettings | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[CellFigures]:
    """Score the same fields with the classical detector and with the cells of each checkpoint.

    Parameters
    ----------
    checkpoints : segmenters; each is named by its folder and file.
    seeds : seeds of fields on which none of them was trained.
    extent_um : side of a field, µm.
    um_px : pixel size of the fields, µm.
    of_tissue : draw whole tissue with stroma, ducts and fat, of which everything is scored but the ducts.
    settings : settings of the segmentation.
    tell : called with a line for each field and detector.
    """
    cv2.setNumThreads(1)
    ways: list[tuple[str, PixelNetwork | None]] = [("classical", None)]
    for path in checkpoints:
        ways.append((f"{path.parent.name}/{path.stem}", PixelNetwork(*load_checkpoint(path), settings)))
    found: dict[str, list[tuple[Row, InstanceCounts, InstanceCounts]]] = {name: [] for name, _ in ways}
    spent = dict.fromkeys(found, 0.0)
    for field_settings in fields_of(seeds, extent_um, um_px, of_tissue=of_tissue):
        field = draw_field(field_settings)
        for name, network in ways:
            start = time.process_time()
            scored = score_picture(field.rgb, um_px, field.truth.tumour_region, network)
            spent[name] += time.process_time() - start
            found[name].append(
                (measured_row("network cells", name, field, scored), *_instances(field, scored))
            )
            if tell is not None:
                tell(f"seed {field_settings.seed} {name}: {found[name][-1][0].n_cells} cells")
    return [
        CellFigures(
            name,
            tuple(row for row, _, _ in rows),
            sum((nuclei for _, nuclei, _ in rows), InstanceCounts()),
            sum((cells for _, _, cells in rows), InstanceCounts()),
            spent[name],
        )
        for name, rows in found.items()
    ]


def _instances(field: Field, scored: Scored) -> tuple[InstanceCounts, InstanceCounts]:
    """Match nuclei and cells as polygons, within the border."""
    truth, s = field.truth, field.settings
    edge = BORDER_UM / s.pixel_size_um
    low, high = edge, np.array([s.width_px, s.height_px]) - edge

    def inner(xy: NDArray[np.floating]) -> NDArray[np.bool_]:
        return np.asarray(((xy >= low) & (xy < high)).all(1))

    wanted = np.flatnonzero(inner(truth.centroid_xy))
    true_nuclei = [shapely.Polygon(truth.nuclei[i]) for i in wanted]
    true_cells = [shapely.Polygon(truth.cells[i]) for i in wanted]
    if scored.cells is None or not len(scored.cells.table):
        return InstanceCounts(fn=len(wanted)), InstanceCounts(fn=len(wanted))
    table = scored.cells.table
    kept = np.flatnonzero(inner(table.centroid_xy))
    nuclei = [shapely.Polygon(ring) for ring in table.nucleus_xy.reshape(len(table), -1, 2)[kept]]
    cells = [shapely.Polygon(ring) for ring in table.cell_xy.reshape(-1, N_SECTORS, 2)[kept]]
    return match_polygons(true_nuclei, nuclei), match_polygons(true_cells, cells)


def comparison_table(figures: Sequence[CellFigures]) -> str:
    """Return the table, one line per detector."""
    head = (
        f"{'cells by':24}{'fields':>7}{'cells':>8}{'nuclei F1':>11}{'nuc. IoU F1':>12}{'nuc. PQ':>9}{'cell F1':>9}"
        f"{'cell PQ':>9}{'compl. MAE':>12}{'(stained)':>11}{'class acc.':>12}{'share err.':>12}{'score right':>13}"
        f"{'CPU s':>8}"
    )
    lines = [head, "-" * len(head)]
    for one in figures:
        s = summarise(one.rows)
        lines.append(
            f"{one.name[:23]:24}{s.n_fields:>7}{s.n_cells:>8,}{s.f1:>11.4f}{one.nuclei.f1:>12.4f}{one.nuclei.pq:>9.4f}"
            f"{one.cells.f1:>9.4f}{one.cells.pq:>9.4f}{s.completeness_mae:>12.4f}{s.stained_mae:>11.4f}"
            f"{s.accuracy:>12.4f}{s.share_error:>12.2f}{f'{s.n_fields - s.n_wrong} of {s.n_fields}':>13}"
            f"{one.seconds:>8.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--extent-um", type=float, default=EXTENT_UM)
    parser.add_argument("--um-px", type=float, default=UM_PX)
    parser.add_argument("--tissue", action="store_true", help="draw whole tissue instead of nests")
    parser.add_argument(
        "--cores", type=Path, help="folder of the real cores: compare with a reader's marks instead"
    )
    parser.add_argument("--breast", type=Path, help="folder of the breast fields: compare with their marks")
    given = parser.parse_args()
    ways = [("classical", None), *((str(p), PixelNetwork(*load_checkpoint(p))) for p in given.checkpoints)]
    if given.breast:
        for words, um_px in (("scanned at 0.46 µm/px", 0.46), ("0.75 µm/px, enlarged to 0.5", 0.75)):
            print(words)
            fields = [name for name, size in BREAST_UM_PX.items() if size == um_px]
            print(breast_comparison(compare_breast(given.breast, ways, fields)))
        return
    if given.cores:
        print(marked_table(compare_marked(given.cores, ways, given.um_px)))
        return
    seeds = range(FIRST_SEED, FIRST_SEED + given.seeds)
    figures = compare_cells(
        given.checkpoints,
        seeds,
        extent_um=given.extent_um,
        um_px=given.um_px,
        of_tissue=given.tissue,
        tell=print,
    )
    print(comparison_table(figures))


if __name__ == "__main__":
    main()
