"""``run`` on folders of files as they really are: DICOM, BMP, QPTIFF, NDPI, regions of other programs, and the rest."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from qupath_her2.project.exchange.runs import current_run, read_record
from qupath_her2.project.folder import find_images
from qupath_her2.synthetic.example_project import write_field
from tests.helpers.dicom_slide import write_dicom_slide
from tests.helpers.ndpi_slide import write_ndpi_slide
from tests.unit.cli.commands import call, summary

SIDE, UM = 400, 0.5
#: The region drawn in every format, level-0 px, and its area in µm².
SQUARE = [(40, 40), (360, 40), (360, 360), (40, 360)]
AREA_UM2 = (320 * UM) ** 2
OFFSET_NM = (3_000_000, -1_500_000)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    image, _ = write_field(tmp_path_factory.mktemp("field"), "field", score="3+", seed=4, side_px=SIDE)
    pixels: NDArray[np.uint8] = tifffile.imread(image)
    return pixels


def geojson(path: Path) -> None:
    geometry = {"type": "Polygon", "coordinates": [[*SQUARE, SQUARE[0]]]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": "Tumor"}}}
    path.write_text(json.dumps(feature))


def aperio(path: Path, layer: str = "Tumor") -> None:
    points = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in SQUARE)
    region = f'<Region Id="1" Type="0" NegativeROA="0"><Vertices>{points}</Vertices></Region>'
    path.write_text(
        f'<Annotations><Annotation Name="{layer}"><Regions>{region}</Regions></Annotation></Annotations>'
    )


def ndpa(path: Path) -> None:
    placed = (
        ((x - SIDE / 2) * 1000 * UM + OFFSET_NM[0], (y - SIDE / 2) * 1000 * UM + OFFSET_NM[1])
        for x, y in SQUARE
    )
    points = "".join(f"<point><x>{x:.0f}</x><y>{y:.0f}</y></point>" for x, y in placed)
    outline = f'<annotation type="freehand"><closed>1</closed><pointlist>{points}</pointlist></annotation>'
    path.write_text(
        f'<annotations><ndpviewstate id="1"><title>Tumor</title>{outline}</ndpviewstate></annotations>'
    )


def qptiff(path: Path, pixels: NDArray[np.uint8]) -> None:
    with tifffile.TiffWriter(path) as file:
        size = {"resolution": (1e4 / UM, 1e4 / UM), "resolutionunit": "CENTIMETER"}
        kind = {"software": "PerkinElmer-QPI", "metadata": None, "photometric": "rgb", "compression": "lzw"}
        file.write(pixels, tile=(256, 256), **size, **kind)
        file.write(pixels[::8, ::8], **kind)


def test_each_kind_of_slide_and_region_file_gives_the_cells_of_the_same_pixels(
    field: NDArray[np.uint8], tmp_path: Path
) -> None:
    write_dicom_slide(tmp_path / "dicom", field, pixel_size_um=UM, label="label.dcm")
    geojson(tmp_path / "dicom.geojson")
    Image.fromarray(field).save(tmp_path / "bitmap.bmp")
    geojson(tmp_path / "bitmap.geojson")
    qptiff(tmp_path / "polaris.qptiff", field)
    aperio(tmp_path / "polaris.xml")
    write_ndpi_slide(tmp_path / "hamamatsu.ndpi", field, pixel_size_um=UM, offset_nm=OFFSET_NM)
    ndpa(tmp_path / "hamamatsu.ndpi.ndpa")
    code, _, err = call("run", tmp_path, "--progress", "off", "--pixel-size-um", UM)
    assert (code, err) == (0, "")
    rows = {row["image"]: row for row in summary(tmp_path / "her2")}
    assert set(rows) == {"dicom/a.dcm", "bitmap.bmp", "polaris.qptiff", "hamamatsu.ndpi"}
    assert {row["status"] for row in rows.values()} == {"scored"}
    cells = {name: int(row["cells"]) for name, row in rows.items()}
    assert cells["bitmap.bmp"] == cells["polaris.qptiff"] > 50
    # Its glass is measured on its second level: 234 instead of 237, and one cell fewer.
    assert cells["dicom/a.dcm"] == pytest.approx(cells["bitmap.bmp"], abs=1)
    # Its pixels went through JPEG.
    assert cells["hamamatsu.ndpi"] == pytest.approx(cells["bitmap.bmp"], rel=0.1)
    for image in find_images(tmp_path):
        run = current_run(tmp_path / "her2", image.id)
        assert run is not None
        (region,) = read_record(run).regions
        assert (region["class"], region["area_um2"]) == ("Tumor", pytest.approx(AREA_UM2, rel=1e-3))


def test_files_that_are_not_read_or_used_are_said_where_the_user_looks(
    field: NDArray[np.uint8], tmp_path: Path
) -> None:
    Image.fromarray(field).save(tmp_path / "case07.png")
    aperio(tmp_path / "case07.xml")
    for name in ("a.czi", "b.czi", "Thumbs.db", "._case07.png", "case7.geojson"):
        (tmp_path / name).write_bytes(b"x")
    wanted = [
        "Not read: 'a.czi', 'b.czi' (Zeiss CZI). Export to OME-TIFF from QuPath",
        "is 'case7.geojson' meant for 'case07'?",
    ]
    runs = call("run", tmp_path, "--progress", "off", "--pixel-size-um", UM)
    regions, doctor = call("regions", tmp_path), call("doctor", tmp_path)
    page = html.unescape((tmp_path / "her2" / "report.html").read_text(encoding="utf-8"))
    # The regions of the XML are in use; only a file of QuPath would take their place, and say so.
    assert not any("case07.xml" in text for text in (runs[2], regions[1], page))
    for text in (runs[2], regions[1], " ".join(doctor[1].split()), page):
        for sentence in wanted:
            assert sentence in text
        assert "Thumbs" not in text
        assert "._case07" not in text
    # A file that came later is named in the report of a run that has nothing else to do.
    geojson(tmp_path / "case07.geojson")
    (tmp_path / "c.vsi").write_bytes(b"x")
    call("run", tmp_path, "--progress", "off", "--pixel-size-um", UM)
    page = html.unescape((tmp_path / "her2" / "report.html").read_text(encoding="utf-8"))
    assert "'c.vsi' (Olympus/Evident VSI)" in page
    assert re.search(
        r"'case07.xml' of image 'case07.png' is not used, because 'case07.geojson' is there", page
    )


def test_a_changed_outline_in_xml_is_another_result(field: NDArray[np.uint8], tmp_path: Path) -> None:
    Image.fromarray(field).save(tmp_path / "a.png")
    aperio(tmp_path / "a.xml")
    flags = ("--progress", "off", "--pixel-size-um", UM)
    assert "1 scored" in call("run", tmp_path, *flags)[1]
    assert "1/1 up to date" in call("run", tmp_path, *flags)[1]
    (tmp_path / "a.xml").write_text((tmp_path / "a.xml").read_text().replace('"360"', '"355"'))
    assert "1 scored" in call("run", tmp_path, *flags)[1]


def test_layers_of_free_text_refuse_the_image_with_the_way_out(
    field: NDArray[np.uint8], tmp_path: Path
) -> None:
    Image.fromarray(field).save(tmp_path / "a.png")
    aperio(tmp_path / "a.xml", layer="Layer 1")
    call("run", tmp_path, "--progress", "off", "--pixel-size-um", UM)
    (row,) = summary(tmp_path / "her2")
    assert row["status"] == "not assessable"
    assert "name its layer Tumor" in row["warnings"]
    (tmp_path / "her2.toml").write_text("[regions]\nunclassified_is_tumour = true\n")
    call("run", tmp_path, "--progress", "off", "--pixel-size-um", UM)
    (row,) = summary(tmp_path / "her2")
    assert row["status"] == "scored"


def test_a_folder_of_formats_that_are_not_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.isyntax").write_bytes(b"x")
    code, _, err = call("run", tmp_path)
    assert code == 1
    assert "Not read: 'a.isyntax' (Philips iSyntax). Export to TIFF, SVS or DICOM" in err
