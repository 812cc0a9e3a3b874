"""Train the trees of the tumour finder: ``python -m tests.quality.tumour_trees OUT.npz --data DATA``.

They are trained on drawn fields and on real pictures that were outlined (`tests.quality.tumour_outlines`), each changed
as scanners, laboratories and wrong pixel sizes change pictures. Cells come from the package's own detector.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.trees import Trees, predict
from qupath_her2.cells.tumour.finder import (
    PASSES,
    SECOND_NAMES,
    Neighbours,
    first_rows,
    neighbours_of,
    second_rows,
    share,
)
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.varied import varied_field
from qupath_her2.training.tumour_finder.changed_pictures import Change, change_picture, random_change
from qupath_her2.training.tumour_finder.replay import drawn_labels
from tests.quality.nucleus_trees import tree_arrays
from tests.quality.tumour_cells import FoundCells, found_cells
from tests.quality.tumour_outlines import (
    Outlined,
    epithelium_mask,
    outlined_pictures,
    read_picture,
)

FIRST_SEED, LAST_SEED = 300_000, 399_999
_EXTENT_UM, _DRAWN_UM_PX = 256.0, 0.5
#: Number of drawn fields.
FIELDS = 224
#: Start of the `Labelled.group` of drawn fields.
DRAWN = "drawn "
#: Changed copies of each real picture. Of large ones, each copy is a window: a whole core takes a minute.
_COPIES, _WINDOW_PX, _WINDOW_STEP_PX = 8, 1900, 300
#: Labelled cells of a picture that are trained on, chosen at random.
_MOST_CELLS = 350
#: Parts into which pictures are divided for the first probabilities that the second pass is trained on.
_FOLDS = 2


@dataclass(frozen=True, slots=True)
class Labelled:
    """Cells of a picture with labels: 1 tumour, 0 not, -1 left out; `group` names the picture.

    `is_false` marks cells of a drawn field where no nucleus was drawn; None for real pictures.
    """

    group: str
    cells: FoundCells
    label: NDArray[np.int8]
    is_false: NDArray[np.bool_] | None = None

    def centre_um(self) -> NDArray[np.float64]:
        """Return the centres, µm as stated."""
        return self.cells.centre_px * self.cells.um_px


def drawn_settings(seed: int) -> FieldSettings:
    """Return the settings of one training field: whole tissue, or for one field in four nests with septa."""
    side = round(_EXTENT_UM / _DRAWN_UM_PX)
    return replace(varied_field(seed), pixel_size_um=_DRAWN_UM_PX, width_px=side, height_px=side)


def drawn_cells(seed: int) -> Labelled:
    """Draw one field, change it, and return its labelled cells."""
    field = draw_field(drawn_settings(seed))
    rng = np.random.default_rng(seed)
    change = random_change(rng)
    um_px = field.settings.pixel_size_um
    rgb, factor = change_picture(field.rgb, um_px, change, rng)
    cells = found_cells(rgb, um_px * factor * change.declared)
    return Labelled(f"{DRAWN}{seed}", cells, *drawn_labels(field, cells.centre_px * factor))


def real_cells(folder: Path, name: str) -> list[Labelled]:
    """Return the labelled cells of a real picture, first as it is, then changed."""
    outlined, rgb = outlined_pictures()[name], read_picture(folder, name)
    mask = epithelium_mask(folder, name, rgb.shape)
    rng = np.random.default_rng([*name.encode()])
    windows = labelled_windows(outlined, rgb.shape[:2], mask)
    found = []
    for k in range(_COPIES):
        change = random_change(rng) if k else Change()
        x, y, side = windows[k % len(windows)]
        part = np.ascontiguousarray(rgb[y : y + side, x : x + side])
        changed, factor = change_picture(part, outlined.um_px, change, rng) if k else (part, 1.0)
        cells = found_cells(changed, outlined.um_px * factor * change.declared)
        found.append(Labelled(name, cells, outlined.labels(cells.centre_px * factor + (x, y), mask)))
    return found


def labelled_windows(
    outlined: Outlined, shape: tuple[int, int], mask: NDArray[np.bool_] | None
) -> list[tuple[int, int, int]]:
    """Return corner (x, y) and side, px, of windows of a large picture that hold most of both labels, or all of it."""
    height, width = shape
    if min(shape) <= _WINDOW_PX:
        return [(0, 0, max(shape))]
    step = 50
    x, y = np.meshgrid(np.arange(step / 2, width, step), np.arange(step / 2, height, step))
    label = outlined.labels(np.stack([x.ravel(), y.ravel()], 1), mask).reshape(x.shape)
    windows = []
    for top in range(0, height - _WINDOW_PX + 1, _WINDOW_STEP_PX):
        for left in range(0, width - _WINDOW_PX + 1, _WINDOW_STEP_PX):
            rows, columns = (slice(at // step, (at + _WINDOW_PX) // step) for at in (top, left))
            tumour, other = ((label[rows, columns] == kind).mean() for kind in (1, 0))
            windows.append((min(tumour, other) + 0.2 * (tumour + other), (left, top, _WINDOW_PX)))
    windows.sort(reverse=True)
    kept: list[tuple[int, int, int]] = []
    # Half a window apart at least, or all copies would show the same cells.
    for _, window in windows:
        if len(kept) < _COPIES and all(
            max(abs(window[0] - x), abs(window[1] - y)) >= _WINDOW_PX / 2 for x, y, _ in kept
        ):
            kept.append(window)
    return kept


def _model() -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=80, max_leaf_nodes=12, min_samples_leaf=40, learning_rate=0.12, l2_regularization=5.0,
        max_features=0.4, random_state=0, early_stopping=False,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """A picture ready for training.

    Attributes
    ----------
    group
        Of the picture.
    rows, around
        Columns of the first pass and neighbours of all its cells.
    label
        As in `Labelled`.
    chosen
        int64 (K), cells that are trained on.
    """

    group: str
    rows: NDArray[np.float32]
    around: Neighbours
    label: NDArray[np.int8]
    chosen: NDArray[np.int64]


def prepare(picture: Labelled) -> Prepared:
    """Compute what training needs of a picture, once; choose cells at random where there are many."""
    around = neighbours_of(picture.centre_um())
    rng = np.random.default_rng(len(picture.label))
    shuffled = rng.permutation(len(picture.label))
    # Both kinds alike, as far as there are cells of both: nests of a few cells must not drown in stroma.
    by_kind = [shuffled[picture.label[shuffled] == kind] for kind in (0, 1)]
    fewer = min(len(cells) for cells in by_kind)
    each = max(_MOST_CELLS // 2, _MOST_CELLS - fewer)
    known = np.sort(np.concatenate([cells[:each] for cells in by_kind]))
    rows = first_rows(picture.cells.features, around)
    return Prepared(picture.group, rows, around, picture.label, known)


def fit(pictures: Sequence[Prepared]) -> tuple[Any, Any]:
    """Fit both passes; the second sees first probabilities of pictures that its first pass was not shown."""
    groups = sorted({p.group for p in pictures})
    fold = {group: i % _FOLDS for i, group in enumerate(np.random.default_rng(1).permutation(groups))}

    def fitted(tables: Sequence[NDArray[np.float32]], of: Sequence[int]) -> Any:
        x = np.concatenate([tables[i][pictures[i].chosen] for i in of])
        y = np.concatenate([pictures[i].label[pictures[i].chosen] for i in of])
        # Cells are chosen, not weighted: with weights, scikit-learn takes five times as long.
        return _model().fit(x, y)

    everyone = range(len(pictures))
    rows = [p.rows for p in pictures]
    first = [np.zeros(0, np.float32)] * len(pictures)
    for f in range(_FOLDS):
        model = fitted(rows, [i for i in everyone if fold[pictures[i].group] != f])
        trees = trees_of(model)
        for i in (i for i in everyone if fold[pictures[i].group] == f):
            first[i] = share(predict(trees, rows[i]))
    second = [second_rows(p.rows, one, p.around) for p, one in zip(pictures, first, strict=True)]
    return fitted(rows, everyone), fitted(second, everyone)


def trees_of(model: Any) -> Trees:
    """Return a fitted model as trees of the package, which predict many times faster."""
    arrays = tree_arrays(model)
    return Trees(**{**arrays, "baseline": float(arrays["baseline"])})


def as_trees(models: tuple[Any, Any]) -> dict[str, Trees]:
    """Return both passes as trees of the package."""
    return {name: trees_of(model) for name, model in zip(PASSES, models, strict=True)}


def save(models: tuple[Any, Any], out: Path) -> None:
    """Write both passes as plain arrays."""
    stored: dict[str, Any] = {"features": np.array(SECOND_NAMES)}
    for target, model in zip(PASSES, models, strict=True):
        stored.update({f"{target}/{name}": array for name, array in tree_arrays(model).items()})
    np.savez_compressed(out, **stored)


def main() -> None:
    """Find the cells of real pictures and of drawn fields, train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="file to write, for example tumour_trees.npz")
    parser.add_argument("--data", type=Path, required=True, help="folder of the outlined pictures")
    parser.add_argument("--fields", type=int, default=FIELDS, help="how many fields to draw")
    given = parser.parse_args()
    pictures = [prepare(cells) for name in outlined_pictures() for cells in real_cells(given.data, name)]
    pictures += [prepare(drawn_cells(seed)) for seed in range(FIRST_SEED, FIRST_SEED + given.fields)]
    save(fit(pictures), given.out)


if __name__ == "__main__":
    main()
