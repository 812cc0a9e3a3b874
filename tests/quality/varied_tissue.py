"""Varied drawn tissue (`synthetic.varied`) as windows to train a network on."""

from __future__ import annotations

from dataclasses import replace

from qupath_her2.patches.targets.drawn_windows import DrawnWindow
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import PLAIN_SHARES
from qupath_her2.synthetic.varied import varied_field

__all__ = ["draw_varied_fields"]

#: First seeds of training and validation fields for 0.5 µm/px, and their numbers; three in four show whole tissue.
PARTS = ((880_000, 130), (890_000, 6))
UM_PX, FIELD_PX = 0.5, 500


def draw_varied_fields(parts: tuple[tuple[int, int], ...] = PARTS) -> list[DrawnWindow]:
    """Draw the fields of training and validation at 0.5 µm/px.

    Parameters
    ----------
    parts : first seed and number of fields of each part.
    """
    size = {"pixel_size_um": UM_PX, "width_px": FIELD_PX, "height_px": FIELD_PX}
    fields = []
    for split, (first, number) in enumerate(parts):
        for seed in range(first, first + number):
            field = draw_field(replace(varied_field(seed), **size))
            fields.append(DrawnWindow(field, list(PLAIN_SHARES)[seed % len(PLAIN_SHARES)], split))
    return fields
