from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.synthetic.settings import FieldSettings


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"width_px": 8}, "8 x 1024 px"),
        ({"pixel_size_um": 0.0}, "0.0 µm/px"),
        ({"shares": (0.5, 0.2, 0.1, 0.1)}, "sum to 1"),
        ({"shares": (1.5, -0.5, 0, 0)}, "sum to 1"),
        ({"n_target": -1}, "n_target"),
        ({"faint_od": (0.3, 0.1)}, "faint_od"),
        ({"overlap": 1.5}, "overlap"),
        ({"granules": 1.5}, "granules"),
        ({"nucleus_elongation": -0.1}, "nucleus_elongation"),
        ({"defocus_um": 0.0}, "defocus_um"),
        ({"captured_um_px": 0.3}, "captured_um_px"),
        ({"declared_um_px": 9.0}, "declared_um_px"),
    ],
)
def test_invalid_settings_are_refused_by_name(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        FieldSettings(**wrong)


def test_settings_are_frozen_and_know_their_extent() -> None:
    settings = FieldSettings(width_px=300, height_px=100, pixel_size_um=0.25)
    assert settings.extent_um == (75.0, 25.0)
    with pytest.raises(FrozenInstanceError):
        settings.seed = 3
