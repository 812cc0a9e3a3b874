"""The scanner that a file names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from qupath_her2.slides.readers.scanner import scanner_name

PIXELS = np.full((256, 256, 3), 200, np.uint8)
APERIO = "Aperio Image Library v12.0.15\r\n256x256 [0,0 256x256] (128x128) JPEG|AppMag = 20|MPP = 0.5036"


def test_vendor_and_device_of_a_slide(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    tifffile.imwrite(
        path,
        PIXELS,
        photometric="rgb",
        description=f"{APERIO}|ScanScope ID = SS1302",
        tile=(128, 128),
        metadata=None,
    )
    assert scanner_name(path) == "aperio SS1302"
    tifffile.imwrite(path, PIXELS, photometric="rgb", description=APERIO, tile=(128, 128), metadata=None)
    assert scanner_name(path) == "aperio"


def test_an_exported_image_names_none(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", tile=(128, 128), metadata=None)
    assert scanner_name(path) == ""
    (tmp_path / "a.png").write_bytes(b"not a slide")
    assert scanner_name(tmp_path / "a.png") == ""
