from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.tissue import find_tissue, read_thumbnail
from qupath_her2.slides.tissue_outlines import tissue_polygons
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.settings import FieldSettings

GLASS = np.array([234, 233, 241], np.float64)
SIDE = 2048
PIXEL_UM = 0.5


def glass(rng, side=SIDE):
    """Glass as scanned: the lamp's colour, a slight fall to one side, grain."""
    slope = np.linspace(0, 1.5, side)[None, :, None]
    grain = rng.standard_normal((side, side, 3), np.float32)
    return (GLASS - slope).astype(np.float32) + 2 * grain


def add_pale_tissue(image, rng, x, y, radius, od=0.02, nuclei_od=0.12):
    """A disc of almost clear stroma with haematoxylin nuclei, 8 µm wide, 25 µm apart."""
    side = image.shape[0]
    yy, xx = np.mgrid[:side, :side]
    disc = (xx - x) ** 2 + (yy - y) ** 2 < radius**2
    density = np.zeros((side, side), np.float32)
    density[disc] = od
    spots = np.zeros((side, side), np.uint8)
    for cx, cy in rng.integers(0, side, (side * side // 2500, 2)):
        cv2.circle(spots, (int(cx), int(cy)), 8, 1, -1)
    density[disc & (spots > 0)] += nuclei_od
    image *= 10 ** (-density[..., None] * np.array([0.65, 0.70, 0.29], np.float32))
    return disc


def opened(tmp_path, image):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.clip(image + 0.5, 0, 255).astype(np.uint8), photometric="rgb")
    return open_slide(path)


def overlap(tissue, truth):
    step = int(tissue.downsample)
    small = truth[step // 2 :: step, step // 2 :: step]
    mask = tissue.mask[: small.shape[0], : small.shape[1]]
    return (mask & small).sum() / (mask | small).sum()


@pytest.mark.parametrize(("od", "nuclei_od"), [(0.015, 0.10), (0.03, 0.12), (0.2, 0.3)])
def test_pale_tissue_is_kept_and_glass_left_out(tmp_path, od, nuclei_od):
    rng = np.random.default_rng(2)
    image = glass(rng)
    truth = add_pale_tissue(image, rng, 1100, 1000, 800, od, nuclei_od)
    with opened(tmp_path, image) as slide:
        tissue = find_tissue(slide, pixel_size_um=PIXEL_UM)
    assert tissue.downsample == 16
    assert overlap(tissue, truth) > 0.93
    assert np.abs(np.array(tissue.background_rgb) - GLASS).max() <= 2.5


def test_a_mixture_of_dark_and_pale_tissue_keeps_both(tmp_path):
    rng = np.random.default_rng(4)
    image = glass(rng)
    pale = add_pale_tissue(image, rng, 600, 600, 450)
    dark = add_pale_tissue(image, rng, 1500, 1500, 400, 0.6, 0.5)
    with opened(tmp_path, image) as slide:
        tissue = find_tissue(slide, pixel_size_um=PIXEL_UM)
    assert overlap(tissue, pale | dark) > 0.93


@pytest.mark.parametrize("grain", [0.0, 2.0, 6.0])
@pytest.mark.parametrize("colour", [(255, 255, 255), (234, 233, 241), (250, 247, 238)])
def test_blank_glass_has_no_tissue(tmp_path, grain, colour):
    image = np.array(colour) + np.random.default_rng(1).normal(0, grain, (1200, 1200, 3))
    with opened(tmp_path, image) as slide:
        for size in (PIXEL_UM, None):
            tissue = find_tissue(slide, pixel_size_um=size)
            assert not tissue.mask.any()
            assert tissue_polygons(tissue) == []


@pytest.mark.parametrize(
    "ink", [(30, 50, 190), (20, 140, 60), (215, 30, 45), (25, 25, 28)], ids=["blue", "green", "red", "black"]
)
def test_pen_is_not_tissue(tmp_path, ink):
    rng = np.random.default_rng(3)
    image = glass(rng, 2048)
    truth = add_pale_tissue(image, rng, 1300, 1300, 500)
    pen = np.zeros((2048, 2048), np.uint8)
    cv2.polylines(pen, [np.array([[100, 300], [900, 150], [1900, 400]])], False, 1, 90)
    image[pen > 0] = np.array(ink) + rng.normal(0, 3, ((pen > 0).sum(), 3))
    with opened(tmp_path, image) as slide:
        tissue = find_tissue(slide, pixel_size_um=PIXEL_UM)
    assert overlap(tissue, truth) > 0.9


#: Of a laboratory whose haematoxylin is as blue as ink: it absorbs red 1.34 times as much as green.
BLUE_HAEMATOXYLIN = np.array([0.78, 0.58, 0.22]) / np.linalg.norm([0.78, 0.58, 0.22])


def add_blue_nuclei(image, rng, spacing_um, pixel_um):
    """Cells of pale cytoplasm with blue nuclei 7 µm wide on a shaken grid; 7 µm apart, they touch."""
    side = image.shape[0]
    density = np.full((side, side), 0.05, np.float32)
    for x, y in np.mgrid[0 : side : spacing_um / pixel_um, 0 : side : spacing_um / pixel_um].reshape(2, -1).T:
        at = (int(x + rng.normal(0, 1.5 / pixel_um)), int(y + rng.normal(0, 1.5 / pixel_um)))
        cv2.circle(density, at, round(3.5 / pixel_um), float(rng.normal(0.7, 0.15)), -1)
    image *= 10 ** (-density[..., None] * BLUE_HAEMATOXYLIN)


@pytest.mark.parametrize("pixel_um", [0.25, 0.5])
@pytest.mark.parametrize("spacing_um", [7, 12], ids=["touching", "loose"])
@pytest.mark.parametrize("side", [420, 1200])
def test_blue_nuclei_are_not_pen(tmp_path, side, spacing_um, pixel_um):
    rng = np.random.default_rng(8)
    image = glass(rng, side)
    add_blue_nuclei(image, rng, spacing_um, pixel_um)
    with opened(tmp_path, image) as slide:
        for size_um in (pixel_um, None):
            tissue = find_tissue(slide, pixel_size_um=size_um)
            assert tissue.mask.mean() > 0.98
            assert tissue.ink_share == 0


@pytest.mark.parametrize(
    ("ink", "strength"),
    [((30, 50, 190), 1.0), ((30, 50, 190), 0.5), ((20, 140, 60), 0.5), ((25, 25, 28), 1.0)],
    ids=["blue", "faded-blue", "faded-green", "black"],
)
def test_a_stroke_over_blue_nuclei_and_over_glass_is_pen(tmp_path, ink, strength):
    rng = np.random.default_rng(8)
    image = glass(rng, 2048)
    truth = np.zeros((2048, 2048), bool)
    truth[400:1400, 400:1400] = True
    stained = glass(rng, 2048)
    add_blue_nuclei(stained, rng, 9, PIXEL_UM)
    image[truth] = stained[truth]
    pen = np.zeros((2048, 2048), np.uint8)
    # 150 µm wide, as a fine marker draws.
    cv2.line(pen, (100, 1000), (1900, 800), 1, 300)
    image[pen > 0] *= (np.array(ink) / GLASS) ** strength
    with opened(tmp_path, image) as slide:
        tissue = find_tissue(slide, pixel_size_um=PIXEL_UM)
    left = cv2.resize(pen, tissue.mask.shape[::-1], interpolation=cv2.INTER_AREA) > 0
    assert (tissue.mask & left).sum() < 0.03 * left.sum()
    # The rim of a stroke is taken off with it, up to three mask pixels on either side.
    far = truth & (cv2.dilate(pen, np.ones((97, 97), np.uint8)) == 0)
    near_truth = cv2.dilate(truth.astype(np.uint8), np.ones((33, 33), np.uint8)) > 0
    far, near_truth = (part[8::16, 8::16] for part in (far, near_truth))
    assert (tissue.mask & far).sum() > 0.97 * far.sum()
    assert (tissue.mask & ~near_truth).sum() < 0.02 * far.sum()
    assert 0.9 < tissue.ink_share / (pen > 0).mean() < 1.5


def test_a_small_crop_of_a_field_is_tissue(tmp_path):
    """A crop of 11,025 µm² was dropped as dust, which is anything below 10,000 µm²."""
    field = draw_field(
        FieldSettings(width_px=600, height_px=600, pixel_size_um=0.25, seed=5, shares=(0.1, 0.1, 0.2, 0.6))
    )
    for side in (150, 300, 420, 600):
        with opened(tmp_path, field.rgb[:side, -side:].astype(np.float64)) as slide:
            for size_um in (0.25, None):
                assert find_tissue(slide, pixel_size_um=size_um).mask.mean() > 0.9, side


@pytest.mark.parametrize("grain", [0.0, 2.0])
@pytest.mark.parametrize("side", [60, 200, 420])
def test_a_small_crop_of_blank_glass_has_no_tissue(tmp_path, side, grain):
    image = GLASS + np.random.default_rng(1).normal(0, grain, (side, side, 3))
    with opened(tmp_path, image) as slide:
        assert not find_tissue(slide, pixel_size_um=0.25).mask.any()


def test_dust_is_not_tissue_and_dab_is_not_pen(tmp_path):
    rng = np.random.default_rng(3)
    image = glass(rng, 2048)
    for x, y in rng.integers(50, 1000, (12, 2)):
        cv2.circle(image, (int(x), int(y)), 20, (120, 118, 121), -1)
    truth = np.zeros((2048, 2048), np.uint8)
    cv2.circle(truth, (1400, 1400), 450, 1, -1)
    # DAB OD 0.9 with some haematoxylin: a solid 3+ field.
    brown = GLASS * 10 ** -(0.9 * np.array([0.269, 0.568, 0.778]) + 0.1 * np.array([0.651, 0.701, 0.29]))
    image[truth > 0] = brown + rng.normal(0, 3, ((truth > 0).sum(), 3))
    with opened(tmp_path, image) as slide:
        tissue = find_tissue(slide, pixel_size_um=PIXEL_UM)
    assert overlap(tissue, truth.astype(bool)) > 0.93
    assert len(tissue_polygons(tissue)) == 1


def test_a_field_without_glass_is_all_tissue(tmp_path):
    rng = np.random.default_rng(9)
    image = glass(rng, 1024)
    add_pale_tissue(image, rng, 512, 512, 5000, 0.15, 0.3)
    with opened(tmp_path, image) as slide:
        tissue = find_tissue(slide)
    assert tissue.mask.mean() > 0.97
    assert tissue.background_rgb == (255, 255, 255)


@pytest.mark.parametrize("cast", [(1.0, 1.0, 1.0), (0.94, 1.0, 1.03), (0.97, 1.04, 0.95)])
def test_without_glass_the_gaps_in_the_tissue_show_the_lamp(tmp_path, cast):
    field = draw_field(FieldSettings(width_px=512, height_px=512, seed=11))
    lamp = np.array(field.settings.white) * cast
    tinted = np.clip(np.rint(field.rgb * np.array(cast)), 0, 255).astype(np.uint8)
    with opened(tmp_path, tinted) as slide:
        tissue = find_tissue(slide, pixel_size_um=0.5)
    assert tissue.mask.all()
    np.testing.assert_allclose(tissue.background_rgb, lamp, atol=3)


def test_a_dim_lamp_is_seen_in_the_gaps_of_the_tissue(tmp_path):
    """All of it darker than glass usually is: without the lamp, clear stroma would count as haematoxylin."""
    lamp = np.array((182.0, 182.0, 182.0))
    field = draw_field(FieldSettings(width_px=512, height_px=512, seed=11, white=(236.0, 236.0, 236.0)))
    dim = np.clip(np.rint(field.rgb * (lamp / 236.0)), 0, 255).astype(np.uint8)
    with opened(tmp_path, dim) as slide:
        np.testing.assert_allclose(find_tissue(slide, pixel_size_um=0.5).background_rgb, lamp, atol=5)


def test_where_nothing_is_white_no_lamp_is_guessed(tmp_path):
    rng = np.random.default_rng(3)
    brown = np.clip(rng.normal((150, 110, 80), 6, (400, 400, 3)), 0, 255).astype(np.uint8)
    with opened(tmp_path, brown) as slide:
        assert find_tissue(slide, pixel_size_um=0.5).background_rgb == (255.0, 255.0, 255.0)


def test_the_thumbnail_is_the_mean_of_what_each_pixel_covers(tmp_path):
    image = np.random.default_rng(6).integers(0, 256, (700, 900, 3)).astype(np.float64)
    with opened(tmp_path, image) as slide:
        rgb, downsample = read_thumbnail(slide, 10)
    assert downsample == 10
    assert rgb.shape == (70, 90, 3)
    np.testing.assert_allclose(rgb, image.reshape(70, 10, 90, 10, 3).mean(axis=(1, 3)), atol=0.51)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (9, 1)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_image_of_a_few_pixels_has_no_tissue_to_speak_of(tmp_path, shape, value):
    path = tmp_path / "tiny.png"
    cv2.imwrite(str(path), np.full((*shape, 3), value, np.uint8))
    with open_slide(path) as slide:
        tissue = find_tissue(slide, pixel_size_um=0.5)
    assert tissue.mask.sum() <= tissue.mask.size
    assert len(tissue.background_rgb) == 3


def test_a_fold_is_where_several_layers_lie_on_each_other(tmp_path):
    """Tissue as dark as the densest real 3+ nests, a band of it 40 µm wide twice as dark, and a dark line."""
    image = glass(np.random.default_rng(5))
    image[300:1700, 300:1700] *= 10 ** -np.array([0.35, 0.5, 0.6], np.float32)
    image[600:680, 400:1500] *= 10 ** -np.array([0.35, 0.5, 0.6], np.float32)
    image[1200:1216, 400:1500] *= 10 ** -np.array([0.5, 0.5, 0.6], np.float32)
    with opened(tmp_path, image) as slide:
        tissue = find_tissue(slide, pixel_size_um=PIXEL_UM)
    rows, columns = (tissue.downsample * v for v in np.nonzero(tissue.folds))
    assert 590 <= rows.min() < rows.max() <= 690
    assert 390 <= columns.min() < columns.max() <= 1510
    assert tissue.folds.sum() * tissue.downsample**2 == pytest.approx(80 * 1100, rel=0.25)
    # Folds are tissue: a region is drawn around them as around the rest.
    assert tissue.mask[tissue.folds].all()
