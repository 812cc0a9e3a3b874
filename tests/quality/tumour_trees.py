"""Train the trees of the tumour finder: ``python -m tests.quality.tumour_trees OUT.npz --data DATA``.

They are trained on drawn fields and on real pictures that were outlined (`tests.quality.tumour_outlines`), each changed
as scanners, laboratories and wrong pixel sizes change pictures. Cells come from the package's own detector.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.tumour.finder import SECOND_NAMES, first_rows, neighbours_of, second_rows
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.settings import FieldSettings
from tests.quality.fields import VARIATIONS
from tests.quality.nucleus_trees import tree_arrays
from tests.quality.tumour_cells import Change, FoundCells, change_picture, found_cells, random_change
from tests.quality.tumour_outlines import LEFT_OUT, epithelium_mask, outlined_pictures, read_picture

FIRST_SEED, LAST_SEED = 300_000, 399_999
_EXTENT_UM = 480.0
#: Changed copies of each real picture; large ones hold more cells.
_COPIES, _COPIES_LARGE, _LARGE_PX = 8, 5, 3000
#: Cells of a picture that are trained on, chosen at random.
_MOST_CELLS = 2500
#: Weight of all real pictures together; drawn fields have the rest.
_REAL_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class Labelled:
    """Cells of a picture with labels: 1 tumour, 0 not, -1 left out; `group` names the picture."""

    group: str
    cells: FoundCells
    label: NDArray[np.int8]

    def centre_um(self) -> NDArray[np.float64]:
        """Return the centres, µm as stated."""
        return self.cells.centre_px * self.cells.um_px


def drawn_settings(seed: int) -> FieldSettings:
    """Return the settings of one training field."""
    rng = np.random.default_rng(seed)
    changes: dict[str, Any] = {}
    for name in rng.choice(list(VARIATIONS), int(rng.integers(0, 3)), replace=False):
        changes.update(VARIATIONS[name])
    um_px = float(rng.choice([0.25, 0.5]))
    side = round(_EXTENT_UM / um_px)
    tissue = {
        "stroma": float(rng.uniform(0.15, 0.8)),
        "lymphocytes": float(rng.uniform(0, 1)),
        "collagen": float(rng.uniform(0, 1)),
        "lumens": float(rng.uniform(0, 0.8)),
        "tissue_edge": float(rng.choice([0.0, 0.0, rng.uniform(0, 0.5)])),
    }
    changes = {**tissue, "gland": float(rng.uniform(0, 1)), **changes}
    return FieldSettings(
        seed=seed, width_px=side, height_px=side, pixel_size_um=um_px,
        shares=tuple(rng.dirichlet([0.7] * 4)), **changes,
    )  # fmt: skip


def drawn_labels(field: Field, centre_px: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return the label of each found cell of a drawn field."""
    truth = field.truth
    tumour = [
        *truth.nuclei,
        *(r for r, k in zip(truth.other_nuclei, truth.other_kinds, strict=True) if k == "border"),
    ]
    other = [r for r, k in zip(truth.other_nuclei, truth.other_kinds, strict=True) if k != "border"]
    points = shapely.points(centre_px)

    def hit(rings: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_]:
        tree = shapely.STRtree([shapely.Polygon(ring).buffer(0) for ring in rings])
        found = np.zeros(len(points), bool)
        if len(rings):
            found[tree.query(points, predicate="within")[0]] = True
        return found

    is_tumour, is_other = hit(tumour), hit(other)
    # A false cell among tumour cells is no example of either.
    doubtful = shapely.contains_xy(truth.tumour_region, centre_px[:, 0], centre_px[:, 1]) & ~is_other
    return np.where(is_tumour, 1, np.where(doubtful, LEFT_OUT, 0)).astype(np.int8)


