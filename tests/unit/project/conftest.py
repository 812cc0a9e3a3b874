"""A drawn table of cells."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.provenance import object_uuids
from qupath_her2.records import CellTable


def draw_cells(n: int, *, seed: int = 0, n_measurements: int = 3) -> CellTable:
    """Cells with 12-vertex outlines and 8-vertex nuclei; every fifth cell has no nucleus."""
    random = np.random.default_rng(seed)
    centre = random.uniform(50, 5000, (n, 2)).astype(np.float32)

    def rings(k: int, radius: float, keep: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        angle = np.linspace(0, 2 * np.pi, k, endpoint=False)
        r = radius * random.uniform(0.8, 1.2, (n, k))
        xy = centre[:, None] + np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1)
        offsets = np.concatenate([[0], np.cumsum(np.where(keep, k, 0))])
        return xy[keep].reshape(-1, 2).astype(np.float32), offsets.astype(np.int64)

    cell_xy, cell_offsets = rings(12, 20, np.ones(n, bool))
    nucleus_xy, nucleus_offsets = rings(8, 9, np.arange(n) % 5 != 4)
    measurements = random.normal(0, 1, (n, n_measurements)).astype(np.float32)
    measurements[::3, 0] = np.nan
    return CellTable(
        uuid=object_uuids("5a" * 32, n),
        centroid_xy=centre,
        cell_xy=cell_xy,
        cell_offsets=cell_offsets,
        nucleus_xy=nucleus_xy,
        nucleus_offsets=nucleus_offsets,
        region=np.zeros(n, np.int32),
        measurements=measurements,
        measurement_names=tuple(f"HER2: Measure {i} µm" for i in range(n_measurements)),
        cell_class=random.integers(0, 4, n).astype(np.uint8),
    )


@pytest.fixture
def cells() -> CellTable:
    return draw_cells(40)
