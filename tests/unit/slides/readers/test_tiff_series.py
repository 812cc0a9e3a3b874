from __future__ import annotations

import numpy as np
import pytest
import tifffile

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.readers.tiff_series import choose_picture, needs_choice

RGB = {"photometric": "rgb"}


def picture(seed, height=80, width=96):
    return np.random.default_rng(seed).integers(60, 256, (height, width, 3), dtype=np.uint8)


def write_series(path, *named, tile=(32, 32), **options):
    """Write an OME-TIFF of one picture per (name, pixels)."""
    with tifffile.TiffWriter(path, ome=True) as writer:
        for name, pixels in named:
            writer.write(pixels, metadata={"axes": "YXS", "Name": name}, tile=tile, **RGB, **options)
    return path


def pixels_of(path, **chosen):
    with open_slide(path, **chosen) as slide:
        return slide.read(0, 0, slide.width, slide.height)


@pytest.mark.parametrize("tile", [None, (32, 32)], ids=["strips", "tiled"])
@pytest.mark.parametrize("beside", ["label", "Macro image", "Thumbnail", "Slide overview"])
def test_the_slide_is_read_whatever_lies_before_it(tmp_path, beside, tile):
    slide = picture(1)
    # A label larger than the slide, as a photograph of a whole glass beside a small scan is.
    path = write_series(tmp_path / "a.ome.tif", (beside, picture(0, 160, 200)), ("scan", slide), tile=tile)
    np.testing.assert_array_equal(pixels_of(path), slide)
    assert pixels_of(path, series=0).shape == (160, 200, 3)


