from __future__ import annotations

import cv2
import numpy as np
import pytest

from qupath_her2.slides.area_average import area_average


@pytest.mark.parametrize("eighths", [9, 12, 17, 20, 25, 51])
def test_averages_are_those_of_opencv(eighths: int) -> None:
    source = np.random.default_rng(eighths).integers(0, 256, (eighths * 8, eighths * 12, 3), np.uint8)
    expected = cv2.resize(source, (96, 64), interpolation=cv2.INTER_AREA)
    # OpenCV may round a mean half-way between two values to either, depending on the processor.
    assert np.abs(area_average(source, 96, 64).astype(int) - expected).max() <= 1
    assert (area_average(source, 96, 64) == expected).mean() > 0.99


def test_each_pixel_is_the_mean_of_those_it_covers() -> None:
    source = np.zeros((3, 3, 3), np.uint8)
    source[0, 0], source[1, 1] = (90, 0, 9), (180, 0, 0)
    # Of 1.5 x 1.5 pixels, the first counts whole and the one in the middle a quarter.
    assert area_average(source, 2, 2)[0, 0].tolist() == [60, 0, 4]
    assert area_average(source[:, ::-1], 2, 2)[0, 1].tolist() == [60, 0, 4]


def test_flat_pictures_stay_flat() -> None:
    assert (area_average(np.full((17, 34, 3), 201, np.uint8), 16, 8) == 201).all()
