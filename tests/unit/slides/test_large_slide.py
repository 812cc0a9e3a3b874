"""A 60,000 x 60,000 px slide, drawn by repeating one encoded tile, never loads whole."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile

SIDE, TILE = 60_000, 512

#: Run in its own process, so that the peak is that of the reading alone.
MEASURE = """
import json, sys, time
from qupath_her2.slides.readers.slide import open_slide, read_scaled
from qupath_her2.slides.tissue import find_tissue
start = time.perf_counter()
with open_slide(sys.argv[1]) as slide:
    tissue = find_tissue(slide, pixel_size_um=0.25)
    read_scaled(slide, 30_000, 30_000, 2048, 2048, 2)
if sys.platform == "win32":
    import psutil
    peak = psutil.Process().memory_info().peak_wset
elif sys.platform == "linux":
    # getrusage would give the peak of the process that started this one, where that is higher.
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
else:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"peak": peak, "share": float(tissue.mask.mean()), "shape": tissue.mask.shape,
                  "reader": slide.reader, "seconds": time.perf_counter() - start}))
"""


def write_repeated(path, steps, drawn):
    """Write a tiled JPEG TIFF whose levels repeat one encoded tile, tissue on one half of it."""
    tile = np.full((TILE, TILE, 3), 240, np.uint8)
    tile[:, : TILE // 2] = drawn.drawn(TILE // 2, TILE) // 2 + 60
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        first = path.with_suffix(".one.tif")
        tifffile.imwrite(first, tile, tile=(TILE, TILE), **drawn.JPEG_KINDS["ycbcr-420"])
        with tifffile.TiffFile(first) as one:
            page = one.pages[0]
            one.filehandle.seek(page.dataoffsets[0])
            encoded = one.filehandle.read(page.databytecounts[0])
        for step in steps:
            side = SIDE // step
            count = (-(-side // TILE)) ** 2
            writer.write(
                iter([encoded] * count),
                shape=(side, side, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                metadata=None,
                subfiletype=int(step > 1),
                **drawn.JPEG_KINDS["ycbcr-420"],
            )
    return path


@pytest.mark.parametrize(
    "steps", [pytest.param((1, 4, 16), id="pyramid"), pytest.param((1,), id="flat", marks=pytest.mark.slow)]
)
def test_a_giant_slide_stays_under_two_gigabytes(tmp_path, drawn, steps):
    path = write_repeated(tmp_path / "giant.tif", steps, drawn)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert found["peak"] < 2 * 2**30
    assert found["shape"] == [SIDE // 32, SIDE // 32]
    assert found["reader"] == "tiff"
    assert found["share"] > 0.4, "half of each tile is tissue, and the whole slide was looked at"
