"""``review sign`` and ``review trail``: messages lead to the next step, and a changed trail is an error."""

from __future__ import annotations

import re
import shlex

import pytest

from qupath_her2.review.sign_off import signed_path
from tests.helpers.reviewed_project import reviewed_image
from tests.unit.cli.commands import call


@pytest.fixture
def study(tmp_path):
    return reviewed_image(tmp_path / "study" / "her2").her2.parent


def signed(study, *flags):
    return call("review", "sign", study, "case.svs", "--reviewer", "Anna", *flags)


def test_what_is_missing_is_said_and_typed(study):
    code, out, err = signed(study, "--state", "reviewed")
    assert (code, "reviewed by Anna, step 1" in out) == (0, True), err
    code, _, err = signed(study, "--state", "final")
    typed = re.search(r"pass (--score \S+);", err)
    assert (code, typed is not None) == (1, True), err
    code, _, err = signed(study, "--state", "final", *typed.group(1).split())
    assert code == 0, err
    code, _, err = signed(study, "--state", "amended", "--score", "1+")
    typed = re.search(r"Pass (--note '\w+')\.", err)
    assert (code, typed is not None) == (1, True), err
    code, out, err = signed(study, "--state", "amended", "--score", "1+", *shlex.split(typed.group(1)))
    assert code == 0, err
    assert len(list((study / "her2" / "review" / "cases").glob("*.html"))) == 1


def test_trail_lists_cases_and_finds_changes(study):
    code, out, _ = call("review", "trail", study)
    assert (code, "0 signed cases" in out) == (0, True)
    for _ in range(2):
        signed(study, "--state", "draft")
    code, out, err = call("review", "trail", study)
    assert (code, "1 signed case, none changed" in out) == (0, True), err
    path = signed_path(study / "her2", "case.svs")
    path.write_bytes(path.read_bytes().replace(b"Anna", b"Bob", 1))
    code, out, err = call("review", "trail", study)
    assert code == 1
    assert "Trails that were changed: " in err
    code, _, err = signed(study, "--state", "draft")
    assert (code, "was changed" in err) == (1, True)


def test_an_unknown_case_is_named(study):
    code, _, err = call("review", "sign", study, "K-9", "--state", "draft")
    assert code == 1
    assert "There is no case 'K-9'. There are: case.svs." in err
