"""Doubt about the pixel size: in the reason of a score, and found before anything is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qupath_her2.cells.scale import ScaleDoubt
from qupath_her2.config import Settings
from qupath_her2.records import Score, SlideRef, SlideScore
from qupath_her2.runs.scale_doubt import (
    SCALE_IN_DOUBT,
    image_scale_sentence,
    scale_sentence,
    with_scale_doubt,
)
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import preset
from tests.helpers.drawn_planes import ArraySlide
from tests.quality.chain import picture_file

WARNING = ScaleDoubt(4.5, 0.46, 0.7).sentence()


def test_a_doubt_stands_in_the_reason_of_image_and_regions() -> None:
    region = Score("scored", "2+", "2+: some. Research use only.", "g")
    score = SlideScore(
        "scored", "2+", "2+: many. Research use only.", "g", warnings=("soft", WARNING), regions={"a": region}
    )
    doubted = with_scale_doubt(score)
    words = "Nuclei would be 4.5 µm wide at 0.46 µm per pixel; about 0.7 µm per pixel fits, unless these are no tumour"
    assert doubted.reason == f"2+: many. {words} cells. Research use only."
    assert doubted.regions["a"].reason == f"2+: some. {words} cells. Research use only."
    assert doubted.tags == (SCALE_IN_DOUBT,)
    assert doubted.warnings == score.warnings


def test_without_a_doubt_nothing_changes() -> None:
    score = SlideScore("scored", "2+", "2+: many. Research use only.", "g", warnings=("soft",))
    assert with_scale_doubt(score) is score


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    return draw_field(preset("score", 41, score="2+", pixel_size_um=0.5, width_px=600, height_px=600)).rgb


@pytest.mark.parametrize(
    ("pixel_size_um", "words"), [(0.5, None), (0.25, "Nuclei would be "), (0.05, "Nuclei do not")]
)
def test_samples_tell_a_wrong_pixel_size(rgb: np.ndarray, pixel_size_um: float, words: str | None) -> None:
    # Copies, so that there are pixels enough for a working grid ten times coarser.
    said = scale_sentence(ArraySlide(np.tile(rgb, (3, 3, 1))), pixel_size_um, (), Settings())
    assert said is None if words is None else (said or "").startswith(words)


def test_what_is_refused_anyway_has_no_doubt(rgb: np.ndarray) -> None:
    assert scale_sentence(ArraySlide(rgb), 1.0, (), Settings()) is None
    assert scale_sentence(ArraySlide(np.full((600, 600, 3), 245, np.uint8)), 0.25, (), Settings()) is None


def test_the_stated_size_is_the_flag_then_qupaths_then_the_files(rgb: np.ndarray) -> None:
    with picture_file(rgb) as path:
        bare = SlideRef("a", path.name, Path(path))
        assert image_scale_sentence(bare, Settings()) is None
        assert "at 0.25 µm per pixel" in (image_scale_sentence(bare, Settings(), 0.25) or "")
