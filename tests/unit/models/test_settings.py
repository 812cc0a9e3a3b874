from __future__ import annotations

import math
import subprocess
import sys

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.models.settings import (
    AugmentSettings,
    CamSettings,
    LossSettings,
    PredictSettings,
    ReadSettings,
    ScheduleSettings,
    SegmentSettings,
    TrainSettings,
)


def test_importing_them_loads_neither_torch_nor_learning() -> None:
    """In a process of its own: scoring by cells reads them with every her2.toml."""
    code = (
        "import sys, qupath_her2.models.settings\n"
        "print([m for m in sys.modules if m in ('torch', 'timm') or m.startswith('qupath_her2.learning')])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (AugmentSettings, {"angle_deg": -1.0}),
        (AugmentSettings, {"scale": 1.0}),
        (AugmentSettings, {"shift": float("nan")}),
        (CamSettings, {"shown": 0}),
        (CamSettings, {"opacity": 1.5}),
        (LossSettings, {"focal_gamma": math.inf}),
        (PredictSettings, {"batch_size": 0}),
        (ReadSettings, {"threads": 0}),
        (ReadSettings, {"batches_ahead": 0}),
        (ScheduleSettings, {"factor": 1.0}),
        (ScheduleSettings, {"plateau_epochs": 0}),
        (SegmentSettings, {"overlap_share": 0.6}),
        (SegmentSettings, {"overlap_share": 0.1, "rim_share": 0.06}),
        (SegmentSettings, {"samples": 0}),
        (SegmentSettings, {"batch_size": 0}),
        (TrainSettings, {"epochs": 0}),
        (TrainSettings, {"micro_batch_size": -1}),
        (TrainSettings, {"ema_decay": 1.0}),
        (TrainSettings, {"weight_decay": -0.1}),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(kind: type, wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        kind(**wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"learning_rate": 0.0, "least_learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        (
            {"learning_rate": 1e-8},
            "least_learning_rate is 1e-07; it must be at most learning_rate, which is 1e-08",
        ),
    ],
)
def test_learning_rates_must_be_ordered(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        ScheduleSettings(**wrong)


@pytest.mark.parametrize(
    ("kind", "wrong", "words"),
    [
        (LossSettings, {"kind": "mse"}, "one of cross_entropy, focal, dice, cross_entropy_dice"),
        (LossSettings, {"class_weights": "rare"}, "one of none, balanced or a list of 1 to 100 values"),
        (ScheduleSettings, {"kind": "step"}, "one of constant, cosine, plateau"),
        (ScheduleSettings, {"monitor": "auc"}, "one of loss, accuracy, macro_f1"),
        (TrainSettings, {"optimiser": "lion"}, "one of adam, adamw, sgd"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones(
    kind: type, wrong: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        kind(**wrong)
