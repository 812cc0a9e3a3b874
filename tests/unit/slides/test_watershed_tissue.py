"""Tissue by Otsu and watershed: drawn discs on glass."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import tifffile

from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.watershed_tissue import find_tissue_by_watershed


def write(path: Path, picture: np.ndarray) -> Path:
    size = {"PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(
        path, picture, ome=True, tile=(256, 256), photometric="rgb", metadata={"axes": "YXS", **size}
    )
    return path


def test_stained_pieces_are_found_and_specks_dropped(tmp_path: Path) -> None:
    picture = np.full((1024, 1024, 3), 240, np.uint8)
    truth = np.zeros((1024, 1024), np.uint8)
    for centre, radius in (((300, 300), 200), ((750, 720), 120)):
        cv2.circle(truth, centre, radius, 1, -1)
    picture[truth > 0] = (190, 150, 200)
    cv2.circle(picture, (900, 100), 6, (90, 60, 60), -1)
    noise = np.random.default_rng(0).integers(-5, 6, picture.shape)
    path = write(tmp_path / "discs.ome.tif", np.clip(picture + noise, 0, 255).astype(np.uint8))
    with open_slide(path) as slide:
        tissue = find_tissue_by_watershed(slide)
    rows, columns = tissue.mask.shape
    small = cv2.resize(truth, (columns, rows), interpolation=cv2.INTER_AREA) > 0
    overlap = (tissue.mask & small).sum() / (tissue.mask | small).sum()
    assert overlap > 0.9
    assert tissue.downsample * columns == 1024
    assert min(tissue.background_rgb) > 230


def test_blank_glass_has_no_tissue(tmp_path: Path) -> None:
    with open_slide(write(tmp_path / "blank.ome.tif", np.full((512, 512, 3), 240, np.uint8))) as slide:
        assert not find_tissue_by_watershed(slide).mask.any()
