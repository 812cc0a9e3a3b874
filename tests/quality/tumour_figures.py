"""Figures of the tumour finder: ``python -m tests.quality.tumour_figures DATA --out DIR``.

The outlined pictures are left out in seven parts, the trees are trained on all others and on drawn fields, and the
cells and proposed regions of the pictures left out are compared with their outlines. ``DIR`` receives an overlay of
each: proposals in red, tumour outlines in green. Benign glands and what is left out count as neither right nor wrong;
how much of them was proposed is stated beside.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.trees import Trees
from qupath_her2.cells.tumour.finder import tumour_probability
from qupath_her2.cells.tumour.proposals import propose_regions
from tests.quality.tumour_cells import found_cells
from tests.quality.tumour_outlines import LEFT_OUT, Outlined, epithelium_mask, outlined_pictures, read_picture
from tests.quality.tumour_trees import (
    FIELDS,
    FIRST_SEED,
    LAST_SEED,
    as_trees,
    drawn_cells,
    fit,
    prepare,
    real_cells,
    save,
)

__all__ = ["PictureFigures", "auc", "drawn_line", "figures_line", "measure_picture"]

#: Parts into which the outlined pictures are divided.
_PARTS = 7
#: Drawn fields that no training saw.
_UNSEEN = 24
_RED, _GREEN = (40, 40, 230), (60, 200, 60)


@dataclass(frozen=True, slots=True)
class PictureFigures:
    """What the finder does with one picture.

    Attributes
    ----------
    auc
        Area under the ROC curve of cells in tumour against other cells, NaN where there is but one kind.
    found, false
        Shares of tumour and of other cells with a probability of at least 0.5.
    in_tumour
        Share of the proposed cells, of those that count, that lie in tumour.
    dice
        Pixel Dice of proposals and tumour outlines, over the pixels that count.
    proposed_mm2, proposed_left_out_mm2
        Area of all proposals, and of their part in benign glands and what is left out.
    """

    n: int
    auc: float
    found: float
    false: float
    in_tumour: float
    dice: float
    proposed_mm2: float
    proposed_left_out_mm2: float


def auc(values: NDArray[np.float32], is_tumour: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve, NaN where there is but one kind (Mann-Whitney U over the pairs)."""
    from scipy.stats import rankdata

    n, m = int(is_tumour.sum()), int((~is_tumour).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(values)[is_tumour].sum() - n * (n + 1) / 2) / (n * m))


