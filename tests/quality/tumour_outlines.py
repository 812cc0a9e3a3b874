"""Tumour and other tissue outlined in real pictures (`tumour_outlines.geojson`), read to label cells.

No pathologist drew them. Most were drawn by a language model looking at enlarged pictures; where tumour is 3+ (and in
the ducts of 00249), its brown area was closed and then checked by eye. The four pictures with masks of their own are
labelled by these: they fit after a turn by 180 degrees, stretched to the width of the picture (cropped, cells at one of
its sides would lie beside their outlines). Benign glands and ducts are a class of their own, see `LABELS`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

__all__ = ["LABELS", "LEFT_OUT", "Outlined", "epithelium_mask", "outlined_pictures", "read_picture"]

OUTLINES = Path(__file__).with_name("tumour_outlines.geojson")
LEFT_OUT = -1
#: Label of each class for training. Benign glands are no tumour, but what tells them from a well-formed carcinoma lies
#: beyond the features of cells: they are left out, and where they are proposed, a reader must delete them.
LABELS: Mapping[str, int] = {"tumour": 1, "other": 0, "benign gland": LEFT_OUT, "left out": LEFT_OUT}


@dataclass(frozen=True, slots=True)
class Outlined:
    """Outlines of one picture.

    Attributes
    ----------
    name
        Path within the data folder.
    um_px
        Pixel size that fits its nuclei, µm; no file holds one.
    rest
        Class of what no outline covers.
    areas
        Class and outline, pixels; later ones lie on top.
    """

    name: str
    um_px: float
    rest: str
    areas: tuple[tuple[str, shapely.Polygon], ...]

    def classes(self, xy: NDArray[np.float64], mask: NDArray[np.bool_] | None = None) -> NDArray[np.str_]:
        """Return the class of each point (N, 2), pixels; `mask` is the picture's own, see `epithelium_mask`."""
        found = np.full(len(xy), self.rest, "<U12")
        if mask is not None:
            column, row = np.clip(xy.astype(int), 0, np.array(mask.shape[::-1]) - 1).T
            found[mask[row, column]] = "tumour"
        for name, polygon in self.areas:
            shapely.prepare(polygon)
            found[shapely.contains_xy(polygon, xy[:, 0], xy[:, 1])] = name
        return found

    def labels(self, xy: NDArray[np.float64], mask: NDArray[np.bool_] | None = None) -> NDArray[np.int8]:
        """Return the label of each point, see `LABELS`."""
        return np.array([LABELS[name] for name in self.classes(xy, mask)], np.int8)


@cache
def outlined_pictures() -> dict[str, Outlined]:
    """Return all outlined pictures by name."""
    read = json.loads(OUTLINES.read_text(encoding="utf-8"))
    found = {}
    for name, facts in read["pictures"].items():
        areas = [f for f in read["features"] if f["properties"]["picture"] == name]
        found[name] = Outlined(
            name,
            facts["pixel_size_um"],
            facts["rest"],
            tuple((f["properties"]["class"], shapely.geometry.shape(f["geometry"])) for f in areas),
        )
    return found


def read_picture(folder: Path, name: str) -> NDArray[np.uint8]:
    """Read a picture of the data folder, uint8 (H, W, 3)."""
    picture = cv2.imread(str(folder / name))
    assert picture is not None, f"{folder / name} is no picture"
    return np.ascontiguousarray(picture[..., ::-1])


def epithelium_mask(folder: Path, name: str, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return a picture's own mask, turned and stretched to its shape, or None where it has none."""
    path = folder / f"{name.rsplit('.', 1)[0]}_mask.png"
    if not path.exists():
        return None
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    turned = np.ascontiguousarray(mask[::-1, ::-1])
    return np.asarray(cv2.resize(turned, shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0)
