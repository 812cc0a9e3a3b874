"""What is told of a prediction by a service; tests/unit/server/test_predict_remotely.py asks one."""

from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.api.project import open_project
from qupath_her2.api.served_prediction import ServedPrediction, frame_or_reason
from qupath_her2.errors import PatchError
from qupath_her2.records import SlideScore


def test_a_refusal_has_its_reason_and_no_table(project: Path) -> None:
    refused = SlideScore("not assessable", None, "Pixels are too coarse.", "none")
    (image, *_) = open_project(project).images
    for ask in (
        lambda: frame_or_reason(None, refused),
        lambda: ServedPrediction(image, b"", None, refused, 1.0).table,
    ):
        with pytest.raises(PatchError, match=r"Pixels are too coarse\."):
            ask()
