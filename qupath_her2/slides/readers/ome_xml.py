"""OME-XML: the elements that describe one picture of an OME-TIFF file (schema 2016-06)."""

from __future__ import annotations

from xml.etree import ElementTree

__all__ = ["is_fluorescence", "pixels_element"]

#: Names of channels that are the primary colours of a brightfield image stored apart.
_PRIMARY = frozenset({"", "r", "g", "b", "red", "green", "blue", "c0", "c1", "c2"})
#: Attributes of Channel that only fluorescence has.
_FLUORESCENCE = ("EmissionWavelength", "ExcitationWavelength", "Fluor")


def pixels_element(xml: str, picture: int) -> ElementTree.Element | None:
    """Return the Pixels element of a picture.

    Parameters
    ----------
    xml
        The OME-XML of the file.
    picture
        Number of the picture, from 0.

    Returns
    -------
    ElementTree.Element | None
        None if the text is no XML, or describes fewer pictures.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    found = [element for element in root.iter() if _name(element) == "Pixels"]
    return found[picture] if picture < len(found) else None


def is_fluorescence(xml: str, picture: int) -> bool:
    """Return whether the channels of a picture are described as fluorescence, or by names that are no colours."""
    pixels = pixels_element(xml, picture)
    if pixels is None:
        return False
    for channel in (element for element in pixels if _name(element) == "Channel"):
        if any(channel.get(key) for key in _FLUORESCENCE) or channel.get("ContrastMethod") == "Fluorescence":
            return True
        if channel.get("Name", "").strip().casefold() not in _PRIMARY:
            return True
    return False


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
