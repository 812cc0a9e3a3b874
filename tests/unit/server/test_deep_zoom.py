"""Tiles of the deep zoom against the picture they were cut from."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("fastapi", reason="NOT TESTED: pip install qupath-her2[serve]")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from qupath_her2.server import deep_zoom
from qupath_her2.server.deep_zoom import (
    OVERLAP_PX,
    TILE_PX,
    SlideViews,
    deep_zoom_router,
    level_size,
    top_level,
)
from qupath_her2.server.job_files import JobFiles
from qupath_her2.server.problems import Problem, answer_problems


def drawn(width: int, height: int) -> NDArray[np.uint8]:
    """A picture whose pixels say where they are."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 251, y % 241, (x // 7 + y // 5) % 256], axis=2).astype(np.uint8)


def smooth(width: int, height: int) -> NDArray[np.uint8]:
    """A picture of slow ramps, whose mean over a square is the value at its centre."""
    y, x = np.mgrid[:height, :width]
    ramps = [255 * x / width, 255 * y / height, 127 + 0 * x]
    return np.rint(np.stack(ramps, axis=2)).astype(np.uint8)


def views_of(path: Path) -> SlideViews:
    files = JobFiles(path.name, path)

    def find(job_id: str) -> JobFiles:
        if job_id != "one":
            raise Problem(404, f"There is no job {job_id!r}.")
        return files

    return SlideViews(find)


