"""Of which changes a person is asked before results are saved with them: only of what a person made."""

from __future__ import annotations

import re

import pytest

from tests.groovy.studies import Study

pytestmark = [pytest.mark.qupath, pytest.mark.slow]

#: What a person does: each with the image as it was saved before.
DEEDS = (
    "edit=new-region", "edit=delete-region", "edit=outline", "edit=class-of-region", "edit=foreign-class",
    "edit=duplicate", "edit=pixel-size", "property=x", "stains", "push-memory",
)  # fmt: skip


def test_only_what_a_person_made_is_asked_about(study: Study) -> None:
    """QuPath calls each of these images changed."""
    study.write_run()
    steps = ["unsaved", "display=colours", "unsaved"]
    for deed in DEEDS:
        steps += ["reopen", deed, "unsaved"]
    steps += ["reopen", "push", "reopen", "unsaved", "edit=class", "unsaved", "save", "unsaved"]
    found = re.findall(r"^UNSAVED (\w+)$", study.replay(*steps).output, re.MULTILINE)
    assert found[:2] == ["false", "false"]
    assert dict(zip(DEEDS, found[2:-3], strict=True)) == dict.fromkeys(DEEDS, "true")
    assert found[-3:] == ["false", "true", "false"]
