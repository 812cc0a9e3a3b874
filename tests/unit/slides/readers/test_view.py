"""Cropped and rotated views against the same steps on numpy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from qupath_her2.errors import ImageReadError
from qupath_her2.records import SlideRef
from qupath_her2.slides.readers.slide import read_scaled
from qupath_her2.slides.readers.view import open_image, open_view

HEIGHT, WIDTH = 70, 90


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.uint8]]:
    pixels = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("view") / "a.png"
    Image.fromarray(pixels).save(path)
    return path, pixels


def shown(pixels: NDArray[np.uint8], chain: list[dict[str, Any]]) -> NDArray[np.uint8]:
    """The same steps on an array; what lies outside is white."""
    for step in chain:
        if "rotate" in step:
            pixels = np.rot90(pixels, k=-step["rotate"] // 90)
        else:
            x, y, width, height = step["crop"]
            frame = np.full((height, width, 3), 255, np.uint8)
            for row in range(height):
                for column in range(width):
                    if 0 <= y + row < pixels.shape[0] and 0 <= x + column < pixels.shape[1]:
                        frame[row, column] = pixels[y + row, x + column]
            pixels = frame
    return pixels


steps = st.one_of(
    st.sampled_from([{"rotate": d} for d in (90, 180, 270)]),
    st.tuples(st.integers(-9, 12), st.integers(-9, 12), st.integers(5, 40), st.integers(5, 40)).map(
        lambda box: {"crop": list(box)}
    ),
)


@settings(max_examples=60, deadline=None)
@given(chain=st.lists(steps, max_size=4), corner=st.tuples(st.integers(-5, 30), st.integers(-5, 30)))
def test_any_chain_of_steps_equals_numpy(
    picture: tuple[Path, NDArray[np.uint8]], chain: list[dict[str, Any]], corner: tuple[int, int]
) -> None:
    path, pixels = picture
    expected = shown(pixels, chain)
    with open_view(path, chain, width=expected.shape[1], height=expected.shape[0]) as slide:
        assert (slide.width, slide.height) == expected.shape[1::-1]
        assert np.array_equal(slide.read(0, 0, slide.width, slide.height), expected)
        window = slide.read(*corner, 20, 15)
    assert np.array_equal(window, shown(expected, [{"crop": [*corner, 20, 15]}]))


def test_another_size_than_in_qupath_is_refused(picture: tuple[Path, NDArray[np.uint8]]) -> None:
    with pytest.raises(ImageReadError, match=r"90 × 70 px here but 45 × 35 px in QuPath.*--pixels"):
        open_image(SlideRef("1", "a", picture[0], width=45, height=35))


@pytest.mark.parametrize(
    "chain", [[{"rotate": 90}], [{"rotate": 180}], [{"crop": [8, 16, 128, 96]}, {"rotate": 270}]]
)
def test_coarser_levels_show_the_same_place(tmp_path: Path, chain: list[dict[str, Any]]) -> None:
    y, x = np.mgrid[0:192, 0:256]
    full = np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as tiff:
        options: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb"}
        tiff.write(full, subifds=0, resolution=(40000, 20000), resolutionunit="CENTIMETER", **options)
        tiff.write(full[::4, ::4], subfiletype=1, **options)
    expected = shown(full, chain)
    with open_view(path, chain) as slide:
        assert slide.level_downsamples == (1.0, 4.0)
        coarse = read_scaled(slide, 0, 0, slide.width // 4, slide.height // 4, 4)
        size = (slide.pixel_size_x_um, slide.pixel_size_y_um)
    fine = expected[: coarse.shape[0] * 4, : coarse.shape[1] * 4].reshape(
        coarse.shape[0], 4, coarse.shape[1], 4, 3
    )
    # The level holds a corner of each 4 × 4 block, not its mean: up to 3 grey levels apart here.
    assert np.abs(coarse - fine.mean(axis=(1, 3))).max() <= 3
    turned = sum(step.get("rotate", 0) for step in chain) % 180 == 90
    assert size == pytest.approx((0.5, 0.25) if turned else (0.25, 0.5))


def test_a_level_off_the_crops_grid_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.zeros((128, 128, 3), np.uint8), tile=(64, 64), photometric="rgb")
        tiff.write(np.zeros((32, 32, 3), np.uint8), tile=(64, 64), photometric="rgb", subfiletype=1)
    with open_view(path, [{"crop": [2, 0, 64, 64]}]) as slide:
        assert slide.level_downsamples == (1.0,)
    with open_view(path, [{"crop": [4, 8, 66, 64]}, {"rotate": 180}]) as slide:
        assert slide.level_downsamples == (1.0,)


@pytest.mark.parametrize("box", [[0, 0, 2**31 - 1, 10], [0, 0, 10, 2**30], [-5, -5, 2**20, 2**20]])
def test_a_crop_larger_than_the_image_is_refused(tmp_path: Path, box: list[int]) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((60, 256, 3), np.uint8)).save(path)
    with pytest.raises(
        ImageReadError, match=rf"crop of {box[2]} × {box[3]} px is larger than the image, 256 × 60"
    ):
        open_view(path, [{"crop": box}])


def test_a_chosen_picture_and_plane_come_before_crops(tmp_path: Path) -> None:
    stack = np.random.default_rng(3).integers(60, 256, (3, 80, 96, 3), dtype=np.uint8)
    path = tmp_path / "z.ome.tif"
    tifffile.imwrite(path, stack, photometric="rgb", metadata={"axes": "ZYXS"})
    with open_view(
        path, [{"series": 0, "plane": 2}, {"crop": [8, 16, 40, 30]}], width=40, height=30
    ) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 40, 30), stack[2, 16:46, 8:48])
    with pytest.raises(ImageReadError, match="--plane"):
        open_view(path, [{"crop": [8, 16, 40, 30]}])


def test_notes_on_reading_pass_through_views(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((64, 64, 3), 4000, np.uint16), photometric="rgb")
    with open_view(path, [{"rotate": 90}]) as slide:
        assert "read as a 12-bit image" in slide.notes[0]