def png(path: Path, pixels: NDArray[np.uint8]) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def assembled(views: SlideViews, level: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A level put together from the inner part of its tiles, and the overlaps compared on the way."""
    out = np.zeros((size[1], size[0], 3), np.uint8)
    for row in range(-(-size[1] // TILE_PX)):
        for column in range(-(-size[0] // TILE_PX)):
            tile = views.tile("one", level, column, row)
            left = column * TILE_PX - OVERLAP_PX * (column > 0)
            top = row * TILE_PX - OVERLAP_PX * (row > 0)
            out[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return out


def test_the_full_level_is_the_slide_itself(tmp_path: Path) -> None:
    pixels = drawn(1301, 777)
    views = views_of(png(tmp_path / "a.png", pixels))
    level = top_level(1301, 777)
    assert level == 11
    assert np.array_equal(assembled(views, level, (1301, 777)), pixels)
    views.close()


@pytest.mark.parametrize("below", [1, 2, 5, 11])
def test_a_coarser_level_is_the_mean_of_what_it_covers(tmp_path: Path, below: int) -> None:
    width, height = 1301, 777
    views = views_of(png(tmp_path / "a.png", smooth(width, height)))
    level = top_level(width, height) - below
    size = level_size(width, height, level)
    assert size == (-(-width // 2**below), -(-height // 2**below))
    found = assembled(views, level, size).astype(float)
    step = 2**below
    # The ramp at the centre of each pixel, the last one of which reaches beyond the slide.
    x = np.minimum((np.arange(size[0]) + 0.5) * step, (np.arange(size[0]) * step + width) / 2)
    y = np.minimum((np.arange(size[1]) + 0.5) * step, (np.arange(size[1]) * step + height) / 2)
    # A ramp of 255 over the slide changes by this much over a pixel of the level; grey levels are whole.
    allowed = 1 + 255 * step / width
    assert np.abs(found[..., 0] - (255 * x / width)[None]).max() <= allowed
    assert np.abs(found[..., 1] - (255 * y / height)[:, None]).max() <= 1 + 255 * step / height
    views.close()


def test_a_slide_with_a_pyramid_is_read_from_its_levels(tmp_path: Path) -> None:
    # The coarser level has another colour, so that a tile says where it was read.
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(np.full((1024, 1024, 3), 200, np.uint8), tile=(256, 256), subifds=1, photometric="rgb")
        writer.write(np.full((256, 256, 3), 60, np.uint8), tile=(256, 256), subfiletype=1, photometric="rgb")
    views = views_of(path)
    assert [int(views.tile("one", level, 0, 0).mean()) for level in (10, 9, 8, 7)] == [200, 200, 60, 60]
    views.close()


def test_a_flat_slide_is_read_once_for_all_coarse_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deep_zoom, "_OVERVIEW_PX", 128)
    read = []
    original = deep_zoom.read_overview
    monkeypatch.setattr(deep_zoom, "read_overview", lambda *given: read.append(1) or original(*given))
    width, height = 2000, 1500
    views = views_of(png(tmp_path / "a.png", smooth(width, height)))
    top = top_level(width, height)
    # Down to a pixel of 16 px: 8 are still read from the slide itself.
    for level in range(top - 3):
        tile = views.tile("one", level, 0, 0).astype(float)
        size = level_size(width, height, level)
        assert tile.shape[:2] == size[::-1]
        x = np.minimum((np.arange(size[0]) + 0.5) * 2 ** (top - level) / width, 0.995)
        # Within a pixel of the overview and one of the level.
        allowed = 3 + 255 * (16 + 2 ** (top - level)) / width
        assert np.abs(tile[..., 0] - 255 * x[None]).max() <= allowed
    assert len(read) == 1
    views.close()


def test_a_tile_is_read_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = smooth(1200, 1000)
    views = views_of(png(tmp_path / "a.png", pixels))
    whole = views.tile("one", top_level(1200, 1000) - 2, 0, 0)
    monkeypatch.setattr(deep_zoom, "_BAND_PX", 1200 * 4 * 7)
    assert np.array_equal(views.tile("one", top_level(1200, 1000) - 2, 0, 0), whole)
    views.close()


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    png(tmp_path / "a.png", drawn(700, 300))
    app = FastAPI()
    answer_problems(app)
    app.include_router(deep_zoom_router(views_of(tmp_path / "a.png")))
    return TestClient(app)


def test_the_description_names_the_size(client: TestClient) -> None:
    answer = client.get("/api/v1/jobs/one/slide.dzi")
    assert answer.headers["content-type"] == "application/xml"
    image = ElementTree.fromstring(answer.text)
    assert image.attrib == {"Format": "jpeg", "Overlap": str(OVERLAP_PX), "TileSize": str(TILE_PX)}
    assert image[0].attrib == {"Width": "700", "Height": "300"}


def test_a_tile_is_a_jpeg_of_its_place(client: TestClient) -> None:
    answer = client.get("/api/v1/jobs/one/slide_files/10/1_0.jpeg")
    assert answer.headers["content-type"] == "image/jpeg"
    tile = np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)
    expected = drawn(700, 300)[:, TILE_PX - OVERLAP_PX :].astype(int)
    assert tile.shape == expected.shape
    assert np.abs(tile - expected).mean() < 4


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("one/slide_files/11/0_0.jpeg", "no tile 0, 0 on level 11"),
        ("one/slide_files/10/2_0.jpeg", "no tile 2, 0 on level 10"),
        ("one/slide_files/10/0_-1.jpeg", "no tile 0, -1"),
        ("two/slide_files/10/0_0.jpeg", "no job 'two'"),
        ("two/slide.dzi", "no job 'two'"),
    ],
)
def test_what_is_not_there_is_said(client: TestClient, path: str, says: str) -> None:
    answer = client.get(f"/api/v1/jobs/{path}")
    assert answer.status_code == 404
    assert says in answer.json()["error"]


def test_a_slide_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    path.write_text("not a slide")
    with pytest.raises(Problem, match=r"a\.svs") as caught:
        views_of(path).size("one")
    assert caught.value.status == 422


def test_a_released_slide_is_closed_and_opened_again(tmp_path: Path) -> None:
    views = views_of(png(tmp_path / "a.png", drawn(64, 32)))
    views.size("one")
    slide = views._pool._entries[0].slide
    assert slide is not None
    views.release("one")
    assert not views._pool._entries
    with pytest.raises(OSError, match="closed"):
        slide.read(0, 0, 1, 1)
    assert views.size("one") == (64, 32)
    views.release("two")
    views.close()
