"""Closed outlines: contours of masks, resampling, offsets, centroids and irregular ellipses."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["centroid", "inset", "resampled", "smoothed_contour", "wobbly_ellipse"]

Ring = NDArray[np.float64]


def resampled(ring: Ring, step: float) -> Ring:
    """Resample an open ring, float64 (K, 2), to equal steps of about `step`, at least 8 vertices."""
    closed = np.vstack([ring, ring[:1]])
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    n = max(8, round(length[-1] / step))
    at = np.arange(n) * length[-1] / n
    return np.stack([np.interp(at, length, closed[:, 0]), np.interp(at, length, closed[:, 1])], 1)


def smoothed_contour(mask: NDArray[np.bool_], step_um: float, sigma_um: float) -> Ring | None:
    """Return the outline of the largest part of a mask, smoothed along its length.

    Parameters
    ----------
    mask
        bool (H, W).
    step_um
        Pixel size of the mask, µm.
    sigma_um
        Sigma of the smoothing along the outline, µm.

    Returns
    -------
    Ring | None
        float64 (K, 2), open ring in µm from the mask's corner, oriented as OpenCV returns it; None if the mask is empty
        or its outline has fewer than 8 pixels.
    """
    # Padded, so that parts at the mask's edge have a closed outline; the ring is shifted back below.
    padded = np.pad(mask, 1).astype(np.uint8)
    found, _ = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not found:
        return None
    largest = max(found, key=cv2.contourArea)[:, 0, :].astype(np.float64)
    if len(largest) < 8:
        return None
    ring = resampled((largest - 0.5) * step_um, 0.5)
    ring = ndimage.gaussian_filter1d(ring, sigma_um / 0.5, axis=0, mode="wrap")
    # OpenCV's contour runs through pixel centres, half a pixel inside the mask's border.
    return inset(ring, -0.5 * step_um)


def normals(ring: Ring) -> Ring:
    """Return the unit outward normal at each vertex, float64 (K, 2), for either orientation of the ring."""
    tangent = np.roll(ring, -1, 0) - np.roll(ring, 1, 0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], 1)
    normal /= np.maximum(np.hypot(*normal.T), 1e-9)[:, None]
    x, y = ring.T
    # The sign of the shoelace area is the orientation.
    turn = np.sign(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    return np.asarray(turn * normal)


def inset(ring: Ring, distance: float | NDArray[np.float64]) -> Ring:
    """Move each vertex inward along its normal; a negative distance moves it outward."""
    return np.asarray(ring - normals(ring) * np.broadcast_to(distance, len(ring))[:, None])


def centroid(ring: Ring) -> NDArray[np.float64]:
    """Return the area centroid of an open ring, float64 (2,)."""
    # Relative to the first vertex, which avoids cancellation far from the origin.
    x, y = (ring - ring[0]).T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    area = cross.sum() / 2
    if abs(area) < 1e-12:
        return np.asarray(ring.mean(0), np.float64)
    mean = np.array([((x + np.roll(x, -1)) * cross).sum(), ((y + np.roll(y, -1)) * cross).sum()]) / (6 * area)
    return np.asarray(mean + ring[0])


def wobbly_ellipse(
    rng: np.random.Generator,
    centre: NDArray[np.float64],
    area: float,
    aspect: float,
    axis: float,
    wobble: float,
) -> Ring:
    """Draw an irregular ellipse.

    Parameters
    ----------
    rng
        Random generator.
    centre
        float64 (2,), x and y.
    area
        Area of the ellipse before it is made irregular, in squared units of `centre`.
    aspect
        Aspect ratio, >= 1.
    axis
        Direction of the long axis, radians.
    wobble
        Relative strength of the irregularity.

    Returns
    -------
    Ring
        float64 (48, 2), open ring.
    """
    angle = np.arange(48) * 2 * np.pi / 48
    radius = np.ones(48)
    # Orders 0 and 1 would change size and position, which are given.
    for k in range(2, 6):
        radius += wobble / k * 2 * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    unit = np.stack([np.cos(angle) * np.sqrt(aspect), np.sin(angle) / np.sqrt(aspect)], 1) * radius[:, None]
    unit *= np.sqrt(area / np.pi)
    turn = np.array([[np.cos(axis), np.sin(axis)], [-np.sin(axis), np.cos(axis)]])
    return np.asarray(unit @ turn + centre)
