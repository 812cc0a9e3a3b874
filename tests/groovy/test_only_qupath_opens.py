"""An image in a format that QuPath opens and Python does not is scored through the pixels of its regions."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tifffile

from tests.groovy.fields import HERE, Fields, closing, make_fields
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]


def write_ics(target: Path, picture: Path) -> None:
    """Write a picture in the Image Cytometry Standard (version 2.0), which Bio-Formats reads."""
    pixels = tifffile.imread(picture)
    height, width, channels = pixels.shape
    rows = (
        ("ics_version", "2.0"), ("filename", target.stem), ("layout", "parameters", "4"),
        ("layout", "order", "bits", "ch", "x", "y"),
        ("layout", "sizes", "8", str(channels), str(width), str(height)), ("layout", "significant_bits", "8"),
        ("representation", "format", "integer"), ("representation", "sign", "unsigned"),
        ("representation", "compression", "uncompressed"), ("representation", "byte_order", "1"), ("end",),
    )  # fmt: skip
    head = "\t\n" + "".join("\t".join(row) + "\n" for row in rows)
    target.write_bytes(head.encode("ascii") + pixels.tobytes())


@pytest.fixture
def odd(qupath: QuPath, tmp_path: Path) -> Fields:
    """A project of a 3+ field as OME-TIFF, whose image is then replaced by the same picture as ICS."""
    fields = make_fields(qupath, tmp_path / "a study", tmp_path / "private", ("3+",))
    write_ics(fields.folder / "case01.ics", fields.folder / "case01.ome.tif")
    said = fields.run(
        HERE / "add_image.groovy", "-p", str(fields.project), "--args", str(fields.folder / "case01.ics")
    )
    assert "ADDED case01.ics" in said, said
    return fields


def test_scored_through_exported_pixels(odd: Fields) -> None:
    plain = closing(odd.on_image("score_image.groovy", "-s"))
    through = closing(odd.on_image("score_image.groovy", "-s", image="case01.ics"))
    assert (odd.her2 / "images" / "2_case01.ome.tif").is_file()
    assert through["score"] == plain["score"] == "3+"
    assert through["cells"] == plain["cells"]


def test_all_tissue_is_refused(odd: Fields) -> None:
    """Only the part with regions would be exported."""
    said = odd.on_image("score_image.groovy", "-s", "--args", "whole-tissue", image="case01.ics")
    assert "only QuPath opens files ending in '.ics'" in said
    assert closing(said)["state"] == "pushed"
