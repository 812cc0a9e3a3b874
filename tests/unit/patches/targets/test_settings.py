from __future__ import annotations

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.patches.targets.settings import SegmentationSettings


@pytest.mark.parametrize("bad", [{"crop_px": -1}, {"least_known": -0.1}, {"least_known": 1.1}])
def test_invalid_settings_are_refused(bad: dict) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(bad))} is {next(iter(bad.values()))}; it must be"):
        SegmentationSettings(**bad)
