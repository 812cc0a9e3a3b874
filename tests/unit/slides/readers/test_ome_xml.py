from __future__ import annotations

import pytest

from qupath_her2.slides.readers.ome_xml import is_fluorescence, pixels_element


def ome(*pictures):
    head = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    images = (
        f'<Image ID="Image:{n}"><Pixels ID="P:{n}">{text}</Pixels></Image>' for n, text in enumerate(pictures)
    )
    return f"{head}{''.join(images)}</OME>"


def test_pictures_are_found_by_number():
    xml = ome("", '<Channel Name="DAPI"/>')
    assert pixels_element(xml, 1).get("ID") == "P:1"
    assert pixels_element(xml, 2) is None
    assert pixels_element("no XML", 0) is None


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ("", False),
        ('<Channel SamplesPerPixel="3"/>', False),
        ('<Channel Name="Red"/><Channel Name="Green"/><Channel Name="Blue"/>', False),
        ('<Channel Name="DAPI"/><Channel Name="FITC"/><Channel Name="Cy5"/>', True),
        ('<Channel EmissionWavelength="520"/>', True),
        ('<Channel ContrastMethod="Fluorescence"/>', True),
        ('<Channel ContrastMethod="Brightfield"/>', False),
    ],
)
def test_fluorescence_is_told_by_what_its_channels_state(channels, expected):
    assert is_fluorescence(ome(channels), 0) is expected
