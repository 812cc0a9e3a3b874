"""The question about unsaved changes before results are saved: asked only for changes made by the user."""

from __future__ import annotations

import re

import pytest

from tests.groovy.studies import Study

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

#: Changes by the user, each made to the image as it was saved.
CHANGES = (
    "edit=new-region", "edit=delete-region", "edit=outline", "edit=class-of-region", "edit=foreign-class",
    "edit=duplicate", "edit=pixel-size", "property=x", "stains", "push-memory",
)  # fmt: skip


def test_only_changes_by_the_user_count(study: Study) -> None:
    """QuPath marks the image as changed in every case."""
    study.write_run()
    steps = ["unsaved", "display=colours", "unsaved"]
    for change in CHANGES:
        steps += ["reopen", change, "unsaved"]
    steps += ["reopen", "push", "reopen", "unsaved", "edit=class", "unsaved", "save", "unsaved"]
    found = re.findall(r"^UNSAVED (\w+)$", study.replay(*steps).output, re.MULTILINE)
    assert found[:2] == ["false", "false"]
    assert dict(zip(CHANGES, found[2:-3], strict=True)) == dict.fromkeys(CHANGES, "true")
    assert found[-3:] == ["false", "true", "false"]
