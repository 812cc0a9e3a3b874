"""H&E stain profiles: unit vectors, JSON there and back, and invalid values."""

from __future__ import annotations

import json

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.macenko_references import (
    MACENKO_REFERENCES,
    StainProfile,
    profile_from_dict,
    profile_to_dict,
)

REFERENCE = MACENKO_REFERENCES["veta-2013"]


def test_a_profile_survives_json():
    profile = StainProfile((0.651, 0.7, 1 / 3), (0.07, 0.99, 0.11), 1 / 7, 0.2, 238.5, "a fit")
    again = profile_from_dict(json.loads(json.dumps(profile_to_dict(profile))))
    for name in ("max_hematoxylin", "max_eosin", "white", "source"):
        assert getattr(again, name) == getattr(profile, name)
    assert again.hematoxylin == pytest.approx(profile.hematoxylin, rel=1e-15)
    assert again.eosin == pytest.approx(profile.eosin, rel=1e-15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "Not a stain profile of format 1"),
        ({"kind": "reinhard"}, "Not a stain profile of format 1"),
        ({"white": "bright"}, "missing or invalid value"),
        ({"eosin": [1, 2]}, "three optical densities"),
        ({"max_eosin": 0}, "above 0"),
        ({"max_eosin": float("nan")}, "above 0"),
        ({"eosin": [0.5626, 0.7201, 0.4062]}, "parallel and cannot be unmixed"),
    ],
)
def test_a_bad_profile_says_what_is_wrong(change, message):
    with pytest.raises(SettingsError, match=message):
        profile_from_dict(profile_to_dict(REFERENCE) | change)


def test_a_profile_without_a_value_is_refused():
    value = profile_to_dict(REFERENCE)
    del value["source"]
    with pytest.raises(SettingsError, match="source"):
        profile_from_dict(value)


def test_profile_vectors_have_length_one():
    profile = StainProfile((2, 2, 1), (0, 3, 4), 1.0, 1.0)
    assert profile.hematoxylin == pytest.approx((2 / 3, 2 / 3, 1 / 3))
    assert profile.eosin == pytest.approx((0, 0.6, 0.8))
