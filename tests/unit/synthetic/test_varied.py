"""Fields that vary: determined by their seed, unlike each other, and drawable."""

from __future__ import annotations

from dataclasses import replace

from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.varied import varied_field, varied_tissue


def test_a_seed_determines_the_field():
    assert varied_field(8) == varied_field(8) == varied_tissue(8)
    assert varied_field(8) != varied_field(9)


def test_one_field_in_four_shows_nests_without_other_tissue():
    kinds = [varied_field(seed).tissue is None for seed in range(8)]
    assert kinds == [False, False, False, True] * 2


def test_the_fields_can_be_drawn():
    for seed in (0, 3):
        field = draw_field(replace(varied_field(seed), width_px=96, height_px=96, pixel_size_um=0.5))
        assert field.rgb.shape == (96, 96, 3)
