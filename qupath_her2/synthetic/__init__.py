"""Drawn HER2 fields with known truth: tests, examples, doctor, accuracy checks.

A field is drawn from its optics: amounts of stain on a grid finer than the picture, summed by Beer–Lambert,
blurred and integrated as light, then sensor noise and JPEG. No detector's assumption enters.
"""

from __future__ import annotations

from qupath_her2.synthetic.field import Field, FieldTruth, draw_field
from qupath_her2.synthetic.perturb import perturb
from qupath_her2.synthetic.presets import PLAIN_SHARES, PRESETS, preset
from qupath_her2.synthetic.settings import FieldSettings

__all__ = [
    "PLAIN_SHARES",
    "PRESETS",
    "Field",
    "FieldSettings",
    "FieldTruth",
    "draw_field",
    "perturb",
    "preset",
]