def drawn_cells(seed: int) -> Labelled:
    """Draw one field, change it, and return its labelled cells."""
    field = draw_field(drawn_settings(seed))
    rng = np.random.default_rng(seed)
    change = random_change(rng)
    um_px = field.settings.pixel_size_um
    rgb, factor = change_picture(field.rgb, um_px, change, rng)
    cells = found_cells(rgb, um_px * factor * change.declared)
    return Labelled(f"drawn {seed}", cells, drawn_labels(field, cells.centre_px * factor))


def real_cells(folder: Path, name: str) -> list[Labelled]:
    """Return the labelled cells of a real picture, first as it is, then changed."""
    outlined, rgb = outlined_pictures()[name], read_picture(folder, name)
    mask = epithelium_mask(folder, name, rgb.shape)
    rng = np.random.default_rng([*name.encode()])
    copies = _COPIES_LARGE if rgb.shape[0] > _LARGE_PX else _COPIES
    found = []
    for k in range(copies):
        change = random_change(rng) if k else Change()
        changed, factor = change_picture(rgb, outlined.um_px, change, rng) if k else (rgb, 1.0)
        cells = found_cells(changed, outlined.um_px * factor * change.declared)
        found.append(Labelled(name, cells, outlined.labels(cells.centre_px * factor, mask)))
    return found


def _model(**changes: Any) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        **{"max_iter": 100, "max_leaf_nodes": 12, "min_samples_leaf": 40, "learning_rate": 0.1,
           "l2_regularization": 5.0, "random_state": 0, "early_stopping": False, "max_features": 0.5, **changes},
    )  # fmt: skip


def fit(pictures: Sequence[Labelled], weights: Sequence[float]) -> tuple[Any, Any]:
    """Fit both passes; the second sees first probabilities of pictures that its first pass was not shown."""
    around = [neighbours_of(p.centre_um()) for p in pictures]
    rows = [first_rows(p.cells.features, a) for p, a in zip(pictures, around, strict=True)]
    groups = sorted({p.group for p in pictures})
    fold = {group: i % 4 for i, group in enumerate(np.random.default_rng(1).permutation(groups))}
    folds = np.array([fold[p.group] for p in pictures])

    def stacked(tables: Sequence[NDArray[np.float32]], chosen: Sequence[int]) -> Any:
        kept = [pictures[i].label != LEFT_OUT for i in chosen]
        x = np.concatenate([tables[i][k] for i, k in zip(chosen, kept, strict=True)])
        y = np.concatenate([pictures[i].label[k] for i, k in zip(chosen, kept, strict=True)])
        w = np.concatenate(
            [
                np.full(int(k.sum()), weights[i] / max(int(k.sum()), 50))
                for i, k in zip(chosen, kept, strict=True)
            ]
        )
        return _model().fit(x, y, w * len(w) / w.sum())

    everyone = range(len(pictures))
    first = [np.zeros(0, np.float32)] * len(pictures)
    for f in range(4):
        model = stacked(rows, [i for i in everyone if folds[i] != f])
        for i in np.flatnonzero(folds == f):
            first[i] = model.predict_proba(rows[i])[:, 1].astype(np.float32)
    second = [second_rows(r, p, a) for r, p, a in zip(rows, first, around, strict=True)]
    return stacked(rows, list(everyone)), stacked(second, list(everyone))


def save(models: tuple[Any, Any], out: Path) -> None:
    """Write both passes as plain arrays."""
    stored: dict[str, Any] = {"features": np.array(SECOND_NAMES)}
    for target, model in zip(("first", "second"), models, strict=True):
        stored.update({f"{target}/{name}": array for name, array in tree_arrays(model).items()})
    np.savez_compressed(out, **stored)


def main() -> None:
    """Draw fields, find their cells, train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="file to write, for example tumour_trees.npz")
    parser.add_argument("--fields", type=int, default=60, help="how many fields to draw")
    given = parser.parse_args()
    drawn = [drawn_cells(seed) for seed in range(FIRST_SEED, FIRST_SEED + given.fields)]
    save(fit(drawn, [1.0] * len(drawn)), given.out)


if __name__ == "__main__":
    main()
