"""Profiles as files: what is written is read back, and every damage is named."""

from __future__ import annotations

import orjson
import pytest

from qupath_her2.cells.membrane.class_model import ClassModel
from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.cells.profiles import (
    Place,
    Profile,
    profile_path,
    read_profile,
    read_profiles,
    write_profile,
)
from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB

PLACE = Place("scan 1", "HER2", "A", QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab)
MODEL = ClassModel((1.0, 0.5, 0.0, 0.0, 0.0), (0.2, 0.4, 0.6))
PROFILE = Profile("lab-a", PLACE, GradingSettings(intense_od=0.6), {"cells": 40}, {"cells": 40}, MODEL)


def test_what_is_written_is_read_back(tmp_path):
    path = write_profile(profile_path(tmp_path, "lab-a"), PROFILE)
    assert read_profile(path) == PROFILE
    assert read_profiles(tmp_path) == ([PROFILE], [])
    assert PLACE.words == "scan 1, stain HER2, laboratory A"


def test_the_digest_is_of_name_and_grading():
    digests = {
        PROFILE.digest,
        Profile("lab-b", PLACE, PROFILE.cut_points, classifier=MODEL).digest,
        Profile("lab-a", PLACE, PROFILE.cut_points).digest,
        Profile("lab-a", PLACE, GradingSettings(), classifier=MODEL).digest,
    }
    assert len(digests) == 4
    assert Profile("lab-a", PLACE, PROFILE.cut_points, classifier=MODEL).digest == PROFILE.digest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one.update(format=2), "has format 2, not 1"),
        (lambda one: one.pop("cut_points"), "lacks 'cut_points'"),
        (lambda one: one["cut_points"].pop("faint_od"), "cut_points must be"),
        (lambda one: one["cut_points"].update(faint_od=3.0), "faint_od"),
        (lambda one: one["cut_points"].update(faint_od="dark"), "faint_od"),
        (lambda one: one.update(name="other"), "its name is 'other'"),
        (lambda one: one["place"].update(dab=[0, 0]), "damaged"),
        (lambda one: one["place"].update(scanner=None), r"place\.scanner is None"),
        (lambda one: one.update(classifier={"weights": [1], "levels": [1, 2, 3]}), "classifier needs"),
        (lambda one: one.update(classifier={}), "lacks 'levels'"),
        (lambda one: one.update(place=[]), "must be objects"),
    ],
)
def test_damage_is_named(tmp_path, change, words):
    path = write_profile(tmp_path / "profiles" / "lab-a.json", PROFILE)
    content = orjson.loads(path.read_bytes())
    change(content)
    path.write_bytes(orjson.dumps(content))
    with pytest.raises(SettingsError, match=words):
        read_profile(path)
    found, problems = read_profiles(tmp_path)
    assert (found, len(problems)) == ([], 1)


def test_a_torn_file_is_named(tmp_path):
    path = write_profile(tmp_path / "lab-a.json", PROFILE)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(SettingsError, match="is no JSON"):
        read_profile(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_profile(tmp_path / "gone.json")
    path.write_bytes(b"[1]")
    with pytest.raises(SettingsError, match="has format None"):
        read_profile(path)


@pytest.mark.parametrize("name", ["../lab", "", "auto", "none", "a b"])
def test_a_name_must_be_that_of_a_file(name):
    with pytest.raises(SettingsError, match="no name of a profile"):
        Profile(name, PLACE, GradingSettings())


def test_cut_points_that_a_person_set_by_hand_are_a_profile(tmp_path):
    by_hand = Profile("by-hand", PLACE, GradingSettings(faint_od=0.05), {"set_by": "Anna"})
    assert read_profile(write_profile(tmp_path / "by-hand.json", by_hand)) == by_hand
