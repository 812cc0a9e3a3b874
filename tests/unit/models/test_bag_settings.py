"""Settings of slide-level learning."""

from __future__ import annotations

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.models.bag_settings import EmbedSettings


def test_patches_lie_side_by_side_at_their_scale() -> None:
    grid = EmbedSettings(patch_size_px=256, target_um_px=1.0).grid
    assert (grid.patch_size_px, grid.target_um_px, grid.stride_px) == (256, 1.0, 0)


def test_a_wrong_value_names_the_range() -> None:
    with pytest.raises(SettingsError, match=r"^target_um_px is 0.01; it must be 0 or 0.05 to 100 µm/px"):
        EmbedSettings(target_um_px=0.01)
