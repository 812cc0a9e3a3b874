"""Image formation: Beer–Lambert absorption, point spread, pixel integration, sensor noise, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.synthetic.noise import stream
from qupath_her2.synthetic.painting import PAD_UM, Canvas, texture
from qupath_her2.synthetic.settings import FieldSettings

__all__ = ["EOSIN_VECTOR", "expose", "jpeg", "stain_vectors"]

#: Eosin's direction after Ruifrok and Johnston 2001 (Anal Quant Cytol Histol 23:291), as in ImageJ.
EOSIN_VECTOR = (0.072, 0.990, 0.105)
#: Nearly neutral absorption, slightly stronger in the blue channel: refraction at red cells, and dirt.
GREY_VECTOR = (0.565, 0.565, 0.60)

Floats = NDArray[np.float32]


def stain_vectors(settings: FieldSettings) -> NDArray[np.float64]:
    """Return unit stain vectors, float64 (4, 3): haematoxylin and DAB with the seed's jitter, eosin, grey."""
    # Components are kept positive: no stain emits light.
    rng = stream(settings.seed, "stains")
    vectors = np.array([settings.haematoxylin_vector, settings.dab_vector, EOSIN_VECTOR, GREY_VECTOR])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[:2] = np.maximum(vectors[:2] + settings.stain_jitter * rng.standard_normal((2, 3)), 0.01)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def expose(canvas: Canvas) -> NDArray[np.uint8]:
    """Render the canvas as the scanner would image it, uint8 (H, W, 3), RGB, without the margin.

    Transmission is ``10 ** -OD``, where OD is the sum over stains of amount times unit vector (Beer–Lambert). Blur and
    pixel integration act on light, not on OD, as in a microscope: both reduce the OD of thin dark lines.
    """
    settings = canvas.settings
    vectors = stain_vectors(settings)
    layers = (canvas.haematoxylin, canvas.dab, canvas.eosin, canvas.grey)
    focus = _defocus(canvas)
    planes = []
    for channel in range(3):
        od = sum(np.float32(vectors[i, channel]) * layer for i, layer in enumerate(layers))
        light = np.exp(np.float32(-np.log(10)) * np.asarray(od, np.float32))
        # Stray light lifts the dark end: no scanner records the OD of 2 that a thick membrane has.
        light = (light + np.float32(settings.glare)) / np.float32(1 + settings.glare)
        planes.append(_integrated(canvas, _imaged(canvas, light, focus)))
    light_rgb = np.stack(planes, axis=-1) * np.array(settings.white, np.float32)
    if settings.captured_um_px is not None:
        return _enlarged(settings, light_rgb, settings.captured_um_px)
    picture = _sensed(settings, light_rgb)
    return jpeg(picture, settings.jpeg_quality) if settings.jpeg_quality is not None else picture


def _enlarged(settings: FieldSettings, light_rgb: Floats, captured_um_px: float) -> NDArray[np.uint8]:
    """Take the picture at a coarser pixel size, compress it there, and enlarge it with its artefacts."""
    shrink = settings.pixel_size_um / captured_um_px
    size = max(8, round(settings.width_px * shrink)), max(8, round(settings.height_px * shrink))
    coarse = np.asarray(cv2.resize(light_rgb, size, interpolation=cv2.INTER_AREA), np.float32)
    picture = _sensed(settings, coarse)
    if settings.jpeg_quality is not None:
        picture = jpeg(picture, settings.jpeg_quality)
    whole = (settings.width_px, settings.height_px)
    return np.asarray(cv2.resize(picture, whole, interpolation=cv2.INTER_CUBIC), np.uint8)


def _imaged(canvas: Canvas, light: Floats, focus: Floats | None) -> Floats:
    """Apply the point spread function, locally varying defocus, and the sharpening of the scanner."""
    settings = canvas.settings
    sharp = _blur(light, settings.psf_um / canvas.grid_um)
    if focus is not None:
        sharp = sharp + focus * (_blur(light, settings.defocus_um / canvas.grid_um) - sharp)
    if settings.sharpening > 0:
        sharp = sharp + settings.sharpening * (sharp - _blur(sharp, 0.45 / canvas.grid_um))
    return sharp


def _defocus(canvas: Canvas) -> Floats | None:
    """Return the defocus of each sample, 0..1, in wide soft patches; None if the whole field is in focus."""
    amount = canvas.settings.out_of_focus
    if amount <= 0:
        return None
    height = texture(canvas, "focus", 45.0)
    # Every 8th sample is plenty for a quantile of a field that varies over 45 µm.
    edge = np.quantile(height[::8, ::8], 1 - 0.35 * amount)
    return np.asarray(np.clip((height - edge) / 0.5, 0, 1), np.float32)


def _blur(plane: Floats, sigma: float) -> Floats:
    """Apply a Gaussian blur; a sigma of 0 changes nothing."""
    return plane if sigma <= 0 else np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def _integrated(canvas: Canvas, light: Floats) -> Floats:
    """Crop the margin and average the grid samples of each pixel."""
    settings, n = canvas.settings, canvas.oversampling
    start = round(PAD_UM / canvas.grid_um)
    cut = light[start : start + n * settings.height_px, start : start + n * settings.width_px]
    size = (settings.width_px, settings.height_px)
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.float32)


def _sensed(settings: FieldSettings, picture: Floats) -> NDArray[np.uint8]:
    """Add shot noise, correlated between neighbours as after demosaicing, and round to 8 bits."""
    if settings.noise > 0:
        rng = stream(settings.seed, "sensor")
        raw = rng.standard_normal(picture.shape, dtype=np.float32)
        soft = np.asarray(cv2.GaussianBlur(raw, (0, 0), 0.6), np.float32) * 1.9
        grain = 0.5 * raw + 0.85 * soft
        # Photon noise grows with the square root of the light; 235 is the white level that `noise` refers to.
        shot = np.sqrt(np.maximum(picture, 1) / 235)
        picture = np.asarray(picture + settings.noise * grain / grain.std() * shot, np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def jpeg(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress and decompress uint8 (H, W, 3) RGB at a JPEG quality of 1..100, with chroma subsampling."""
    done, code = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    if not done:
        raise ValueError(
            f"OpenCV could not compress an image of shape {rgb.shape} at JPEG quality {quality}; use 1 to 100."
        )
    decoded = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])
