from __future__ import annotations

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.patches.settings import PatchSettings, settings_of_manifest
from tests.unit.patches.drawn_folders import (
    small_settings,
)


@pytest.mark.parametrize("bad", [{"task": "x"}, {"rest_label": "stroma"}, {"random_per_image": -1}])
def test_invalid_settings_are_refused(bad: dict) -> None:
    with pytest.raises(SettingsError):
        small_settings(**bad)


def test_the_manifest_keeps_the_settings_that_apply_as_plain_values() -> None:
    kept = settings_of_manifest(small_settings(shares=(0.5, 0.25, 0.25), skip_classes=("Vessel",)), "bci")
    assert kept["shares"] == [0.5, 0.25, 0.25]
    assert kept["skip_classes"] == ["Vessel"]
    assert kept["layout"] == "bci"
    # Neither equalised nor segmented, and the split is recorded when it is made.
    assert kept["clahe"] is None
    assert "segmentation" not in kept
    assert kept["split"] == {"kind": "none", "warning": None}
    dense = settings_of_manifest(PatchSettings(task="segmentation", equalise=True), "project")
    assert dense["segmentation"]["crop_px"] == 2048
    assert dense["clahe"] == {"clip_limit": 2.0, "tiles": 8}
