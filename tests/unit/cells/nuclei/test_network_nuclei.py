"""Nuclei from drawn probability maps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from qupath_her2.cells.nuclei.network_nuclei import NucleusMapSettings, nuclei_from_map
from qupath_her2.cells.nuclei.star_contours import polygon_areas
from tests.helpers.drawn_planes import discs

UM_PX = 0.5


def test_disc_is_a_nucleus_of_its_size_and_position() -> None:
    nuclei, owner = nuclei_from_map(discs((40.3, 30.6, 8)), UM_PX, NucleusMapSettings())
    assert len(nuclei) == 1
    assert nuclei.centre[0] == pytest.approx([40.3, 30.6], abs=0.1)
    assert nuclei.radii[0] == pytest.approx(8, abs=0.3)
    assert (owner == 0).sum() == pytest.approx(np.pi * 64, rel=0.05)


@pytest.mark.parametrize(("radius", "gap"), [(9, -2.0), (10, -2.5), (8, -1.0), (9, 1.0)])
@pytest.mark.parametrize("smaller", [1.0, 0.7])
def test_touching_nuclei_are_split_at_their_neck(radius: float, gap: float, smaller: float) -> None:
    other = radius * smaller
    apart = radius + other + gap
    nuclei, owner = nuclei_from_map(
        discs((30, 40, radius), (30 + apart, 40, other)), UM_PX, NucleusMapSettings()
    )
    assert len(nuclei) == 2
    by_x = np.argsort(nuclei.centre[:, 0])
    assert nuclei.centre[by_x, 0] == pytest.approx([30, 30 + apart], abs=1.0)
    # Where two circles cut, not half-way between their centres.
    neck = 30 + (apart**2 + radius**2 - other**2) / (2 * apart)
    last = np.flatnonzero(owner[40] == by_x[0]).max()
    assert last == pytest.approx(neck if gap < 0 else 30 + radius, abs=1.6)


@pytest.mark.parametrize("angle", [0, 30, 45, 90])
@pytest.mark.parametrize("aspect", [1.5, 2.2])
def test_elongated_nucleus_is_not_split(aspect: float, angle: int) -> None:
    mask = np.zeros((100, 100), np.float32)
    axes = (int(7 * aspect), 7)
    cv2.ellipse(mask, (50, 50), axes, angle, 0, 360, 1.0, -1)
    nuclei, _ = nuclei_from_map(mask, UM_PX, NucleusMapSettings())
    assert len(nuclei) == 1
    assert polygon_areas(nuclei.radii)[0] == pytest.approx(mask.sum(), rel=0.08)


def test_specks_and_improbable_areas_are_no_nuclei() -> None:
    maps = np.maximum(discs((20, 20, 1.5)), 0.55 * discs((60, 40, 8)))
    assert len(nuclei_from_map(maps, UM_PX, NucleusMapSettings())[0]) == 0
    assert len(nuclei_from_map(maps, UM_PX, NucleusMapSettings(min_peak=0.5))[0]) == 1
    assert len(nuclei_from_map(np.zeros((30, 30), np.float32), UM_PX, NucleusMapSettings())[0]) == 0
