"""Registration records: summary, JSON there and back, and invalid values."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from qupath_her2.errors import RegistrationError
from qupath_her2.slides.registration.record import (
    Registration,
    registration_from_dict,
    registration_to_dict,
)

FOUND = Registration(
    (1, 0, 0, 1, 5, -5), (100, 80), (120, 90), 0.5, 0.25, 8.0, 20.0, 40, 50, 12.0, True, 0.02, 4.0
)


def test_a_registration_survives_json():
    assert registration_from_dict(json.loads(json.dumps(registration_to_dict(FOUND)))) == FOUND
    assert FOUND.sentence() == (
        "rotated by 12.0°, mirrored; median error 8 µm, 90 % within 20 µm; 40 of 50 blocks agree"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, r"Not a registration of format 1 \(format 3"),
        ({"matrix": [1, 2, 3]}, "matrix is"),
        ({"matrix": [1, 0, 0, 1, 0, float("nan")]}, "matrix is"),
        ({"moving_size": None}, "missing or invalid value"),
    ],
)
def test_a_bad_registration_says_what_is_wrong(change, message):
    with pytest.raises(RegistrationError, match=message):
        registration_from_dict(registration_to_dict(FOUND) | change)
    value = registration_to_dict(replace(FOUND))
    del value["error_um"]
    with pytest.raises(RegistrationError, match="error_um"):
        registration_from_dict(value)
