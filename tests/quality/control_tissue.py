"""Calibration by on-slide control tissue on drawn slides with a shifted stain.

``python -m tests.quality.control_tissue`` draws slides with a tumour and four controls, one of each class, calibrates
by the controls of three of them (`review calibrate --controls`), and prints the share of tumour cells of the other
slides that get their drawn class, before and after. Nobody labels a cell. Seeds from 920 000 on are used here only.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from qupath_her2.project.exchange.runs import current_run, read_run
from qupath_her2.records import NOT_MEASURED
from qupath_her2.runs.plan import select_images
from tests.helpers.drawn_controls import UM_PX, ControlSlide, draw_control_slide
from tests.helpers.matching import match_nuclei
from tests.unit.cli.commands import call

__all__ = ["ByControls", "by_controls"]

FIRST_SEED = 920_000


@dataclass(frozen=True, slots=True)
class ByControls:
    """Share of right cells of the slides whose controls were not used; `after` is None where calibrate refused."""

    before: float
    after: float | None
    n_cells: int
    said: str


def by_controls(folder: Path, scale: float, *, n_slides: int, n_used: int, side_px: int) -> ByControls:
    """Draw slides, calibrate by the controls of the first, and judge the tumour cells of the others.

    Parameters
    ----------
    folder : an empty folder.
    scale : factor on all DAB.
    n_slides : slides, each a case.
    n_used : those whose controls are used, at least 3.
    side_px : side of the tumour.
    """
    used, others = folder / "used", folder / "others"
    used.mkdir()
    others.mkdir()
    slides = [
        draw_control_slide(
            used if number < n_used else others,
            f"case{number:02d}",
            seed=FIRST_SEED + 100 * number,
            scale=scale,
            side_px=side_px,
        )
        for number in range(n_slides)
    ]
    code, out, err = call(
        "review", "calibrate", used, "--controls", "--name", "controls", "--progress", "off"
    )
    before, n_cells = _right(others, slides[n_used:])
    if code != 0:
        return ByControls(before, None, n_cells, err)
    after, _ = _right(others, slides[n_used:], "--profile", used / "her2" / "profiles" / "controls.json")
    return ByControls(before, after, n_cells, out)


def _right(folder: Path, slides: list[ControlSlide], *flags: object) -> tuple[float, int]:
    """Score a folder; return the share of matched tumour cells with their drawn class, and their number."""
    code, _, err = call("run", folder, "--progress", "off", *flags)
    assert code == 0, err
    right = n = 0
    refs = {ref.name: ref for ref in select_images(folder)}
    for slide in slides:
        run = current_run(folder / "her2", refs[slide.image.name].id)
        assert run is not None
        _, table, score = read_run(run)
        assert table is not None, score.reason
        truth = slide.tumour.truth
        found = match_nuclei(table.centroid_xy, truth.nuclei, UM_PX, truth.other_nuclei)
        given = table.cell_class[found.detected]
        known = given != NOT_MEASURED
        right += int(np.sum(given[known] == truth.cell_class[found.truth][known]))
        n += int(known.sum())
    return right / n, n


def main() -> None:
    """Print accuracy before and after for each factor on the stain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scales", type=float, nargs="+", default=[0.5, 1.0, 1.5, 2.0])
    parser.add_argument("--slides", type=int, default=6)
    given = parser.parse_args()
    for scale in given.scales:
        with TemporaryDirectory() as folder:
            found = by_controls(Path(folder), scale, n_slides=given.slides, n_used=3, side_px=700)
        after = "refused" if found.after is None else f"{100 * found.after:.1f} %"
        print(
            f"DAB x {scale:g}: {found.n_cells} tumour cells of {given.slides - 3} slides whose controls were not used: "
            f"{100 * found.before:.1f} % -> {after}\n{found.said}",
            flush=True,
        )


if __name__ == "__main__":
    main()
