from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.special import erf

from qupath_her2.cells.quality.focus import BLOCK_PX, focus_map
from qupath_her2.cells.quality.settings import QualitySettings
from qupath_her2.slides.stains.vectors import StainVectors
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.presets import preset
from tests.helpers.drawn_planes import STAINS, rgb_of

LIMIT_UM = QualitySettings().max_edge_blur_um


def stripes(sigma_um: float, um_px: float, turn: float, side: int = 256) -> np.ndarray:
    """Straight edges 16 µm apart, blurred by a Gaussian."""
    rows, columns = np.mgrid[:side, :side]
    along = (columns * np.cos(turn) + rows * np.sin(turn)) * um_px
    place = along % 32
    up, down = erf((place - 8) / np.sqrt(2) / sigma_um), erf((place - 24) / np.sqrt(2) / sigma_um)
    dab = (0.2 * (up - down)).astype(np.float32)
    return rgb_of(np.zeros_like(dab), dab)


def seen(sigma_um: float, um_px: float) -> float:
    """Return the blur with that of the measurement itself: 0.3 µm, and a difference over two pixels."""
    return float(np.sqrt(sigma_um**2 + 0.3**2 + um_px**2 / 3))


@pytest.mark.parametrize("um_px", [0.25, 0.5])
@pytest.mark.parametrize("turn", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("sigma_um", [0.2, 0.35, 0.5, 0.8, 1.2])
def test_blur_of_drawn_edges_is_recovered(sigma_um: float, turn: float, um_px: float) -> None:
    blur = focus_map(stripes(sigma_um, um_px, turn), STAINS, um_px).blur_um
    known = blur[np.isfinite(blur)]
    assert known.size > 20
    assert np.median(known) == pytest.approx(seen(sigma_um, um_px), rel=0.12)


def test_a_blurred_half_is_found_where_it_lies() -> None:
    sharp = stripes(0.3, 0.5, 0.4, 512)
    half = sharp.copy()
    half[:, 256:] = cv2.GaussianBlur(sharp, (0, 0), 3.0)[:, 256:]
    blurred = focus_map(half, STAINS, 0.5).blur_um > LIMIT_UM
    assert blurred.shape == (16, 16)
    # Within a block and its neighbours of the border it may be either.
    assert not blurred[:, :7].any()
    assert blurred[:, 9:].all()


def test_blocks_do_not_depend_on_the_tile() -> None:
    picture = stripes(0.4, 0.5, 0.7, 640)
    whole = focus_map(picture, STAINS, 0.5)
    for x, y in ((72, 40), (160, 96), (8, 200)):
        part = focus_map(picture[y : y + 400, x : x + 400], STAINS, 0.5, (x, y))
        column, row = part.first
        assert (column, row) == (-(-x // BLOCK_PX), -(-y // BLOCK_PX))
        rows, columns = part.blur_um.shape
        same = whole.blur_um[row : row + rows, column : column + columns]
        # The outermost blocks lack neighbours that lie outside the tile.
        inner = (slice(1, -1), slice(1, -1))
        assert np.array_equal(part.blur_um[inner], same[inner], equal_nan=True)


def test_the_frame_of_the_image_is_no_edge() -> None:
    """A tile reaches beyond the image on all sides, and is white there."""
    inner = stripes(1.2, 0.5, 0.7)
    tile = np.full((384, 384, 3), 255, np.uint8)
    tile[64:320, 64:320] = inner
    found = focus_map(tile, STAINS, 0.5, (-64, -64), (256, 256))
    whole = focus_map(inner, STAINS, 0.5)
    assert np.isfinite(whole.blur_um).sum() > 40
    assert (found.first, whole.first) == ((-2, -2), (0, 0))
    # The next row of blocks beyond the frame, which continues it, adds edges of the same blur.
    assert found.blur_um[2:10, 2:10] == pytest.approx(whole.blur_um, rel=0.2, nan_ok=True)
    assert np.nanmin(focus_map(tile, STAINS, 0.5, (-64, -64)).blur_um[2:10, 2:10]) < LIMIT_UM


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_blur_does_not_depend_on_the_direction(turns: int) -> None:
    picture = stripes(0.6, 0.5, 0.3)
    first, second = (
        np.nanmedian(focus_map(p, STAINS, 0.5).blur_um) for p in (picture, np.rot90(picture, turns))
    )
    assert first == pytest.approx(second, rel=0.09)


def test_empty_glass_and_tiny_tiles_have_no_edges() -> None:
    assert np.isnan(focus_map(np.full((64, 64, 3), 200, np.uint8), STAINS, 0.5).blur_um).all()
    assert focus_map(np.full((20, 64, 3), 200, np.uint8), STAINS, 0.5).blur_um.shape == (0, 2)


def in_focus(score: str, **changes: float) -> Field:
    size = {"pixel_size_um": 0.5, "width_px": 384, "height_px": 384}
    return draw_field(preset("score", 31, score=score, **size, **{"out_of_focus": 0.0, **changes}))


def stains(field: Field) -> StainVectors:
    s = field.settings
    return StainVectors(s.haematoxylin_vector, s.dab_vector, s.white)


@pytest.mark.parametrize("score", ["0", "1+", "3+"])
def test_drawn_fields_in_focus_are_sharp_everywhere(score: str) -> None:
    field = in_focus(score)
    assert np.nanmax(focus_map(field.rgb, stains(field), 0.5).blur_um) < LIMIT_UM


def test_drawn_patches_out_of_focus_are_found() -> None:
    """The same field with and without defocus differs where it is out of focus, and nowhere else."""
    sharp, field = in_focus("3+"), in_focus("3+", out_of_focus=1.0, defocus_um=1.5)
    apart = np.abs(sharp.rgb.astype(float) - field.rgb).mean(2).reshape(12, 32, 12, 32).mean((1, 3))
    blurred = focus_map(field.rgb, stains(field), 0.5).blur_um > LIMIT_UM
    assert blurred.any()
    assert apart[blurred].mean() > 3 * apart[~blurred].mean()


def test_drawn_blur_is_found_everywhere(drawn, stains_of) -> None:
    field = drawn("blurred")
    blur = focus_map(field.rgb, stains_of(field), 0.5).blur_um
    assert (blur[np.isfinite(blur)] > LIMIT_UM).mean() > 0.8
