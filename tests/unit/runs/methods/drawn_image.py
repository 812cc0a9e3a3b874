"""A folder with one drawn 3+ image and no region."""

from __future__ import annotations

from pathlib import Path

import cv2

from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import preset

__all__ = ["draw_only_image"]


def draw_only_image(project: Path) -> None:
    """Replace all files of a folder by ``a.png``, 560 x 560 px at 0.5 µm."""
    for path in project.iterdir():
        path.unlink()
    field = draw_field(preset("score", 5, score="3+", width_px=560, height_px=560))
    cv2.imwrite(str(project / "a.png"), cv2.cvtColor(field.rgb, cv2.COLOR_RGB2BGR))
