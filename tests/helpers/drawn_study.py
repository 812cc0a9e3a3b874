"""Small drawn studies whose classes differ for certain: what a network that learns at all must tell apart."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from qupath_her2.project.class_names import class_colour

__all__ = ["GLASS_PX", "draw_study", "draw_tissue"]

#: Optical density of red, green, blue: Ruifrok & Johnston 2001, as QuPath has them.
HAEMATOXYLIN = np.array([0.65, 0.70, 0.29])
#: Of M. Veta's reference for Macenko's method: slides' eosin takes more red than the dye alone.
EOSIN = np.array([0.2159, 0.8012, 0.5581])
DAB = np.array([0.27, 0.57, 0.78])
GLASS_PX = 16


def draw_tissue(seed: int, *, side_px: int, stain: str, strength: float) -> NDArray[np.uint8]:
    """Draw nuclei in tissue, uint8 (side, side, 3).

    A rim of `GLASS_PX` is bare glass. With stain ``IHC`` they have membranes of DAB of a `strength` in 0..1, with
    ``H&E`` they are larger by it and the ground is of eosin; each picture has a shade of its own.
    """
    rng = np.random.default_rng(seed)
    most = 0.9 if stain == "H&E" else 0.5
    nuclei, rings = (np.zeros((side_px, side_px), np.float32) for _ in range(2))
    for _ in range(side_px * side_px // 330):
        at = tuple(int(v) for v in rng.integers(0, side_px, 2))
        radius = int(rng.integers(3, 6)) + (round(4 * strength) if stain == "H&E" else 0)
        cv2.circle(nuclei, at, radius, most * float(rng.uniform(0.6, 1.0)), -1, cv2.LINE_AA)
        if stain == "IHC" and strength > 0:
            cv2.circle(rings, at, radius + 2, 0.15 + 0.9 * strength, 2, cv2.LINE_AA)
    ground = EOSIN if stain == "H&E" else HAEMATOXYLIN
    amount = (0.5 if stain == "H&E" else 0.12) * rng.uniform(0.8, 1.2)
    cytoplasm = amount * (1 - np.minimum(nuclei / most, 1))
    density = nuclei[..., None] * HAEMATOXYLIN + rings[..., None] * DAB + cytoplasm[..., None] * ground
    inside = np.zeros((side_px, side_px, 1))
    inside[GLASS_PX:-GLASS_PX, GLASS_PX:-GLASS_PX] = 1
    density *= inside
    light = 245 * 10 ** -(density * rng.uniform(0.9, 1.1)) + rng.normal(0, 4, density.shape)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def draw_study(
    folder: Path,
    classes: Sequence[str],
    *,
    cases: int,
    stain: str = "IHC",
    region_classes: Sequence[str] | None = None,
    side_px: int = 224,
    pixel_size_um: float = 0.5,
    seed: int = 0,
) -> tuple[str, ...]:
    """Draw `cases` images of each class with a region each, and their labels in ``cases.csv``.

    Parameters
    ----------
    folder : gets ``<class>_<case>.ome.tif`` with ``.geojson``.
    classes : labels; the first has the weakest stain (or the smallest nuclei), the last the strongest.
    region_classes : of the regions, one a class; ``Tumor`` for all where None, the label being that of the image.
    stain, side_px, pixel_size_um, seed : of the drawing.

    Returns
    -------
    The names of the images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for case in range(cases):
        for grade, label in enumerate(classes):
            name = f"g{grade}_{case}"
            strength = grade / (len(classes) - 1)
            picture = draw_tissue(seed + 100 * case + grade, side_px=side_px, stain=stain, strength=strength)
            _write(folder / f"{name}.ome.tif", picture, pixel_size_um)
            of_region = "Tumor" if region_classes is None else region_classes[grade]
            (folder / f"{name}.geojson").write_text(json.dumps(_region(name, side_px, of_region)))
            rows.append((f"{name}.ome.tif", f"case {grade} {case}", label if region_classes is None else ""))
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "case", "label"), *rows])
    return tuple(row[0] for row in rows)


def _write(path: Path, picture: NDArray[np.uint8], pixel_size_um: float) -> None:
    size = {"PhysicalSizeX": pixel_size_um, "PhysicalSizeY": pixel_size_um}
    units = {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(
        path, picture, ome=True, tile=(128, 128), photometric="rgb", metadata={"axes": "YXS", **size, **units}
    )


def _region(name: str, side_px: int, of_region: str) -> dict[str, object]:
    low, high = GLASS_PX, side_px - GLASS_PX
    ring = [[low, low], [high, low], [high, high], [low, high], [low, low]]
    feature = {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_URL, f"drawn study/{name}")),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": of_region, "color": list(class_colour(of_region))},
        },
    }
    return {"type": "FeatureCollection", "features": [feature]}
