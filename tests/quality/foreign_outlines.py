"""Cells outlined by other programs, measured in place, beside our own detection on the same freshly drawn fields.

``python -m tests.quality.foreign_outlines`` prints, for each kind of outline and each scale, the accuracy of the class
of matched cells, the share of 2+ cells called 3+, the mean error of the class shares and how many fields got their
score. All outlines are simulated, from the drawn truth and from our own detection (see `simulated_outlines`). Seeds
from 840 000 on are used for this comparison only. With ``--cores DIR`` outlines are simulated from our own
detection on real cores, and their class shares stand beside its own.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.records import CELL_CLASSES
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.synthetic.field import FieldTruth, draw_field
from qupath_her2.synthetic.presets import PLAIN_SHARES, preset
from qupath_her2.synthetic.settings import FieldSettings
from tests.quality.chain import Scored, Shape, picture_file, score_picture, score_slide
from tests.quality.fields import SCALES_UM_PX
from tests.quality.measures import Row, measured_row
from tests.quality.simulated_outlines import KINDS, Shapes, simulated_outlines
from tests.quality.tables import pooled_table, summarise

__all__ = ["FIRST_SEED", "OWN", "Figures", "compare_outlines", "figures_of", "outline_table"]

FIRST_SEED = 840_000
EXTENT_UM = 240.0
OWN = "own detection"


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one kind of outline at one scale over all fields; shares and errors in percentage points.

    `accuracy` : of the class of matched cells. `called_3` : share of 2+ cells called 3+. `share_error` : mean over
    fields and classes of the absolute error of a class share. `right`, `n_fields` : fields with the drawn score.
    """

    name: str
    um_px: float
    n_cells: int
    accuracy: float
    called_3: float
    share_error: float
    right: int
    n_fields: int


def fields_of(seeds: Iterable[int], um_px: float, extent_um: float = EXTENT_UM) -> list[FieldSettings]:
    """Return a field of each plain score and one of all classes for every seed."""
    side = round(extent_um / um_px)
    size = {"pixel_size_um": um_px, "width_px": side, "height_px": side}
    chosen = []
    for seed in seeds:
        chosen += [preset("score", seed, score=score, **size) for score in PLAIN_SHARES]
        chosen.append(FieldSettings(seed=seed, shares=(0.25, 0.25, 0.25, 0.25), **size))
    return chosen


def compare_outlines(
    fields: Iterable[FieldSettings],
    kinds: Sequence[str] = KINDS,
    tell: Callable[[str], None] | None = None,
) -> list[Row]:
    """Score each field by our own detection, and with simulated outlines of each kind measured in place.

    Parameters
    ----------
    fields : settings of the fields.
    kinds : of `simulated_outlines.KINDS`.
    tell : called with a line for each field.
    """
    cv2.setNumThreads(1)
    rows = []
    for settings in fields:
        field, start = draw_field(settings), time.process_time()
        scored = _scored(
            field.rgb,
            settings.pixel_size_um,
            field.truth.tumour_region,
            field.truth,
            kinds,
            settings.seed,
        )
        rows += [measured_row("foreign outlines", name, field, one) for name, one in scored.items()]
        if tell is not None:
            spent = time.process_time() - start
            tell(
                f"seed {settings.seed}, {settings.pixel_size_um} µm/px, {rows[-1].score_drawn}: {spent:.0f} s"
            )
    return rows


def _scored(
    rgb: NDArray[np.uint8],
    um_px: float,
    region: Shape | None,
    truth: FieldTruth | None,
    kinds: Sequence[str],
    seed: int,
) -> dict[str, Scored]:
    """Score an image by our own detection, then with outlines simulated from that and from the truth, by name."""
    own = score_picture(rgb, um_px, region)
    assert own.cells is not None
    scored, shapes = {OWN: own}, {"detection": Shapes.detected(own.cells.table)}
    if truth is not None:
        shapes["truth"] = Shapes.drawn(truth)
    with picture_file(rgb) as path, open_slide(path) as slide:
        tissue = find_tissue(slide, pixel_size_um=um_px)
        for source, kind in itertools.product(sorted(shapes, reverse=True), kinds):
            # Outlines of both sources get the same random errors.
            cells = simulated_outlines(kind, shapes[source], um_px, np.random.default_rng(seed))
            name = f"{kind}, simulated from {source}"
            scored[name] = score_slide(slide, tissue, own.stains, um_px, region, existing=cells)
    return scored


def figures_of(rows: Sequence[Row]) -> list[Figures]:
    """Return the figures of each kind and scale, in the order of the rows."""
    keys = dict.fromkeys((row.um_px, row.name) for row in rows)
    found = []
    for um_px, name in sorted(keys, key=lambda key: -key[0]):
        chosen = [row for row in rows if (row.um_px, row.name) == (um_px, name)]
        table, summary = pooled_table(chosen, "confusion"), summarise(chosen)
        errors = [np.abs(np.subtract(r.shares_found, r.shares_drawn)).mean() for r in chosen if r.score_found]
        found.append(
            Figures(
                name,
                um_px,
                summary.n_cells,
                100 * summary.accuracy,
                100 * float(table[2, 3] / max(table[2].sum(), 1)),
                100 * float(np.mean(errors)) if errors else float("nan"),
                summary.n_fields - summary.n_wrong,
                summary.n_fields,
            )
        )
    return found


def outline_table(figures: Sequence[Figures]) -> str:
    """Return the table, one line per kind and scale, with the difference of the accuracy to our own detection."""
    head = (
        f"{'outlines':58}{'µm/px':>6}{'cells':>8}{'acc. %':>8}{'- own':>7}{'2+ called 3+ %':>16}"
        f"{'share err. pts':>16}{'score right':>13}"
    )
    lines = [head, "-" * len(head)]
    own = {one.um_px: one.accuracy for one in figures if one.name == OWN}
    lines += [
        f"{one.name:58}{one.um_px:>6g}{one.n_cells:>8,}{one.accuracy:>8.1f}{one.accuracy - own[one.um_px]:>+7.1f}"
        f"{one.called_3:>16.1f}{one.share_error:>16.2f}{f'{one.right} of {one.n_fields}':>13}"
        for one in figures
    ]
    return "\n".join(lines)


def core_report(folder: Path, pixel_size_um: float, kinds: Sequence[str] = KINDS) -> str:
    """Return the class shares of real cores by our own detection, and with simulated outlines of its cells."""
    cv2.setNumThreads(1)
    lines = [
        f"{'core':12}{'cells':60}{'n':>8}  " + "".join(f"{name:>16}" for name in CELL_CLASSES) + "  score"
    ]
    for path in sorted(folder.glob("*.jpg")):
        rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        for name, one in _scored(rgb, pixel_size_um, None, None, kinds, FIRST_SEED).items():
            shares = "".join(f"{100 * share:16.1f}" for share in one.score.shares.values())
            score = one.score.score or one.score.refusal_code
            lines.append(f"{path.name[:10]:12}{name:60}{one.score.n_cells:>8,}  {shares}  {score}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--extent-um", type=float, default=EXTENT_UM)
    parser.add_argument(
        "--cores", type=Path, help="folder of the real cores: compare class shares on them instead"
    )
    parser.add_argument("--pixel-size-um", type=float, default=0.32, help="of the real cores (default 0.32)")
    given = parser.parse_args()
    if given.cores:
        print(core_report(given.cores, given.pixel_size_um))
        return
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    fields = [one for um_px in SCALES_UM_PX for one in fields_of(seeds, um_px, given.extent_um)]
    print(outline_table(figures_of(compare_outlines(fields, tell=print))))


if __name__ == "__main__":
    main()
