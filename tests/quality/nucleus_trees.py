"""Train the trees that rate nuclear outlines.

``python -m tests.quality.nucleus_trees OUT.npz --cores DIR --breast DIR [DIR]``

They are trained on drawn fields, on real crops in which nuclei were marked as ellipses (`marked_nuclei.csv`), and on
crops of breast fields in which their centres were marked (`breast_outlines`). The target is the fit of an outline
(intersection over union, 0.25 to 0.75). The marks were made by a language model looking
at enlarged crops, not by a pathologist. Each row of the file is one nucleus: the core (first letter of its file), the
corner of its crop of 256 level-0 pixels of 0.25 µm, the ellipse in pixels of the crop, and whether it is certain
(0 = ignored).
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import cv2
import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.nuclei.candidates import NUCLEUS_FEATURES, Candidates, nucleus_features
from qupath_her2.cells.nuclei.contours import outline_seeds
from qupath_her2.cells.nuclei.detection import ClassicalDetector, Tile
from qupath_her2.cells.nuclei.seeds import find_seeds
from qupath_her2.cells.nuclei.star_contours import polygons
from qupath_her2.cells.samples import read_samples
from qupath_her2.cells.stain_planes import PlaneSettings, make_planes
from qupath_her2.records import Region
from qupath_her2.regions import map_regions
from qupath_her2.slides.readers.slide import open_slide, read_scaled
from qupath_her2.slides.stains.density_sample import sample_tissue
from qupath_her2.slides.stains.estimate import estimate_stains
from qupath_her2.slides.stains.vectors import optical_density
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import preset
from qupath_her2.synthetic.settings import FieldSettings
from tests.quality.breast_outlines import breast_rows
from tests.quality.fields import VARIATIONS

MARKS = Path(__file__).with_name("marked_nuclei.csv")

Rows = tuple[NDArray[np.float32], NDArray[np.float64]]
_FIRST_SEED, _FIELDS, _EXTENT_UM = 5000, 44, 240.0
_FIRST_TISSUE_SEED, _TISSUES = 5200, 16
#: Weights in the training of the breast crops, of the cores, and of drawn fields.
_SHARES = (0.25, 0.35, 0.4)
#: Models whose mean is taken, and the share of the features that each split may choose from: fields left out are rated
#: better by them than by one model that always takes the best feature (`left_out_nuclei`: F1 0.844 against 0.839).
_MODELS, _FEATURE_SHARE = 3, 0.4
_HALO_PX = 128
#: Side of a marked crop, level-0 px.
CROP_PX = 256


def _outlined(tile: Tile) -> Candidates:
    seeds, _ = find_seeds(tile.planes.seed, tile.planes.um_px)
    return outline_seeds(tile.planes, seeds)


def _rows(
    found: Candidates,
    detector: ClassicalDetector,
    outlines: NDArray[np.float64],
    truth: Sequence[shapely.Polygon],
    sure: Sequence[bool],
    inside: NDArray[np.bool_],
    um_px: float,
) -> Rows:
    """Return features and fit of the outlines `inside`, without those that fit a doubtful nucleus best."""
    # As in the detector: outlines that it drops beforehand are no rivals, and would only use up splits.
    possible = detector.is_possible(found)
    found, outlines, inside = found.take(possible), outlines[possible], inside[possible]
    best = np.zeros((len(found), 2))
    tree = shapely.STRtree(truth)
    for i in np.flatnonzero(inside):
        outline = shapely.Polygon(outlines[i]).buffer(0)
        for j in tree.query(outline):
            fit = outline.intersection(truth[j]).area / outline.union(truth[j]).area
            best[i, int(not sure[j])] = max(best[i, int(not sure[j])], fit)
    kept = inside & ~((best[:, 1] > 0.25) & (best[:, 1] > best[:, 0]))
    strong = (detector.strong_edge_od, detector.strong_hematoxylin_od)
    measures = nucleus_features(found, *strong, um_px)[kept]
    return measures, np.clip((best[kept, 0] - 0.25) / 0.5, 0, 1)


def drawn_rows() -> Iterator[Rows]:
    """Yield outlines of drawn fields, then of drawn breast tissue with its stroma, fat and artefacts."""
    for settings in _plain_fields():
        yield _field_rows(settings, ())
    for k in range(_TISSUES):
        um_px = 0.5 if k % 2 else 0.75
        side = round(_EXTENT_UM / um_px)
        sized: dict[str, Any] = {"pixel_size_um": um_px, "width_px": side, "height_px": side}
        name, score = ("breast", "debris", "breast", "fat and stroma")[k % 4], ("0", "1+", "2+", "3+")[k // 4]
        kinds = ("stroma", "lymphocyte", "duct", "myoepithelium", "endothelium")
        yield _field_rows(preset(name, _FIRST_TISSUE_SEED + k, score=score, **sized), kinds)


def _plain_fields() -> Iterator[FieldSettings]:
    """Yield settings of drawn fields with every variation and with random combinations."""
    rng = np.random.default_rng(5)
    every = list(VARIATIONS.values())
    for k in range(_FIELDS):
        um_px = 0.5 if k % 4 else 0.25
        changes: dict[str, Any] = {}
        for name in rng.choice(list(VARIATIONS), 1 if k % 3 else 0, replace=False):
            changes.update(VARIATIONS[name])
        if k >= 6:
            changes.update(every[(k - 6) % len(every)])
        side = round(_EXTENT_UM / um_px)
        shares = tuple(rng.dirichlet([1, 1, 1, 1]))
        sized: dict[str, Any] = {"pixel_size_um": um_px, "width_px": side, "height_px": side}
        yield FieldSettings(seed=_FIRST_SEED + k, shares=shares, **sized, **changes)  # type: ignore[arg-type]


def _field_rows(settings: FieldSettings, counted: Sequence[str]) -> Rows:
    """Draw a field and outline its blobs; nuclei of other cells are doubtful unless of a kind that is `counted`."""
    field = draw_field(settings)
    scale = max(1.0, 0.5 / settings.pixel_size_um)
    rgb = cv2.resize(field.rgb, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    pixels = rgb.reshape(-1, 3)
    bright = pixels.sum(1) >= np.percentile(pixels.sum(1), 97)
    glass = tuple(float(v) for v in np.median(pixels[bright], 0))
    density = optical_density(rgb, glass).reshape(-1, 3)
    stains = estimate_stains(density[density.sum(1) > 0.1], background_rgb=glass)
    tile = Tile(rgb, make_planes(rgb, stains, settings.pixel_size_um * scale))
    found = _outlined(tile)
    truth = [shapely.Polygon(r).buffer(0) for r in (*field.truth.nuclei, *field.truth.other_nuclei)]
    sure = [True] * len(field.truth.nuclei) + [kind in counted for kind in field.truth.other_kinds]
    border = 8 / settings.pixel_size_um
    xy = (found.centre + 0.5) * scale
    inside = ((xy > border) & (xy < settings.width_px - border)).all(1)
    outlines = (polygons(found.centre, found.radii) + 0.5) * scale
    return _rows(
        found, ClassicalDetector().prepared([tile]), outlines, truth, sure, inside, tile.planes.um_px
    )


def ellipse(row: dict[str, str]) -> shapely.Polygon:
    """Return the outline of a marked nucleus, pixels of its crop."""
    x, y, rx, ry = (float(row[name]) for name in ("x_px", "y_px", "rx_px", "ry_px"))
    upright = shapely.affinity.scale(shapely.Point(0, 0).buffer(1, 12), rx, ry)
    turned = shapely.affinity.rotate(upright, float(row["angle_deg"]), origin=(0, 0))
    return shapely.affinity.translate(turned, x, y)


def marked_crops() -> dict[tuple[int, int, int], list[dict[str, str]]]:
    """Return the rows of `marked_nuclei.csv` by crop: core, x, y."""
    crops: dict[tuple[int, int, int], list[dict[str, str]]] = {}
    with MARKS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = (int(row["core"]), int(row["crop_x"]), int(row["crop_y"]))
            crops.setdefault(key, []).append(row)
    return crops


def marked_rows(cores: Path) -> Iterator[Rows]:
    """Yield outlines of the marked crops, with samples of each core and pooled stain vectors."""
    slides = [open_slide(path) for path in sorted(cores.glob("*.jpg"))]
    tissues = [find_tissue(slide, pixel_size_um=0.25) for slide in slides]
    # Pooled pixels, not medians of images: the trees of the package were trained with these vectors.
    pixels = [sample_tissue(slide, tissue, 0.25) for slide, tissue in zip(slides, tissues, strict=True)]
    shared, grid = estimate_stains(np.concatenate(pixels)), make_grid(0.25)
    for core, (slide, tissue) in enumerate(zip(slides, tissues, strict=True)):
        stains = replace(shared, background_rgb=tissue.background_rgb)
        whole = Region(UUID(int=1), shapely.MultiPolygon(tissue_polygons(tissue)), "tumour")
        samples = read_samples(slide, map_regions([whole]), grid, stains, PlaneSettings())
        detector = ClassicalDetector().prepared([sample.tile for sample in samples])
        for (_, *crop), marks in ((k, v) for k, v in marked_crops().items() if k[0] == core):
            corner = (np.array(crop) // 2 - _HALO_PX) // 8 * 8
            side = CROP_PX // 2 + 2 * _HALO_PX + 8
            rgb = read_scaled(slide, int(corner[0]) * 2, int(corner[1]) * 2, side, side, 2.0)
            found = _outlined(Tile(rgb, make_planes(rgb, stains, 0.5)))
            place = (corner + 0.5) * 2 - crop
            xy = found.centre * 2 + place
            inside = ((xy > 6) & (xy < CROP_PX - 6)).all(1)
            outlines = polygons(found.centre, found.radii) * 2 + place
            sure = [mark["sure"] == "1" for mark in marks]
            yield _rows(found, detector, outlines, [ellipse(mark) for mark in marks], sure, inside, 0.5)
        slide.close()


def tree_arrays(model: Any) -> dict[str, NDArray[Any]]:
    """Flatten a fitted HistGradientBoostingRegressor into the arrays of `trees.Trees`."""
    roots, parts = [], []
    total = 0
    for (tree,) in model._predictors:
        nodes = tree.nodes
        roots.append(total)
        leaf = nodes["is_leaf"].astype(bool)
        parts.append(
            (
                np.where(leaf, -1, nodes["feature_idx"]).astype(np.int16),
                nodes["num_threshold"].astype(np.float32),
                (nodes["left"].astype(np.int32) + total),
                (nodes["right"].astype(np.int32) + total),
                nodes["value"].astype(np.float32),
            )
        )
        total += len(nodes)
    names = ("feature", "threshold", "left", "right", "value")
    flat = {name: np.concatenate([part[k] for part in parts]) for k, name in enumerate(names)}
    return {
        **flat,
        "root": np.array(roots, np.int32),
        "baseline": np.float64(model._baseline_prediction).ravel()[0],
    }


def mean_of(models: Sequence[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Join the trees of several models into one that predicts their mean."""
    joined: dict[str, list[NDArray[Any]]] = {}
    total = 0
    for arrays in models:
        for name in ("root", "left", "right"):
            joined.setdefault(name, []).append(arrays[name] + np.int32(total))
        for name in ("feature", "threshold"):
            joined.setdefault(name, []).append(arrays[name])
        joined.setdefault("value", []).append(arrays["value"] / np.float32(len(models)))
        total += len(arrays["feature"])
    flat = {name: np.concatenate(parts) for name, parts in joined.items()}
    return {**flat, "baseline": np.mean([arrays["baseline"] for arrays in models])}


