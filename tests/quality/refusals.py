"""Measures behind the refusals, for real and drawn pictures: ``python -m tests.quality.refusals --real DATA``.

Prints for each picture and pixel size what the checks of `qupath_her2.cells.quality` measured and what they say, so
that anyone can see how many pictures stand on either side of a limit, and by how much. Real pictures are read in place;
their pixel sizes are not known, so each is tried at several. Seeds were used neither for tuning nor for training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.cells.grid import make_grid
from qupath_her2.cells.measure import CellSettings, find_cells
from qupath_her2.cells.quality.image_quality import ImageQuality, assess_image, check_image
from qupath_her2.cells.quality.stain_location import StainPattern, check_pattern, stain_pattern
from qupath_her2.cells.samples import read_samples
from qupath_her2.records import Region
from qupath_her2.regions import map_regions
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import preset
from tests.quality.chain import group_vectors, picture_file

Picture = NDArray[np.uint8]
_FIRST_SEED = 930_000
#: Folder below the data folder, pattern of file names, pixel sizes to try (µm), and the middle part that is read (px).
_REAL: tuple[tuple[str, str, tuple[float, ...], int | None], ...] = (
    ("her2_breast_fields/IHC", "*.*g", (0.3, 0.46, 0.55), None),
    ("her2_breast_fields/HE", "*.*g", (0.46,), None),
    ("traps", "*.*g", (0.25, 0.5), None),
    ("epithelium_masks", "*1p.png", (0.5,), None),
    ("her2_tma_cores", "*.jpg", (0.25, 0.32, 0.45), 1200),
)
_EXTENT_UM = 240.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured in a picture; `pattern` is None without tissue."""

    quality: ImageQuality | None
    pattern: StainPattern | None
    code: str


def measure_picture(rgb: Picture, pixel_size_um: float) -> Measured:
    """Measure all tissue of a picture as ``run --whole-tissue`` would, whatever is refused before the cells."""
    s = CellSettings()
    with picture_file(rgb) as path, open_slide(path) as slide:
        tissue = find_tissue(slide, pixel_size_um=pixel_size_um)
        pieces = tissue_polygons(tissue)
        if not pieces:
            return Measured(None, None, "no_tissue")
        (stains,) = group_vectors([(slide, tissue)], pixel_size_um)
        stains = replace(stains, background_rgb=tissue.background_rgb)
        regions = map_regions([Region(UUID(int=1), shapely.MultiPolygon(pieces), "tumour")])
        grid = make_grid(pixel_size_um, s.grid)
        samples = read_samples(slide, regions, grid, stains, s.planes)
        quality = assess_image(samples, stains, s.quality)
        found = find_cells(slide, regions, grid, stains, samples, s)
    pattern = stain_pattern(found.stain_places, s.quality)
    refusal = check_image(quality, s.quality) or check_pattern(pattern, quality.edge_blur_um, s.quality)
    return Measured(quality, pattern, refusal.code if refusal else "-")


def row(name: str, pixel_size_um: float, found: Measured) -> str:
    """Return one line of the table."""
    start = f"{name[:26]:27}{pixel_size_um:5g}  "
    if found.quality is None or found.pattern is None:
        return f"{start}{found.code}"
    q, p = found.quality, found.pattern
    return (
        f"{start}{q.green_share:6.2f}{q.edge_blur_um:6.2f}{q.blurred_share:6.2f}{q.dab_polarity:6.2f}"
        f"{q.spots.count:6}{q.spots.share:6.2f}{p.n_stained:7}{p.stained_share:6.2f}{p.outlined_share:6.2f}"
        f"{p.paler_share:6.2f}{p.membrane_od:6.2f}  {found.code}"
    )


HEADER = (
    f"{'picture':27}{'µm':>5}  {'green':>6}{'blur':>6}{'soft':>6}{'polar':>6}{'spots':>6}{'share':>6}{'cells':>7}"
    f"{'of all':>6}{'lines':>6}{'paler':>6}{'OD':>6}  refused as"
)


def drawn_pictures(seeds: int) -> Iterator[tuple[str, Picture, float]]:
    """Yield fields of every preset and score, name first, at 0.25 and 0.5 µm per pixel."""
    for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
        for um_px in (0.25, 0.5):
            side = round(_EXTENT_UM / um_px)
            size: dict[str, Any] = {"pixel_size_um": um_px, "width_px": side, "height_px": side}
            for name in ("cytoplasmic", "nuclear", "blurred", "h&e", "unstained"):
                yield f"drawn {name}", draw_field(preset(name, seed, **size)).rgb, um_px
            for score in ("0", "1+", "2+", "3+"):
                yield f"drawn {score}", draw_field(preset("score", seed, score=score, **size)).rgb, um_px


def real_pictures(data: Path) -> Iterator[tuple[str, Picture, float]]:
    """Yield the pictures of a data folder, each at the pixel sizes to try."""
    for folder, pattern, sizes_um, side in _REAL:
        for path in sorted((data / folder).glob(pattern)):
            rgb: Any = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            if side is not None:
                top, left = ((n - side) // 2 for n in rgb.shape[:2])
                rgb = rgb[top : top + side, left : left + side]
            for um_px in sizes_um:
                yield f"{folder.split('/')[-1][:6]} {path.name}", rgb, um_px


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--real", type=Path, metavar="DATA", help="folder that holds the folders of real pictures"
    )
    parser.add_argument("--seeds", type=int, default=1, help="seeds of drawn pictures, 18 each (default 1)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    sources = [] if arguments.real is None else [real_pictures(arguments.real)]
    sys.stdout.write(f"{HEADER}\n")
    for name, rgb, um_px in (
        picture for source in (*sources, drawn_pictures(arguments.seeds)) for picture in source
    ):
        sys.stdout.write(f"{row(name, um_px, measure_picture(rgb, um_px))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
