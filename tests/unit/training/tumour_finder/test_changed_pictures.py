"""Pictures are changed in scale, stain and softness, and keep their place."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from qupath_her2.training.tumour_finder.changed_pictures import Change, change_picture, random_change


def picture():
    rgb = np.full((200, 300, 3), 240, np.uint8)
    rgb[80:120, 100:140] = (110, 60, 30)
    rgb[20:60, 200:260] = (90, 90, 160)
    return rgb


def test_no_change_leaves_the_picture():
    changed, factor = change_picture(picture(), 0.5, Change(), np.random.default_rng(0))
    assert factor == 1
    assert np.abs(changed.astype(int) - picture()).max() <= 6


def test_a_coarser_picture_is_smaller_by_the_factor():
    changed, factor = change_picture(picture(), 0.25, Change(read_um_px=0.5), np.random.default_rng(0))
    assert (changed.shape, factor) == ((100, 150, 3), 2.0)
    assert changed[50, 60].astype(int).tolist() == pytest.approx([110, 60, 30], abs=8)


def test_brown_can_be_taken_out_and_blue_stays():
    changed, _ = change_picture(picture(), 0.5, Change(dab=0.0), np.random.default_rng(0))
    assert changed[100, 120, 2] > picture()[100, 120, 2] + 50
    assert np.abs(changed[40, 230].astype(int) - picture()[40, 230]).max() < 25


def test_random_changes_differ_and_repeat():
    one, two, again = (random_change(np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert one == again
    assert any(getattr(one, f.name) != getattr(two, f.name) for f in fields(Change))
    assert 0.8 <= one.declared <= 1.3
