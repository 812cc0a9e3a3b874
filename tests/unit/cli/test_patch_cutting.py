"""Flags of ``patches`` as settings."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from qupath_her2.cli.patch_cutting import find_source, patch_overrides
from qupath_her2.cli.patch_options import DropName, RuleName
from qupath_her2.config import Settings, load_settings
from qupath_her2.errors import SettingsError
from qupath_her2.patches.cutting.drop import DROP_RULES
from tests.unit.patches.drawn_folders import draw_cohort


def test_flags_become_settings_and_none_changes_nothing() -> None:
    overrides = patch_overrides(
        drop=DropName.bright,
        shares="0.5,0.3,0.2",
        grid={"patch_size_px": 64, "target_um_px": None},
        rule={"rule": RuleName.contained},
        task=None,
    )
    assert overrides == {
        "patches": {
            "grid": {"patch_size_px": 64},
            "rule": {"rule": "contained"},
            "drop": asdict(DROP_RULES["bright"]),
            "shares": [0.5, 0.3, 0.2],
        }
    }
    settings = load_settings(None, overrides).patches
    assert settings.shares == (0.5, 0.3, 0.2)
    assert settings.drop == DROP_RULES["bright"]
    assert settings.grid.target_um_px == Settings().patches.grid.target_um_px
    assert (
        load_settings(None, patch_overrides(drop=None, shares=None, grid={"stride_px": None})) == Settings()
    )


def test_shares_that_are_no_numbers_are_refused_with_an_example() -> None:
    with pytest.raises(
        SettingsError, match=r"--shares 'a,b' is not a list of numbers. Write e.g. 0.6,0.2,0.2."
    ):
        patch_overrides(drop=None, shares="a,b")


def test_the_pixel_size_of_the_flag_replaces_that_of_the_files(tmp_path: Path) -> None:
    draw_cohort(tmp_path, 2)
    read = find_source(tmp_path, Settings(), images=("s0.tif",))
    assert [(image.name, image.pixel_size_um) for image in read.images] == [("s0.tif", None)]
    given = find_source(tmp_path, Settings(), pixel_size_um=0.25)
    assert [image.pixel_size_um for image in given.images] == [0.25, 0.25]