def train_trees(parts: Sequence[Sequence[Rows]]) -> dict[str, NDArray[Any]]:
    """Train the trees on outlines of breast crops, of cores and of drawn fields, and return them as plain arrays."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    counts = [sum(len(rows[1]) for rows in part) for part in parts]
    weight = np.repeat([share / n for share, n in zip(_SHARES, counts, strict=True)], counts)
    rows = [one for part in parts for one in part]
    features, fit = (np.concatenate([one[k] for one in rows]) for k in (0, 1))
    models = [
        HistGradientBoostingRegressor(
            max_iter=120, max_leaf_nodes=12, min_samples_leaf=20, learning_rate=0.08, l2_regularization=5.0,
            max_features=_FEATURE_SHARE, random_state=seed, early_stopping=False,
        ).fit(features, fit, weight / weight.mean())
        for seed in range(_MODELS)
    ]  # fmt: skip
    return mean_of([tree_arrays(model) for model in models])


def main() -> None:
    """Collect outlines of marked and drawn nuclei, train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="file to write, for example nucleus_trees.npz")
    parser.add_argument("--cores", type=Path, required=True, help="folder of the marked cores, <core>_*.jpg")
    parser.add_argument(
        "--breast", type=Path, nargs="+", required=True, help="folders of the breast fields (IHC, PD-L1)"
    )
    given = parser.parse_args()
    breast = [rows for _, rows in breast_rows(given.breast)]
    trees = train_trees([breast, list(marked_rows(given.cores)), list(drawn_rows())])
    stored = {f"quality/{name}": array for name, array in trees.items()}
    np.savez_compressed(given.out, features=np.array(NUCLEUS_FEATURES), **stored)


if __name__ == "__main__":
    main()
