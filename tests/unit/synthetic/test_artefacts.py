from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.synthetic.architecture import lay_out_tissue
from qupath_her2.synthetic.artefacts import paint_debris, paint_wrinkles
from qupath_her2.synthetic.painting import canvas_for
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.tissue import TissueSettings

SETTINGS = FieldSettings(width_px=300, height_px=300, seed=9)
TISSUE = TissueSettings(tumour=0.1, debris=1.0, debris_yellow=0.25, wrinkles=1.0)


def test_debris_is_grey_and_bright_with_its_share_of_brown() -> None:
    layout = lay_out_tissue(SETTINGS, TISSUE)
    canvas, clean = canvas_for(SETTINGS), canvas_for(SETTINGS)
    paint_debris(canvas, layout, TISSUE)
    paint_debris(clean, layout, replace(TISSUE, debris=0.0))
    assert not clean.grey.any()
    assert canvas.grey.min() < -0.01
    grey_only = canvas_for(SETTINGS)
    paint_debris(grey_only, layout, replace(TISSUE, debris_yellow=0.0))
    assert not grey_only.dab.any()
    # What is brown in one is grey in the other.
    assert canvas.dab.sum() == pytest.approx((grey_only.grey - canvas.grey).sum(), rel=0.01)
    assert canvas.dab.max() == pytest.approx(0.25 * 0.26, rel=0.6)


def test_a_fold_doubles_the_stain_below_it() -> None:
    canvas = canvas_for(SETTINGS)
    canvas.haematoxylin[:] = 0.1
    paint_wrinkles(canvas, TISSUE)
    assert canvas.haematoxylin.max() == pytest.approx(0.19, abs=0.005)
    folded = (canvas.haematoxylin > 0.15).mean()
    assert 0.005 < folded < 0.3
    assert canvas.dab.max() > 0.005
    flat = canvas_for(SETTINGS)
    paint_wrinkles(flat, replace(TISSUE, wrinkles=0.0))
    assert not np.any(flat.grey)
