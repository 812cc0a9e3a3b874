"""A folder of many drawn slides for batches: small, a few huge, some that cannot be read, some without tumour."""

from __future__ import annotations

import shutil
from pathlib import Path

from qupath_her2.synthetic.example_project import write_field

__all__ = ["draw_batch"]

#: Of every so many slides one is broken, one has no tumour region, one is huge.
_EVERY = 25
_SCORES = ("0", "1+", "2+", "3+")
_SMALL_PX = (256, 300, 360)
_HUGE_PX = 1400


def draw_batch(folder: Path, n: int, *, huge_px: int = _HUGE_PX) -> dict[str, int]:
    """Write `n` slides with their regions, and return how many there are of each sort.

    Twelve small fields and one huge one are drawn, and copied under many names: what a batch does with them does not
    depend on their pixels.
    """
    models = folder.with_name(f"{folder.name}-drawn")
    models.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    small = []
    for number, score in enumerate(_SCORES * len(_SMALL_PX)):
        name = f"small{number}"
        if not (models / f"{name}.ome.tif").is_file():
            side = _SMALL_PX[number // len(_SCORES)]
            write_field(
                models, name, score=score, seed=700 + number, side_px=side, stroma=0.1, out_of_focus=0.0
            )
        small.append(name)
    if not (models / "huge.ome.tif").is_file():
        write_field(models, "huge", score="2+", seed=720, side_px=huge_px, stroma=0.1, out_of_focus=0.0)
    counts = {"small": 0, "huge": 0, "broken": 0, "without tumour": 0}
    for number in range(n):
        sort = {0: "broken", 1: "without tumour", 2: "huge"}.get(number % _EVERY, "small")
        counts[sort] += 1
        model = "huge" if sort == "huge" else small[number % len(small)]
        image = folder / f"s{number:04d}.ome.tif"
        shutil.copyfile(models / f"{model}.ome.tif", image)
        shutil.copyfile(models / f"{model}.geojson", folder / f"s{number:04d}.geojson")
        if sort == "broken":
            image.write_bytes(image.read_bytes()[: 200 * (1 + number // _EVERY)])
        elif sort == "without tumour":
            (folder / f"s{number:04d}.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    return counts
