from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from qupath_her2.slides.readers.objective import objective_hint, objective_power

PIXELS = np.full((64, 64, 3), 200, np.uint8)


@pytest.mark.parametrize(
    ("description", "power"),
    [
        ("Aperio Image Library v12\r\n64x64 |AppMag = 20|Filename = 1", 20.0),
        ("Aperio Image Library v12\r\n64x64 |AppMag = 40,0", 40.0),
        ('<OME><Objective NominalMagnification="10.0"/></OME>', 10.0),
        ("AppMag = 0", None),
        ("AppMag = 4000", None),
        ("no objective", None),
    ],
)
def test_the_power_is_read_from_descriptions(tmp_path: Path, description: str, power: float | None) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", description=description, tile=(32, 32), metadata=None)
    assert objective_power(path) == power


def test_the_hint_names_the_usual_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", description="AppMag = 20", metadata=None)
    assert objective_hint(path) == " (its file states a 20x objective, which usually means about 0.5 µm)"


@pytest.mark.parametrize("content", [b"", b"no image", b"II*\0\xff\xff\xff\xff"])
def test_files_that_cannot_be_read_have_no_hint(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.tif"
    path.write_bytes(content)
    assert objective_hint(path) == ""