def _label_image(
    outlined: Outlined, shape: tuple[int, ...], mask: NDArray[np.bool_] | None
) -> NDArray[np.int8]:
    """Return the label of each pixel, see `tumour_outlines.LABELS`."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    xy = np.stack([columns.ravel(), rows.ravel()], 1) + 0.5
    return outlined.labels(xy, mask).reshape(shape[:2])


def _painted(regions: Sequence[shapely.Polygon], shape: tuple[int, ...], scale: float) -> NDArray[np.bool_]:
    """Return the pixels that proposals cover."""
    image = np.zeros(shape[:2], np.uint8)
    for region in regions:
        rings = [region.exterior, *region.interiors]
        cv2.fillPoly(image, [np.rint(np.array(r.coords) * scale - 0.5).astype(np.int32) for r in rings], 1)
    return image > 0


def measure_picture(
    folder: Path, name: str, trees: Mapping[str, Trees] | None, out: Path | None = None
) -> PictureFigures:
    """Find and propose the tumour of an outlined picture, and compare.

    Parameters
    ----------
    folder
        Of the outlined pictures.
    name
        One of `outlined_pictures`.
    trees
        Of both passes; None for those of the package.
    out
        Folder for the overlay.
    """
    outlined, rgb = outlined_pictures()[name], read_picture(folder, name)
    mask = epithelium_mask(folder, name, rgb.shape)
    cells = found_cells(rgb, outlined.um_px, with_outlines=True)
    probability = tumour_probability(cells.features, cells.centre_px * outlined.um_px, trees)
    regions = propose_regions(cells.centre_px, cells.cell_xy, probability, outlined.um_px)
    label = outlined.labels(cells.centre_px, mask)
    # Areas are compared at no more than 1500 pixels a side: outlines by eye are no finer.
    scale = min(1500 / max(rgb.shape[:2]), 1.0)
    small = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    truth = _label_image(_scaled(outlined, scale), small.shape, _scaled_mask(mask, small.shape))
    proposed = _painted(regions, small.shape, scale)
    if out is not None:
        _draw(small, regions, truth, scale, out / f"{Path(name).stem[:24]}.jpg")
    counts, tumour = truth >= 0, truth == 1
    both = (proposed & tumour & counts).sum()
    size = (proposed & counts).sum() + tumour.sum()
    inside = np.zeros(len(label), bool)
    for region in regions:
        shapely.prepare(region)
        inside |= shapely.contains_xy(region, *cells.centre_px.T)
    known = label >= 0
    mm2 = (outlined.um_px / scale / 1000) ** 2
    return PictureFigures(
        len(label),
        auc(probability[known], label[known] == 1),
        _share(probability[label == 1] >= 0.5),
        _share(probability[label == 0] >= 0.5),
        _share(label[known & inside] == 1),
        float(2 * both / size) if size else float("nan"),
        float(proposed.sum() * mm2),
        float((proposed & ~counts).sum() * mm2),
    )


def _share(chosen: NDArray[np.bool_]) -> float:
    return float(chosen.mean()) if len(chosen) else float("nan")


def _scaled(outlined: Outlined, scale: float) -> Outlined:
    areas = tuple((c, shapely.transform(polygon, lambda p: p * scale)) for c, polygon in outlined.areas)
    return Outlined(outlined.name, outlined.um_px / scale, outlined.rest, areas)


def _scaled_mask(mask: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    resized = cv2.resize(mask.astype(np.uint8), shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized > 0)


def _draw(
    rgb: NDArray[np.uint8],
    regions: Sequence[shapely.Polygon],
    truth: NDArray[np.int8],
    scale: float,
    path: Path,
) -> None:
    """Write a picture with proposals in red and tumour outlines in green."""
    picture = np.ascontiguousarray(rgb[..., ::-1])
    found, _ = cv2.findContours((truth == 1).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, found, -1, _GREEN, 1)
    for region in regions:
        for ring in (region.exterior, *region.interiors):
            cv2.polylines(picture, [np.rint(np.array(ring.coords) * scale).astype(np.int32)], True, _RED, 2)
    cv2.imwrite(str(path), picture)


def figures_line(name: str, f: PictureFigures) -> str:
    """Return a row of the table."""
    return (
        f"| {Path(name).stem[:24]} | {f.n:,} | {f.auc:.3f} | {f.found:.2f} | {f.false:.3f} | {f.in_tumour:.3f} | "
        f"{f.dice:.2f} | {f.proposed_mm2:.4f} | {f.proposed_left_out_mm2:.4f} |"
    )


def drawn_line(trees: Mapping[str, Trees] | None) -> str:
    """Return the figures of drawn fields of unseen seeds: AUC over their cells, and its median over fields.

    The second AUC is that of cells on a drawn nucleus. Benign ducts count in neither: nothing that a cell shows tells
    them from tumour.
    """
    values, truths, false, each = [], [], [], []
    for seed in range(LAST_SEED - _UNSEEN, LAST_SEED):
        drawn = drawn_cells(seed)
        assert drawn.is_false is not None
        known = drawn.label != LEFT_OUT
        value = tumour_probability(drawn.cells.features, drawn.centre_um(), trees)[known]
        truth = drawn.label[known] == 1
        values.append(value)
        truths.append(truth)
        false.append(drawn.is_false[known])
        each.append(auc(value, truth))
    value, truth, on_nucleus = np.concatenate(values), np.concatenate(truths), ~np.concatenate(false)
    return (
        f"{_UNSEEN} drawn fields of unseen seeds: AUC {auc(value, truth):.3f}, median of fields "
        f"{np.nanmedian(each):.3f}; without false cells {auc(value[on_nucleus], truth[on_nucleus]):.3f}"
    )


def main() -> None:
    """Leave out each picture in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the outlined pictures")
    parser.add_argument("--out", type=Path, required=True, help="folder for the overlays")
    parser.add_argument("--fields", type=int, default=FIELDS, help="how many fields to draw for training")
    parser.add_argument("--save", type=Path, metavar="NPZ", help="also write the trees trained on all of it")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    cells = [prepare(c) for name in outlined_pictures() for c in real_cells(given.data, name)]
    cells += [prepare(drawn_cells(seed)) for seed in range(FIRST_SEED, FIRST_SEED + given.fields)]
    print(
        "| picture | cells | AUC | found | false | in tumour | Dice | proposed, mm² | in what is left out, mm² |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    names = list(outlined_pictures())
    for part in range(_PARTS):
        left_out = names[part::_PARTS]
        trees = as_trees(fit([c for c in cells if c.group not in left_out]))
        for name in left_out:
            print(figures_line(name, measure_picture(given.data, name, trees, given.out)), flush=True)
    models = fit(cells)
    if given.save is not None:
        save(models, given.save)
    print(drawn_line(as_trees(models)))


if __name__ == "__main__":
    main()
