"""Bit depth of images in 16-bit files: cameras deliver 10, 12 or 14 bits, and writers rarely say which.

Read by its high byte, a 12-bit image would be black. The depth is the declared one where that is less than 16
(OME-XML ``SignificantBits``, TIFF ``SMaxSampleValue`` or ``MaxSampleValue``), else the smallest usual depth that
holds the brightest value: glass and lumens reach near the top of the range in brightfield.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.slides.readers.ome_xml import pixels_element

__all__ = ["declared_bits", "in_8_bits", "used_bits"]

#: Depths of cameras and converters.
_USUAL_BITS = (8, 10, 12, 14, 16)


def declared_bits(page: Any, ome_xml: str = "", picture: int = 0) -> int | None:
    """Return the bit depth that a 16-bit TIFF declares; None if it declares none or just its container's 16.

    Parameters
    ----------
    page
        tifffile's page.
    ome_xml
        The OME-XML of the file.
    picture
        Number of the picture in it, from 0.

    Returns
    -------
    int | None
        8 to 15. Many writers put 16 for whatever is in the file, so that 16 says nothing.
    """
    pixels = pixels_element(ome_xml, picture)
    said: list[int] = []
    text = "" if pixels is None else pixels.get("SignificantBits", "")
    if text.isdigit():
        said.append(int(text))
    for name in ("SMaxSampleValue", "MaxSampleValue"):
        tag = page.tags.get(name)
        if tag is not None:
            values = np.ravel(np.asarray(tag.value))
            said.append(int(values.max()).bit_length())
    return next((bits for bits in said if 8 <= bits < 16), None)


def used_bits(brightest: int, declared: int | None) -> tuple[int, str | None]:
    """Return the bit depth to read by, and a sentence where it had to be inferred.

    Parameters
    ----------
    brightest
        Largest value of the image.
    declared
        From `declared_bits`.

    Returns
    -------
    bits
        8 to 16.
    note
        None where the depth was declared, or the values fill 16 bits.
    """
    # A declaration that the pixels exceed is wrong.
    if declared is not None and brightest < 2**declared:
        return declared, None
    bits = next(bits for bits in _USUAL_BITS if brightest < 2**bits)
    if bits == 16:
        return bits, None
    return bits, (
        f"The file has 16 bits per colour and does not state how many are used; its brightest value is "
        f"{brightest:,}, so it was read as a {bits}-bit image. If that is wrong, export it as 8-bit RGB."
    )


def in_8_bits(pixels: NDArray[np.uint16], bits: int) -> NDArray[np.uint8]:
    """Return the upper 8 of the used bits.

    Parameters
    ----------
    pixels
        uint16, any shape.
    bits
        Used bits, 8 to 16; larger values become 255.

    Returns
    -------
    NDArray[np.uint8]
        Of the same shape. Nothing is stretched to the brightest pixel: an optical density must not depend on what else
        is in the image.
    """
    upper: NDArray[np.uint8] = np.minimum(pixels >> np.uint16(bits - 8), 255).astype(np.uint8)
    return upper
