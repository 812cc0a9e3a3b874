from __future__ import annotations

from typing import Any

import pytest

from qupath_her2.server.job_options import read_options
from qupath_her2.server.problems import Problem


def test_options_have_the_names_of_the_run() -> None:
    options = read_options({"pixel_size_um": 0.25, "guideline": "gastric-biopsy", "cell_finder": "detect"})
    assert options.model_dump(exclude_defaults=True) == {
        "pixel_size_um": 0.25,
        "guideline": "gastric-biopsy",
        "cell_finder": "detect",
    }


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ([], "all of it"),
        ({"pixel": 1}, "pixel"),
        ({"pixel_size_um": -1}, "pixel_size_um"),
        ({"pixel_size_um": float("nan")}, "pixel_size_um"),
        ({"guideline": "lung"}, "lung"),
        ({"cell_finder": "her2net:/etc/passwd"}, "cell_finder"),
        ({"cell_finder": "nonsense"}, "nonsense"),
        ({"profile": "../../x"}, "profile"),
        ({"verb": "train"}, "verb"),
        ({"verb": "predict"}, "network"),
        ({"verb": "propose", "checkpoint": "models/se1"}, "network"),
        ({"whole_tissue": True, "find_tumour": True}, "whole_tissue"),
    ],
)
def test_what_does_not_fit_is_said(given: Any, word: str) -> None:
    with pytest.raises(Problem) as caught:
        read_options(given)
    assert caught.value.status == 422
    assert word in caught.value.error
