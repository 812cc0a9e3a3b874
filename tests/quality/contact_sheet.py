"""Contact sheet of drawn beside real tissue, crops at the same µm per pixel, for a reader to compare by eye.

``python -m tests.quality.contact_sheet SHEET.png --seeds 1 12`` draws fields of the preset ``breast`` and its traps.
Real pictures are read in place from the folders ``her2_tma_cores``, ``her2_breast_fields``, ``traps`` and
``epithelium_masks`` in the one that QUPATH_HER2_REAL_DATA names; without it all crops are drawn ones.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.synthetic.breast import TRAPS
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import PLAIN_SHARES, preset

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RealCrop:
    """A crop of a real picture: file pattern, true pixel size (µm), and its top-left corner as shares of the room."""

    pattern: str
    pixel_size_um: float
    left: float
    top: float


#: Pixel sizes are those that fit the nuclei, not those that the files or publishers state.
REAL: tuple[RealCrop, ...] = (
    RealCrop("her2_breast_fields/IHC/00052*", 0.75, 0.3, 0.3),
    RealCrop("her2_breast_fields/IHC/mist_15M*", 0.46, 0.2, 0.2),
    RealCrop("her2_breast_fields/IHC/mist_19M*", 0.46, 0.65, 0.05),
    RealCrop("her2_breast_fields/IHC/mist_100M*", 0.46, 0.1, 0.3),
    RealCrop("her2_breast_fields/IHC/00249*", 0.75, 0.35, 0.3),
    RealCrop("her2_breast_fields/IHC/00118*", 0.75, 0.3, 0.3),
    RealCrop("her2_breast_fields/IHC/00640*", 0.75, 0.4, 0.1),
    RealCrop("her2_breast_fields/IHC/mist_28M*", 0.46, 0.5, 0.4),
    RealCrop("her2_tma_cores/2_*", 0.32, 0.4, 0.4),
    RealCrop("her2_tma_cores/0_*", 0.32, 0.4, 0.4),
    RealCrop("traps/lymphocyte*", 0.25, 0.0, 0.0),
    RealCrop("epithelium_masks/13_aggregate_l1p.png", 0.45, 0.1, 0.1),
)


def real_crop(root: Path, crop: RealCrop, side_um: float) -> Picture | None:
    """Return a square of `side_um` of a real picture, uint8 (h, h, 3) RGB; None if the picture is not there."""
    paths = sorted(root.glob(crop.pattern))
    if not paths:
        return None
    picture = cv2.cvtColor(cv2.imread(str(paths[0])), cv2.COLOR_BGR2RGB)
    n = round(side_um / crop.pixel_size_um)
    height, width = picture.shape[:2]
    top, left = int(crop.top * max(0, height - n)), int(crop.left * max(0, width - n))
    return np.asarray(picture[top : top + n, left : left + n], np.uint8)


def drawn_crop(name: str, seed: int, side_um: float, um_px: float, **more: Any) -> Picture:
    """Return a field of a preset, uint8 (h, h, 3) RGB."""
    side = round(side_um / um_px)
    return draw_field(preset(name, seed, width_px=side, height_px=side, pixel_size_um=um_px, **more)).rgb


def sheet(tiles: list[tuple[str, Picture]], columns: int, side_px: int) -> Picture:
    """Join named tiles into one picture, uint8 (H, W, 3) RGB, each enlarged to `side_px`."""
    rows = []
    for start in range(0, len(tiles), columns):
        row = [np.full((side_px, side_px, 3), 255, np.uint8)] * columns
        for k, (name, tile) in enumerate(tiles[start : start + columns]):
            shown = cv2.resize(tile, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
            for colour, thick in (((255, 255, 255), 3), ((0, 0, 0), 1)):
                cv2.putText(shown, name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thick, cv2.LINE_AA)
            row[k] = np.asarray(shown, np.uint8)
        rows.append(np.hstack(row))
    return np.vstack(rows)


def main() -> None:
    """Draw, read and write one sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 12), help="first and last seed")
    parser.add_argument("--presets", nargs="+", default=["breast", *TRAPS], help="names of presets, in turn")
    parser.add_argument("--side-um", type=float, default=190.0)
    parser.add_argument("--um-px", type=float, default=0.46)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--tile-px", type=int, default=480)
    asked = parser.parse_args()
    tiles: list[tuple[str, Picture]] = []
    root = os.environ.get("QUPATH_HER2_REAL_DATA")
    if root is not None:
        for crop in REAL:
            found = real_crop(Path(root), crop, asked.side_um)
            if found is not None:
                tiles.append((f"real {Path(crop.pattern).name[:12]}", found))
    scores = list(PLAIN_SHARES)
    for number, seed in enumerate(range(asked.seeds[0], asked.seeds[1] + 1)):
        name, score = asked.presets[number % len(asked.presets)], scores[seed % 4]
        more = {"score": score} if name in ("score", "breast") else {}
        tiles.append((f"{name} {seed}", drawn_crop(name, seed, asked.side_um, asked.um_px, **more)))
    cv2.imwrite(str(asked.out), sheet(tiles, asked.columns, asked.tile_px)[..., ::-1])


if __name__ == "__main__":
    main()
