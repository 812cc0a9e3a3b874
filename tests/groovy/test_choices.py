"""Choices remembered for a project become arguments of the scripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.groovy.fields import HERE, Fields
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]


def words(fields: Fields, folder: Path, choices: dict[str, str] | None) -> list[str]:
    """Arguments of *Score open image* after these choices, which another dialog's choices must not change."""
    folder.mkdir(exist_ok=True)
    if choices is not None:
        (folder / "choices.json").write_text(json.dumps({"score": choices}), encoding="utf-8")
    said = fields.run(HERE / "choices.groovy", "--args", str(folder))
    first, again = (
        json.loads(line.split(" ", 1)[1])
        for line in said.splitlines()
        if line.startswith(("WORDS ", "AGAIN "))
    )
    assert first == again, said
    return list(first)


def test_choices_become_arguments(qupath: QuPath, tmp_path: Path) -> None:
    fields = Fields(qupath, tmp_path, tmp_path / "private")
    assert words(fields, tmp_path / "none", None) == []
    recorded = {"cells": "detect", "guideline": "recorded", "specimen": "recorded", "regions": "drawn"}
    assert words(fields, tmp_path / "recorded", {**recorded, "scope": "all"}) == []
    gastric = {"cells": "unet", "guideline": "gastric", "specimen": "biopsy", "regions": "whole-tissue"}
    assert words(fields, tmp_path / "gastric", gastric) == [
        "cells=unet",
        "site=gastric",
        "guideline=gastric-biopsy",
        "specimen=biopsy",
        "whole-tissue",
    ]
    # "auto" overrides a guideline of her2.toml, and the case then selects the table.
    gastric |= {"cells": "detect", "specimen": "recorded", "regions": "drawn"}
    assert words(fields, tmp_path / "either", gastric) == ["site=gastric", "guideline=auto"]
    older = {"cells": "from-regions", "guideline": "breast-2013", "regions": "find-tumour"}
    assert words(fields, tmp_path / "older", older) == [
        "cells=from-regions",
        "site=breast",
        "guideline=breast-2013",
        "find-tumour",
    ]
