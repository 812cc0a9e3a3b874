"""QuPath's stain text: what it holds, in either order, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.qupath_stains import chosen_stains, parse_qupath_stains
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB

QUPATH_TEXT = (
    '{"Name" : "H-DAB default", "Stain 1" : "Hematoxylin", "Values 1" : "0.65111 0.70119 0.29049", '
    '"Stain 2" : "DAB", "Values 2" : "0.26917 0.56824 0.77759", "Background" : " 250 251 252"}'
)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("as_text", [False, True])
def test_qupath_stains_are_read_from_text_and_mapping_in_either_order(swap, as_text):
    fields = json.loads(QUPATH_TEXT)
    if swap:
        for key in ("Stain", "Values"):
            fields[f"{key} 1"], fields[f"{key} 2"] = fields[f"{key} 2"], fields[f"{key} 1"]
    stains = parse_qupath_stains(json.dumps(fields) if as_text else fields)
    np.testing.assert_allclose(stains.hematoxylin, QUPATH_H_DAB.hematoxylin, atol=1e-5)
    np.testing.assert_allclose(stains.dab, QUPATH_H_DAB.dab, atol=1e-5)
    assert stains.background_rgb == (250, 251, 252)
    assert stains.source == "QuPath"


def test_qupath_third_stain_replaces_the_residual():
    fields = json.loads(QUPATH_TEXT) | {"Stain 3": "Red", "Values 3": [0.2, 0.9, 0.3]}
    third = np.array([0.2, 0.9, 0.3]) / np.linalg.norm([0.2, 0.9, 0.3])
    np.testing.assert_allclose(parse_qupath_stains(fields).matrix()[2], third)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Stain 2": "Eosin"}, "Brightfield"),
        ({"Values 1": "0.6 x 0.2"}, "three numbers"),
        ({"Values 1": "0.6 0.2"}, "three numbers"),
        ({"Values 1": "0 0 0"}, r"hematoxylin is \(0.0, 0.0, 0.0\); it must be three optical densities"),
        ({"Values 1": "nan 1 1"}, r"hematoxylin is \(nan, 1.0, 1.0\)"),
        ({"Values 2": "0.65111 0.70119 0.29049"}, "parallel and cannot be unmixed"),
        ({"Background": "0 0 0"}, "background"),
        ({"Stain 2": "Hematoxylin"}, "same name"),
    ],
)
def test_bad_stains_say_what_is_wrong(change, message):
    with pytest.raises(SettingsError, match=message):
        parse_qupath_stains(json.loads(QUPATH_TEXT) | change)


@given(
    st.text(max_size=40)
    | st.dictionaries(st.sampled_from(list(json.loads(QUPATH_TEXT))), st.text(max_size=9))
)
@settings(max_examples=60)
def test_junk_stains_only_raise_settings_errors(junk):
    with pytest.raises(SettingsError):
        parse_qupath_stains(junk)


WHITE_TEXT = QUPATH_TEXT.replace(" 250 251 252", " 255 255 255")


def test_the_vectors_that_the_image_type_brings_are_nobodys_choice():
    assert chosen_stains(WHITE_TEXT) is None
    assert chosen_stains(None) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Values 1", "0.651 0.701 0.310"),
        ("Values 2", "0.269 0.568 0.790"),
        ("Values 3", "0.2 0.9 0.3"),
        ("Background", "243 244 242"),
    ],
)
def test_any_change_of_qupaths_defaults_is_a_choice(field, value):
    changed = json.loads(WHITE_TEXT) | {field: value}
    assert chosen_stains(changed) == parse_qupath_stains(changed)
