"""A folder of small synthetic cell images with masks, enough to train a segmenter for a second."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from qupath_her2.patches.targets.targets import BACKGROUND, MEMBRANE, NUCLEUS

__all__ = ["draw_masks"]


def draw_masks(folder: Path, *, cases: int = 8, side: int = 128, seed: int = 0) -> tuple[str, ...]:
    """Draw a small study into `folder`: an image and its mask per case, and ``cases.csv`` with HER2 scores in turn.

    Parameters
    ----------
    folder
        Output folder, created if needed.
    cases
        Number of cases.
    side
        Side of an image, px.
    seed
        Seed of colours and positions.

    Returns
    -------
    tuple of str
        File names of the images.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [("image", "case", "her2")]
    for number in range(cases):
        picture = np.full((side, side, 3), 235.0) + rng.normal(0, 6, 3)
        mask = np.full((side, side), BACKGROUND, np.uint8)
        for _ in range(side // 5):
            at = tuple(int(value) for value in rng.integers(0, side, 2))
            for colour, code, radius, width in (
                ((150.0, 95.0, 45.0), MEMBRANE, 10, 3),
                ((95.0, 95.0, 165.0), NUCLEUS, 6, -1),
            ):
                cv2.circle(picture, at, radius, colour, width)
                cv2.circle(mask, at, radius, code, width)
        picture += rng.normal(0, 6, picture.shape)
        name = f"c{number}"
        cv2.imwrite(str(folder / f"{name}.png"), np.clip(picture, 0, 255).astype(np.uint8)[..., ::-1])
        cv2.imwrite(str(folder / f"{name}_mask.png"), mask)
        rows.append((f"{name}.png", f"K{number}", ("0", "1+", "2+", "3+")[number % 4]))
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return tuple(row[0] for row in rows[1:])
