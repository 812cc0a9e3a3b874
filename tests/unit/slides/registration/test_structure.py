"""Structure images: density on tissue only, one grid for any pixel size, and the same for two stains."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.errors import RegistrationError
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.registration.structure import Structure, read_structure, shrink_structure
from tests.helpers.drawn_sections import Anatomy, stained, write_png


def test_density_is_zero_on_glass_and_alike_in_both_stains(tmp_path):
    anatomy = Anatomy.drawn(1, high=320, wide=400)
    found = []
    for stain, seed in (("H&E", 1), ("IHC", 2)):
        with open_slide(write_png(tmp_path / f"{seed}.png", stained(anatomy, stain, seed))) as slide:
            found.append(read_structure(slide, 10.0, 20.0))
    for one in found:
        assert one.density.shape == one.tissue.shape == (160, 200)
        assert one.pixel_size_um == 20.0
        assert (one.density[~one.tissue] == 0).all()
        assert one.density[one.tissue].min() >= 0.3
        assert one.density.max() <= 0.3 + 0.7 * 1.2 + 1e-6
    both = found[0].tissue & found[1].tissue
    assert np.corrcoef(found[0].density[both], found[1].density[both])[0, 1] > 0.4


def test_glass_has_no_structure(tmp_path):
    glass = np.full((300, 300, 3), 242, np.uint8)
    with (
        open_slide(write_png(tmp_path / "glass.png", glass)) as slide,
        pytest.raises(RegistrationError, match=r"No tissue was found in 'glass\.png'"),
    ):
        read_structure(slide, 10.0, 10.0)


def test_shrinking_averages_whole_pixels_and_crops_the_rest():
    density = np.random.default_rng(1).random((10, 13)).astype(np.float32)
    tissue = density > 0.5
    small = shrink_structure(Structure(density, tissue, 2.0), 6.0)
    assert small.pixel_size_um == 6.0
    np.testing.assert_allclose(
        small.density, density[:9, :12].reshape(3, 3, 4, 3).mean(axis=(1, 3)), atol=1e-6
    )
    np.testing.assert_array_equal(small.tissue, tissue[:9, :12].reshape(3, 3, 4, 3).mean(axis=(1, 3)) > 0.5)
    same = Structure(density, tissue, 6.0)
    assert shrink_structure(same, 6.0) is same
