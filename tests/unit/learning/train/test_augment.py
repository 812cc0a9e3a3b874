from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from qupath_her2.learning.train.augment import (
    Augmentation,
    apply_geometry,
    draw_augmentation,
    transform_targets,
)
from qupath_her2.models.settings import AugmentSettings
from qupath_her2.slides.stains.jitter import JitterSettings

NOTHING = AugmentSettings(flips=False, right_angle_turns=False)


def fixed(turns: int = 0, flipped: bool = False, affine: list[list[float]] | None = None) -> Augmentation:
    matrix = None if affine is None else np.array([affine], np.float32)
    return Augmentation(np.array([turns]), np.array([flipped]), matrix, None)


def test_turns_and_flips_are_exact_and_all_eight_occur() -> None:
    patch = torch.arange(48.0).reshape(1, 3, 4, 4)
    drawn = draw_augmentation(AugmentSettings(), 0, 0, np.arange(4000))
    codes = np.bincount(drawn.turns + 4 * drawn.flipped, minlength=8)
    # 500 each, binomial deviation 21.
    assert codes.min() > 400
    assert codes.max() < 600
    for turns in range(4):
        for flipped in (False, True):
            by_numpy = np.rot90(patch.numpy()[..., ::-1] if flipped else patch.numpy(), turns, (2, 3))
            assert np.array_equal(apply_geometry(patch, fixed(turns, flipped)).numpy(), by_numpy)


def test_each_patch_of_a_batch_gets_its_own() -> None:
    rows = np.arange(40)
    patches = torch.rand(40, 3, 9, 9)
    settings = AugmentSettings(angle_deg=30, scale=0.2, shift=0.1, shear_deg=5)
    together = apply_geometry(patches, draw_augmentation(settings, 5, 2, rows))
    for row in (0, 17, 39):
        alone = apply_geometry(patches[row : row + 1], draw_augmentation(settings, 5, 2, rows[row : row + 1]))
        assert torch.allclose(together[row], alone[0], atol=1e-6)


def test_switched_off_it_changes_nothing() -> None:
    patches = torch.rand(5, 3, 8, 8)
    assert torch.equal(apply_geometry(patches, draw_augmentation(NOTHING, 0, 0, np.arange(5))), patches)


@pytest.mark.parametrize(("angle", "scale"), [(20.0, 0.0), (-35.0, 0.3), (0.0, -0.25)])
def test_rotation_and_scale_are_those_of_opencv(angle: float, scale: float) -> None:
    """A smooth blob off the centre, rotated and scaled here and by OpenCV, ends up in the same place."""
    side = 64
    y, x = np.mgrid[:side, :side]
    blob = np.exp(-((x - 40) ** 2 + (y - 28) ** 2) / 50).astype(np.float32)
    middle = (side - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, 1 + scale)
    wanted = cv2.warpAffine(blob, matrix, (side, side))
    cos, sin = np.cos(np.deg2rad(-angle)) / (1 + scale), np.sin(np.deg2rad(-angle)) / (1 + scale)
    affine = [[cos, sin, 0], [-sin, cos, 0]]
    got = apply_geometry(torch.from_numpy(blob)[None, None].expand(1, 3, -1, -1), fixed(affine=affine))
    # OpenCV puts nothing where the patch ends, we its mirror image.
    inside = (slice(12, -12), slice(12, -12))
    assert np.abs(got[0, 0].numpy() - wanted)[inside].max() < 0.01
    assert wanted[inside].max() > 0.9


def test_affine_transforms_stay_within_their_ranges() -> None:
    settings = AugmentSettings(angle_deg=25, scale=0.2, shift=0.125)
    affine = draw_augmentation(settings, 0, 0, np.arange(3000)).affine
    assert affine is not None
    size = 1 / np.sqrt(np.linalg.det(affine[:, :, :2]))
    angle = np.rad2deg(np.arctan2(affine[:, 1, 0], affine[:, 0, 0]))
    for values, low, high in ((size, 0.8, 1.2), (angle, -25, 25), (affine[:, :, 2], -0.25, 0.25)):
        assert low - 1e-4 <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high + 1e-4


def test_switching_one_setting_on_leaves_the_others_unchanged() -> None:
    rows = np.arange(100)
    plain = draw_augmentation(AugmentSettings(angle_deg=10), 0, 0, rows)
    more = draw_augmentation(AugmentSettings(angle_deg=10, stains=JitterSettings()), 0, 0, rows)
    assert np.array_equal(plain.turns, more.turns)
    assert plain.affine is not None
    assert np.array_equal(plain.affine, more.affine)


def test_targets_are_transformed_like_their_patches() -> None:
    rng = np.random.default_rng(0)
    targets = torch.from_numpy(rng.integers(0, 3, (8, 12, 12), np.uint8))
    patches = targets[:, None].repeat(1, 3, 1, 1).float()
    drawn = draw_augmentation(AugmentSettings(), 3, 0, np.arange(8))
    assert len(set(zip(drawn.turns.tolist(), drawn.flipped.tolist(), strict=True))) > 3
    moved = transform_targets(targets, drawn)
    assert moved.dtype == torch.uint8
    assert torch.equal(moved.float(), apply_geometry(patches, drawn)[:, 0])


def test_resampled_targets_keep_their_classes_and_are_unlabelled_outside() -> None:
    # Large blocks of one class: away from their edges a bilinear patch shows where the nearest target lies.
    targets = torch.zeros((6, 64, 64), dtype=torch.uint8)
    targets[:, 20:44, 12:52] = 2
    settings = AugmentSettings(angle_deg=30.0, scale=0.3, shift=0.3, shear_deg=10.0)
    drawn = draw_augmentation(settings, 1, 0, np.arange(6))
    moved = transform_targets(targets, drawn)
    shown = apply_geometry(targets[:, None].float(), drawn)[:, 0]
    assert set(moved.unique().tolist()) == {0, 2, 255}
    is_sure = (moved != 255) & ((shown < 0.01) | (shown > 1.99))
    assert is_sure.float().mean() > 0.5
    assert torch.equal(moved[is_sure].float(), shown[is_sure].round())
