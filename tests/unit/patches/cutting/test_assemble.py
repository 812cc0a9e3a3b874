from __future__ import annotations

from pathlib import Path

import pytest
import shapely

from qupath_her2.errors import PatchError
from qupath_her2.patches.cutting.cut_patches import CutContext, manifest_from_regions
from qupath_her2.patches.cutting.grid import GridSettings
from tests.unit.patches.conftest import noise
from tests.unit.patches.drawn_folders import (
    SMALL,
    draw_cohort,
    regions,
    slide,
    small_settings,
)


def test_an_empty_result_is_explained_with_counts_and_a_way_out(tmp_path: Path) -> None:
    slide(tmp_path, "a")
    with pytest.raises(PatchError, match=r"of 1 image: image: no region: 1\..*--whole-tissue"):
        manifest_from_regions(tmp_path, SMALL)
    regions(tmp_path, "a", ("3+", shapely.box(0, 0, 200, 200)))
    with pytest.raises(PatchError, match="image: smaller than a patch: 1"):
        manifest_from_regions(tmp_path, small_settings(grid=GridSettings(201, 0.5)))


def test_cases_are_split_by_default(tmp_path: Path) -> None:
    draw_cohort(tmp_path)
    got = manifest_from_regions(tmp_path, small_settings(split="auto", shares=(0.5, 0.25, 0.25)))
    by_image = [set(got.split[got.image == i].tolist()) for i in range(6)]
    assert all(len(parts) == 1 for parts in by_image)
    assert set.union(*by_image) == {0, 1, 2}
    assert got.settings["split"]["kind"] == "by case"


def test_too_few_cases_are_left_unsplit_unless_asked(tmp_path: Path) -> None:
    said: list[str] = []
    draw_cohort(tmp_path, 2)
    got = manifest_from_regions(tmp_path, small_settings(split="auto"), CutContext(listen=said.append))
    assert set(got.split.tolist()) == {-1}
    assert any("Not split: 2 cases" in text for text in said)
    with pytest.raises(PatchError, match="2 cases cannot be split"):
        manifest_from_regions(tmp_path, small_settings(split="by-case"))
    by_patch = manifest_from_regions(tmp_path, small_settings(split="by-patch"))
    assert by_patch.settings["split"]["kind"] == "by patch"
    with pytest.raises(PatchError, match="publishes no split"):
        manifest_from_regions(tmp_path, small_settings(split="as-published"))


def test_a_class_missing_from_train_is_reported(tmp_path: Path) -> None:
    said: list[str] = []
    for i, label in enumerate(("0", "1+", "3+")):
        slide(tmp_path, f"s{i}", noise(60, 60, i))
        regions(tmp_path, f"s{i}", (label, shapely.box(0, 0, 60, 60)), first=10 * i + 1)
    got = manifest_from_regions(tmp_path, small_settings(split="by-case"), CutContext(listen=said.append))
    trained = {got.class_names[label] for label in got.label[got.split == 0].tolist()}
    missing = ", ".join(sorted({"0", "1+", "3+"} - trained))
    assert said == [
        f"The training part has no patch of class {missing}: all its cases are in other parts. "
        "Add cases, or try another --seed."
    ]