def test_without_names_the_largest_picture_is_read(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(picture(0, 40, 40), metadata=None, **RGB)
        writer.write(picture(1), metadata=None, tile=(32, 32), **RGB)
        writer.write(picture(2, 30, 50), metadata=None, **RGB)
    np.testing.assert_array_equal(pixels_of(path), picture(1))
    np.testing.assert_array_equal(pixels_of(path, series=2), picture(2, 30, 50))


def test_a_colour_picture_comes_before_a_larger_grey_one(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(picture(0, 120, 120)[..., 0], metadata=None, photometric="minisblack")
        writer.write(picture(1), metadata=None, **RGB)
    np.testing.assert_array_equal(pixels_of(path), picture(1))


def test_pictures_of_similar_size_are_listed_and_one_is_chosen(tmp_path):
    path = write_series(tmp_path / "a.ome.tif", ("left", picture(0)), ("right", picture(1, 80, 90)))
    with pytest.raises(
        ImageReadError,
        match=r"2 pictures of similar size: series 0 \('left'\) of 96 × 80 px, series 1 \('right'\) of 90 × 80 px"
        r".*--series 0",
    ):
        open_slide(path)
    for number, expected in enumerate((picture(0), picture(1, 80, 90))):
        np.testing.assert_array_equal(pixels_of(path, series=number), expected)
    with pytest.raises(
        ImageReadError, match=r"no series 2; it has series 0 .*series 1 .*Choose one with --series"
    ):
        open_slide(path, series=2)


def test_a_pixel_size_is_that_of_the_chosen_picture(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for name, size_um, pixels in (("label", 40.0, picture(0, 20, 30)), ("scan", 0.25, picture(1))):
            sizes = {"PhysicalSizeX": size_um, "PhysicalSizeY": size_um}
            writer.write(pixels, metadata={"axes": "YXS", "Name": name, **sizes}, tile=(32, 32), **RGB)
    with open_slide(path) as slide:
        assert slide.pixel_size_um == 0.25
    with open_slide(path, series=0) as slide:
        assert slide.pixel_size_um == 40.0


def test_levels_below_a_later_picture_are_its_own(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(picture(0, 40, 50), metadata={"axes": "YXS", "Name": "label"}, **RGB)
        writer.write(
            picture(1, 160, 192), metadata={"axes": "YXS", "Name": "scan"}, tile=(32, 32), subifds=1, **RGB
        )
        writer.write(picture(2, 80, 96), tile=(32, 32), subfiletype=1, **RGB)
    with open_slide(path) as slide:
        assert slide.level_dimensions == ((192, 160), (96, 80))
        np.testing.assert_array_equal(slide.read(0, 0, 96, 80, 1), picture(2, 80, 96))


@pytest.mark.parametrize("tile", [None, (32, 32)], ids=["strips", "tiled"])
@pytest.mark.parametrize(
    ("axes", "named"),
    [("ZYXS", "3 z-planes"), ("TYXS", "3 time points"), ("TZYXS", "3 time points by 2 z-planes")],
)
def test_a_stack_names_its_planes_and_one_is_chosen(tmp_path, axes, named, tile):
    shape = (3, 2)[: len(axes) - 3]
    stack = np.stack([picture(n) for n in range(int(np.prod(shape)))])
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, stack.reshape(*shape, 80, 96, 3), metadata={"axes": axes}, tile=tile, **RGB)
    last = len(stack) - 1
    with pytest.raises(ImageReadError, match=rf"a stack of {named}.*planes 0 to {last} with --plane"):
        open_slide(path)
    for n, expected in enumerate(stack):
        np.testing.assert_array_equal(pixels_of(path, plane=n), expected)
    with pytest.raises(ImageReadError, match=rf"no plane {last + 1}; it has the planes 0 to {last}"):
        open_slide(path, plane=last + 1)


@pytest.mark.parametrize("imagej", [False, True])
def test_pages_of_equal_size_are_planes(tmp_path, imagej):
    stack = np.stack([picture(n) for n in range(4)])
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, imagej=imagej, metadata={"axes": "ZYXS"} if imagej else None, **RGB)
    with pytest.raises(ImageReadError, match=r"a stack of 4 .*planes 0 to 3 with --plane"):
        open_slide(path)
    np.testing.assert_array_equal(pixels_of(path, plane=2), stack[2])


def test_colours_stored_apart_are_put_together(tmp_path):
    path = tmp_path / "a.ome.tif"
    planes = np.moveaxis(picture(3), -1, 0)
    names = {"Channel": {"Name": ["Red", "Green", "Blue"]}}
    tifffile.imwrite(path, planes, metadata={"axes": "CYX", **names}, photometric="minisblack")
    np.testing.assert_array_equal(pixels_of(path), picture(3))
    stack = np.stack([np.moveaxis(picture(n), -1, 0) for n in range(2)])
    tifffile.imwrite(path, stack, metadata={"axes": "ZCYX", **names}, photometric="minisblack")
    np.testing.assert_array_equal(pixels_of(path, plane=1), picture(1))


@pytest.mark.parametrize("n_channels", [2, 3, 4, 7])
@pytest.mark.parametrize("tile", [None, (32, 32)], ids=["strips", "tiled"])
def test_fluorescence_is_not_read_as_colours(tmp_path, n_channels, tile):
    names = ["DAPI", "FITC", "Cy3", "Cy5", "A", "B", "C"][:n_channels]
    path = tmp_path / "a.ome.tif"
    pixels = np.random.default_rng(1).integers(0, 256, (n_channels, 80, 96), dtype=np.uint8)
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    tifffile.imwrite(path, pixels, metadata=metadata, photometric="minisblack", tile=tile)
    with pytest.raises(
        ImageReadError, match=rf"{n_channels} channels.*not a brightfield RGB.*brightfield scan"
    ):
        open_slide(path)


def test_unnamed_channels_on_a_dark_ground_are_fluorescence(tmp_path):
    path = tmp_path / "a.ome.tif"
    pixels = np.full((3, 80, 96), 12, np.uint8)
    pixels[:, 20:40, 20:40] = 250
    tifffile.imwrite(path, pixels, metadata={"axes": "CYX"}, photometric="minisblack")
    with pytest.raises(ImageReadError, match="dark background, as fluorescence"):
        open_slide(path)


def test_a_choice_where_there_is_none_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(0), tile=(32, 32), **RGB)
    np.testing.assert_array_equal(pixels_of(path, series=0, plane=0), picture(0))
    with pytest.raises(ImageReadError, match="no plane 1; it has a single plane"):
        open_slide(path, plane=1)
    with open_slide(path) as slide:
        assert slide.reader == "tiff"


def test_openslide_is_kept_from_what_it_would_misread(tmp_path):
    first, later = tmp_path / "first.tif", tmp_path / "later.tif"
    tifffile.imwrite(first, picture(0), tile=(32, 32), **RGB)
    tifffile.imwrite(later, np.stack([picture(0), picture(1)]), tile=(32, 32), metadata=None, **RGB)
    assert not needs_choice(first)
    assert needs_choice(later, plane=1)
    with tifffile.TiffFile(later) as tiff:
        chosen = choose_picture(tiff, plane=1)
        assert (chosen.series, chosen.plane, chosen.is_first, chosen.is_volume) == (0, 1, False, False)
