"""Flat-coloured cells with known answers: blue discs, brown rings, glass."""

from __future__ import annotations

import cv2
import numpy as np

GLASS, BLUE, BROWN = (240, 240, 240), (120, 130, 190), (150, 95, 60)


def glass(height, width=None):
    return np.full((height, width or height, 3), GLASS, np.uint8)


def nucleus(picture, x, y, radius=8):
    cv2.circle(picture, (x, y), radius, BLUE, cv2.FILLED)


def ring(picture, x, y, degrees=360, radius=14, thickness=3):
    cv2.ellipse(picture, (x, y), (radius, radius), 0, 0, degrees, BROWN, thickness)


def depth(colour):
    """1 - grey of a colour, 0..1, by the weights of ITU-R BT.601."""
    return 1 - (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255
