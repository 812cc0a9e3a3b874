"""Sampling tissue, and finding a reference by name, profile or picture."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.stains.macenko import fit_macenko
from qupath_her2.slides.stains.macenko_references import MACENKO_REFERENCES, profile_to_dict
from qupath_her2.slides.stains.tissue_sample import (
    SampleSettings,
    find_reference,
    fit_slide_macenko,
    normalisation_reference,
    sample_tissue_pixels,
)
from qupath_her2.slides.tissue import Tissue
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import preset


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A drawn H&E field on glass: tissue left of x = 640, white right of it."""
    path = tmp_path_factory.mktemp("he") / "he.png"
    rgb = np.full((640, 900, 3), 245, np.uint8)
    rgb[:, :640] = draw_field(preset("h&e", seed=3, width_px=640, height_px=640)).rgb
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return path


def test_the_sample_holds_only_tissue_and_is_reproducible(picture):
    with open_slide(picture) as slide:
        mask = np.zeros((80, 113), bool)
        mask[:, :60] = True
        tissue = Tissue(mask, 8.0, (245, 245, 245), 900, 640)
        sample = sample_tissue_pixels(slide, pixel_size_um=0.5, tissue=tissue)
        again = sample_tissue_pixels(slide, pixel_size_um=0.5, tissue=tissue)
        whole = slide.read(0, 0, 480, 640).reshape(-1, 3)
    assert np.array_equal(sample, again)
    assert 0.5 * 64 * 64 * 64 < len(sample) <= 64 * 64 * 64
    # Windows lie on the same pixels as the tissue's own: every colour met is one of its colours.
    assert {tuple(v) for v in sample[::97]} <= {tuple(v) for v in whole}
    np.testing.assert_allclose(sample.mean(axis=0), whole.mean(axis=0), atol=4)


def test_windows_at_the_edge_add_no_pixels_outside_mask_or_image(picture):
    with open_slide(picture) as slide:
        mask = np.zeros((80, 113), bool)
        mask[0, 0] = mask[79, 112] = True
        sample = sample_tissue_pixels(
            slide, pixel_size_um=0.5, tissue=Tissue(mask, 8.0, (245,) * 3, 900, 640)
        )
    # Two mask pixels of 8 x 8; the last column of the mask hangs over the image's edge and is read as white there.
    assert len(sample) == 2 * 64


def test_blank_glass_gives_no_pixels_and_is_refused(tmp_path):
    path = tmp_path / "glass.png"
    cv2.imwrite(str(path), np.full((300, 300, 3), 244, np.uint8))
    with open_slide(path) as slide:
        tissue = Tissue(np.zeros((30, 30), bool), 10.0, (244,) * 3, 300, 300)
        assert sample_tissue_pixels(slide, tissue=tissue).shape == (0, 3)
        with pytest.raises(SettingsError, match=r"Only 0 of 0 pixels of 'glass\.png' are stained"):
            fit_slide_macenko(slide, tissue=tissue)


def test_a_sample_fits_as_the_whole_slide_does(picture):
    with open_slide(picture) as slide:
        few = fit_slide_macenko(slide, pixel_size_um=0.5)
        all_of_it = fit_macenko(slide.read(0, 0, 640, 640))
    np.testing.assert_allclose(few.vectors(), all_of_it.vectors(), atol=0.02)
    np.testing.assert_allclose(few.maxima(), all_of_it.maxima(), rtol=0.06)


def test_windows_are_read_at_the_requested_scale(picture):
    with open_slide(picture) as slide:
        mask = np.zeros((80, 113), bool)
        mask[40, 40] = True
        tissue = Tissue(mask, 8.0, (245,) * 3, 900, 640)
        sample = sample_tissue_pixels(
            slide, pixel_size_um=0.25, tissue=tissue, settings=SampleSettings(pixel_size_um=0.5)
        )
        full = slide.read(320, 320, 8, 8)
    # A mask pixel of 8 x 8 at half the scale: 16 pixels, each the mean of four.
    averaged = full.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(np.sort(sample.sum(axis=1)) - np.sort(averaged.reshape(-1, 3).sum(axis=1))).max() <= 2


def test_an_ihc_slide_is_refused_by_its_own_colours(tmp_path):
    path = tmp_path / "ihc.png"
    rgb = draw_field(preset("score", seed=4, score="3+", width_px=480, height_px=480)).rgb
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    with open_slide(path) as slide, pytest.raises(SettingsError, match=r"'ihc.png' is IHC"):
        fit_slide_macenko(slide, pixel_size_um=0.25)


def test_references_by_name_by_profile_and_by_picture(picture, tmp_path):
    assert find_reference("veta-2013") is MACENKO_REFERENCES["veta-2013"]
    stored = tmp_path / "ours.json"
    profile = find_reference(picture)
    stored.write_text(json.dumps(profile_to_dict(profile)), encoding="utf-8")
    assert find_reference(stored) == find_reference(str(stored)) == profile


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "as JSON"), ("[1]", "is not a stain profile"), ("{}", "Not a stain profile of format 1")],
)
def test_a_file_that_holds_no_profile_is_refused(tmp_path, text, message):
    path = tmp_path / "reference.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        find_reference(path)


def test_an_unknown_name_lists_the_built_in_ones():
    with pytest.raises(SettingsError, match=r"'vahadane' is neither .* \(veta-2013\)"):
        find_reference("vahadane")


def test_a_normalisation_is_named_with_its_reference():
    assert normalisation_reference("macenko:veta-2013") is MACENKO_REFERENCES["veta-2013"]


@pytest.mark.parametrize("words", ["reinhard:veta-2013", "macenko", "macenko:", ""])
def test_an_unknown_normalisation_is_refused(words):
    with pytest.raises(SettingsError, match=r"This version supports macenko:REFERENCE"):
        normalisation_reference(words)
