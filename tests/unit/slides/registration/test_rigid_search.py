"""Rigid search: the best pose is the rotation, side and translation that the moving section was drawn with."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from qupath_her2.slides.registration.rigid_search import search_poses
from qupath_her2.slides.registration.structure import Structure

SIZE_UM = 50.0


def section(high: int = 70, wide: int = 90) -> Structure:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:high, :wide]
    inside = np.hypot((x - wide / 2) / (0.4 * wide), (y - high / 2) / (0.4 * high)) < 1
    noise = cv2.GaussianBlur(rng.standard_normal((high, wide)).astype(np.float32), (0, 0), 3)
    density = np.where(inside, 0.6 + noise / noise.std() / 5, 0).astype(np.float32)
    return Structure(density, inside, SIZE_UM)


def moved(fixed: Structure, matrix_px: np.ndarray, shape: tuple[int, int]) -> Structure:
    """The section on another canvas; `matrix_px`, float64 (2, 3), takes pixel centres to pixel centres."""
    density = cv2.warpAffine(fixed.density, matrix_px, shape[::-1])
    tissue = cv2.warpAffine(fixed.tissue.astype(np.float32), matrix_px, shape[::-1]) > 0.5
    return Structure(density, tissue, fixed.pixel_size_um)


@pytest.mark.parametrize("angle_deg", [0.0, 35.0, 215.0])
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_the_best_pose_is_the_true_one(angle_deg, is_mirrored):
    fixed = section()
    shape = (96, 100)
    cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if is_mirrored else 1.0, 1.0])
    middle = np.array([(90 - 1) / 2, (70 - 1) / 2])
    shift = np.array([(100 - 1) / 2 + 3, (96 - 1) / 2 - 4]) - linear @ middle
    poses = search_poses(fixed, moved(fixed, np.column_stack([linear, shift]), shape), keep=3)
    best = poses[0]
    assert best.is_mirrored == is_mirrored
    assert best.score > 0.9
    assert [pose.score for pose in poses] == sorted((pose.score for pose in poses), reverse=True)
    # Where tissue pixels land, against where they were drawn; corners in µm, so centres are half a pixel in.
    rows, columns = np.nonzero(fixed.tissue)
    centres = np.column_stack([columns, rows]).astype(float)
    truth_um = (centres @ linear.T + shift + 0.5) * SIZE_UM
    found_um = (centres + 0.5) * SIZE_UM @ best.matrix[:, :2].T + best.matrix[:, 2]
    assert np.linalg.norm(found_um - truth_um, axis=1).max() < SIZE_UM


def test_similar_poses_are_listed_once():
    fixed = section()
    poses = search_poses(fixed, fixed, step_deg=5.0, keep=6)
    assert len(poses) == 6
    angles = [math.degrees(math.atan2(pose.matrix[1, 0], pose.matrix[0, 0])) for pose in poses]
    assert angles[0] == pytest.approx(0)
    for pose, angle in zip(poses[1:], angles[1:], strict=True):
        far = np.abs(pose.matrix[:, 2] - poses[0].matrix[:, 2]).max() > 0
        assert pose.is_mirrored or abs(angle) >= 15 or far
