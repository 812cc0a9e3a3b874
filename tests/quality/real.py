"""Real cores, read in place and never copied: false 1+, rank of complete membranes, flips and rotations."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import spearmanr

from qupath_her2.records import CELL_CLASSES, CaseInfo
from qupath_her2.scoring.score_cells import ScoringSettings, score_cells
from qupath_her2.slides.readers.slide import Slide, open_slide
from qupath_her2.slides.stains.vectors import StainVectors
from qupath_her2.slides.tissue import Tissue, find_tissue
from tests.quality.chain import Scored, group_vectors, picture_file, score_facts, score_slide

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]
_WINDOW_PX = 2048
_BORDER_UM = 20.0
_SAME_CELL_UM = 3.0
#: Name, transform of the image, and the map of a point (x, y) back to the original image of side `n`.
_TURNS: tuple[tuple[str, Callable[[Picture], Picture], Callable[[Points, float], Points]], ...] = (
    ("flip left-right", np.fliplr, lambda p, n: np.stack([n - p[:, 0], p[:, 1]], 1)),
    ("flip up-down", np.flipud, lambda p, n: np.stack([p[:, 0], n - p[:, 1]], 1)),
    ("turn 90°", lambda a: np.rot90(a, 1), lambda p, n: np.stack([n - p[:, 1], p[:, 0]], 1)),
    ("turn 180°", lambda a: np.rot90(a, 2), lambda p, n: n - p),
    ("turn 270°", lambda a: np.rot90(a, 3), lambda p, n: np.stack([p[:, 1], n - p[:, 0]], 1)),
)


def _labels(folder: Path) -> dict[str, int]:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {Path(row["filename"]).name: int(row["ihc-score"]) for row in rows}


def real_report(folder: Path, pixel_size_um: float) -> dict[str, Any]:
    """Measure the cores of a folder with ``labels.csv``, print a table and return the figures."""
    labels = _labels(folder)
    paths = sorted((folder / name for name in labels), key=lambda path: labels[path.name])
    slides = [open_slide(path) for path in paths]
    try:
        tissues = [find_tissue(slide, pixel_size_um=pixel_size_um) for slide in slides]
        vectors = group_vectors(list(zip(slides, tissues, strict=True)), pixel_size_um)
        stains = vectors[0]
        print(
            f"\nREAL CORES at {pixel_size_um} µm/px (given, not in the files), whole tissue; stains: {stains.source}"
        )
        print(f"haematoxylin {np.round(stains.hematoxylin, 3)}, DAB {np.round(stains.dab, 3)}")
        cores = [
            _core(path.name[:10], labels[path.name], slide, tissue, found, pixel_size_um)
            for path, slide, tissue, found in zip(paths, slides, tissues, vectors, strict=True)
        ]
    finally:
        for slide in slides:
            slide.close()
    rank = float(spearmanr([c["label"] for c in cores], [c["complete_share"] or 0 for c in cores]).statistic)
    zero = [1 - c["shares"][0] for c in cores if c["label"] == 0]
    print(f"cells >= 1+ in the core labelled 0: {100 * zero[0]:.2f} % (at most 1 %)")
    print(f"complete-membrane share by label: rank correlation {rank:.2f} (aim: 1)")
    same = [turn["same"] for core in cores for turn in core["turns"].values()]
    print(
        f"same class after flips and rotations: lowest {100 * min(same):.1f} % of paired cells (at least 97 %)"
    )
    return {"cores": cores, "rank": rank, "false_1_plus": zero[0], "lowest_same_class": min(same)}


def _core(
    name: str, label: int, slide: Slide, tissue: Tissue, stains: StainVectors, pixel_size_um: float
) -> dict[str, Any]:
    scored = score_slide(slide, tissue, stains, pixel_size_um)
    assert scored.cells is not None
    gastric = _gastric_score(scored, pixel_size_um)
    shares = list(scored.score.shares.values())
    shown = ", ".join(f"{c.split()[-1]} {100 * v:.1f} %" for c, v in zip(CELL_CLASSES, shares, strict=True))
    complete = scored.score.complete_share
    print(
        f"{name}  label {label}: breast {scored.score.score or scored.score.refusal_code}, gastric {gastric}; "
        f"{scored.score.n_cells:,} cells; {shown}; complete {100 * (complete or 0):.1f} %; "
        f"{scored.seconds:.1f} s CPU",
        flush=True,
    )
    turns = _turned(slide, tissue, stains, pixel_size_um)
    for turn, figures in turns.items():
        print(
            f"    {turn:16} same class {100 * figures['same']:.2f} % of {figures['pairs']:,} pairs; "
            f"{100 * figures['unpaired']:.2f} % of cells without a partner",
            flush=True,
        )
    return {
        "name": name,
        "label": label,
        "score": scored.score.score,
        "gastric": gastric,
        "refusal": scored.score.refusal_code,
        "n_cells": scored.score.n_cells,
        "shares": shares,
        "complete_share": complete,
        "cpu_seconds": scored.seconds,
        "turns": turns,
    }


def _gastric_score(scored: Scored, pixel_size_um: float) -> str | None:
    cells = scored.cells
    assert cells is not None
    _, score = score_cells(
        cells.intensity,
        cells.pattern,
        cells.table.region,
        [str(region.uuid) for region in cells.scored_regions],
        case=CaseInfo(site="gastric"),
        settings=ScoringSettings(),
        centroid_xy_um=cells.table.centroid_xy * pixel_size_um,
        refusal=cells.refusal,
    )
    return score.score


def _turned(
    slide: Slide, tissue: Tissue, stains: StainVectors, pixel_size_um: float
) -> dict[str, dict[str, float]]:
    """Score the centre of a core as it is, flipped and rotated, and compare cell by cell."""
    side = min(_WINDOW_PX, slide.width, slide.height) // 16 * 16
    picture = slide.read((slide.width - side) // 2, (slide.height - side) // 2, side, side)
    same = (tissue, stains, pixel_size_um, side)
    xy, classes = _cells_of(picture, *same)
    figures = {}
    for name, change, back in _TURNS:
        turned_xy, turned_classes = _cells_of(np.ascontiguousarray(change(picture)), *same)
        figures[name] = _compare(
            xy, classes, back(turned_xy, float(side)), turned_classes, pixel_size_um, side
        )
    return figures


def _cells_of(
    picture: Picture, tissue: Tissue, stains: StainVectors, pixel_size_um: float, side: int
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return centroids and classes of the cells in a window, with the glass colour and stain vectors of the core."""
    with picture_file(picture) as path, open_slide(path) as slide:
        scored = score_slide(slide, tissue, stains, pixel_size_um, shapely.box(0, 0, side, side))
    if scored.cells is None:
        return np.zeros((0, 2)), np.zeros(0, np.uint8)
    # Classified directly: a refusal of the window would hide the classes.
    classes, _ = score_facts(scored.cells.intensity, scored.cells.pattern)
    return scored.cells.table.centroid_xy.astype(np.float64), classes


def _compare(
    xy: NDArray[np.float64],
    classes: NDArray[np.uint8],
    other_xy: NDArray[np.float64],
    other_classes: NDArray[np.uint8],
    pixel_size_um: float,
    side: int,
) -> dict[str, float]:
    """Pair cells that are mutual nearest neighbours within 3 µm, without the border of the window."""
    edge = _BORDER_UM / pixel_size_um
    inner = np.all((xy > edge) & (xy < side - edge), axis=1)
    distance, there = cKDTree(other_xy).query(xy)
    _, back = cKDTree(xy).query(other_xy)
    paired = inner & (distance * pixel_size_um <= _SAME_CELL_UM) & (back[there] == np.arange(len(xy)))
    same = classes[paired] == other_classes[there[paired]]
    return {
        "same": float(same.mean()),
        "pairs": int(paired.sum()),
        "unpaired": float(1 - paired.sum() / inner.sum()),
    }
