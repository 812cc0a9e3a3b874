from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from qupath_her2.records import NOT_MEASURED, CellTable
from qupath_her2.slides.readers.slide import Slide, open_slide


def _disc_table(centres: list[tuple[float, float]], classes: list[int], radius: float = 12.0) -> CellTable:
    """Cells that are regular 24-gons of a known radius, with half as wide nuclei."""
    n = len(centres)
    angle = np.arange(24) * 2 * np.pi / 24
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    xy = np.array(centres, np.float32).reshape(n, 1, 2)
    return CellTable(
        uuid=np.arange(16 * n, dtype=np.uint8).reshape(n, 16) if n < 16 else np.zeros((n, 16), np.uint8),
        centroid_xy=xy[:, 0],
        cell_xy=(xy + radius * ring).reshape(-1, 2).astype(np.float32),
        cell_offsets=np.arange(n + 1, dtype=np.int64) * 24,
        nucleus_xy=(xy + radius / 2 * ring).reshape(-1, 2).astype(np.float32),
        nucleus_offsets=np.arange(n + 1, dtype=np.int64) * 24,
        region=np.zeros(n, np.int32),
        measurements=np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        measurement_names=("HER2: Membrane completeness", "HER2: Membrane DAB OD mean"),
        cell_class=np.array([NOT_MEASURED if c is None else c for c in classes], np.uint8),
    )


@pytest.fixture
def ramp_slide(tmp_path: Path) -> Slide:
    """A picture whose red is x / 4 and whose green is y / 4, so that any crop can be checked."""
    y, x = np.mgrid[0:800, 0:1000]
    rgb = np.stack([x // 4, y // 4, np.full_like(x, 200)], axis=2).astype(np.uint8)
    path = tmp_path / "ramp.png"
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return open_slide(path)


@pytest.fixture
def disc_table() -> Callable[..., CellTable]:
    return _disc_table
